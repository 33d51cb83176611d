import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run } from './program.ts';
import { testTerminal } from './test-terminal.ts';

async function execute(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const terminal = testTerminal();
  const code = await run(terminal, args);
  return { code, out: terminal.out(), err: terminal.err() };
}

test('help and version are no failures', async () => {
  const help = await execute('--help');
  assert.equal(help.code, 0);
  for (const noun of ['topic', 'produce', 'consume', 'cluster', 'controller', 'broker', 'partition', 'dev'])
    assert.match(help.out, new RegExp(`^ {2}${noun}`, 'm'));
  assert.match((await execute('consume', '--help')).out, /--until/);
  assert.match((await execute('--version')).out, /^\d+\.\d+\.\d+\n$/);
});

test('what is wrong on the command line is exit code 2, with the value', async () => {
  const cases: [string[], RegExp][] = [
    [['topic', 'creat'], /Did you mean create/],
    [['topic', 'create'], /missing required argument/],
    [['topic', 'create', 't', '-p', '0'], /'0' is invalid.*below 1/],
    [['consume', 't', '--from', 'yesterday'], /"yesterday" is no place/],
    [['consume', 't', '--nope'], /unknown option/],
    [['consume', 't', '-o', 'yaml'], /output "yaml" is not one of text, ndjson, json/],
    [['topic', 'list', '--url', 'http://127.0.0.1:1', '--brokers', 'x'], /--url or --brokers/],
    [['topic', 'list', '--url', 'nonsense'], /"nonsense" is no address/],
    [['topic', 'delete', 't'], /no terminal to ask on: give --yes/],
    [['produce', 't', '--ndjson', '-k', 'x'], /bring their own keys/],
    [['produce', 't', '-k', 'x', '-K', ':'], /--key or --key-separator/],
    [['controller', 'add', 'nowhere'], /"nowhere" is no address/],
    [['controller', 'remove', 'x'], /'x' is invalid/],
    [['controller', 'remove', '3'], /no terminal to ask on: give --yes/],
    [['controller', 'replace', '3', 'nowhere'], /"nowhere" is no address/],
    [['controller', 'replace', '3', 'h:1'], /no terminal to ask on: give --yes/],
    [['partition', 'move', 't', '--to', '1,x'], /"x" is no whole number/],
    [['partition', 'move', 't', '--to', '1,1'], /names a broker twice/],
    [['partition', 'move', 't', '--to', '1', '-r', '2'], /--to or --replication-factor/],
    [['partition', 'cancel', 'r'], /no terminal to ask on: give --yes/],
    [['broker', 'drain', '1', '--move-replicas', '--cancel'], /give only --cancel/],
    [['cluster', 'upgrade'], /no terminal to ask on: give --yes/],
    [['cluster', 'upgrade', '--yes', '--feature', 'a=x'], /"x" is no whole number/],
    [['dev', '--brokers', '0'], /below 1/],
  ];
  for (const [args, pattern] of cases) {
    const { code, err } = await execute(...args);
    assert.match(err, pattern, args.join(' '));
    assert.equal(code, 2, `${args.join(' ')}: ${err}`);
  }
});

test('a cluster that is not there is exit code 3, in the form that was asked for', async () => {
  const options = ['--url', 'http://127.0.0.1:1', '--timeout', '200ms'];
  const text = await execute('topic', 'list', ...options);
  assert.equal(text.code, 3);
  assert.match(text.err, /^error NOT_AVAILABLE: cannot reach 127\.0\.0\.1:1.*\n {2}try: fleetmq dev/);
  const json = await execute('cluster', 'describe', '-o', 'json', ...options);
  assert.equal(JSON.parse(json.err).error.code, 'NOT_AVAILABLE');
  assert.equal(json.out, '');
});

test('the environment names the gateway, the option wins', async () => {
  const terminal = testTerminal({ env: { FLEETMQ_URL: 'http://127.0.0.1:2' } });
  await run(terminal, ['topic', 'list', '--timeout', '100ms']);
  assert.match(terminal.err(), /127\.0\.0\.1:2/);
});
