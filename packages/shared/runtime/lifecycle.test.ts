import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const fixture = fileURLToPath(new URL('./lifecycle-fixture.ts', import.meta.url));

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the fixture; `steps` are done one after the other, each as soon as its word was printed. */
function run(
  flags: readonly string[],
  steps: Readonly<Record<string, readonly NodeJS.Signals[]>> = {},
): Promise<Ended> {
  const child = spawn(process.execPath, [fixture, ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = { code: null as number | null, stdout: '', stderr: '' };
  const waiting = Object.entries(steps);
  child.stderr.on('data', (chunk) => {
    ended.stderr += chunk;
  });
  child.stdout.on('data', (chunk) => {
    ended.stdout += chunk;
    for (let next = waiting[0]; next !== undefined && ended.stdout.includes(`${next[0]}\n`); next = waiting[0]) {
      waiting.shift();
      for (const signal of next[1]) child.kill(signal);
    }
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ ...ended, code })));
}

describe('a service process', () => {
  test('starts, and stops in reverse order on SIGTERM or SIGINT, with code 0', async () => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      const ended = await run([], { up: [signal] });
      assert.deepEqual([ended.code, ended.stdout], [0, 'up\nstopping\nclosed\n'], ended.stderr);
      assert.match(ended.stderr, new RegExp(`"signal":"${signal}".*"stopping"`));
      assert.match(ended.stderr, /"message":"stopped"/);
    }
  });

  test('one key press that arrives twice is one signal', async () => {
    const ended = await run([], { up: ['SIGINT', 'SIGINT'] });
    assert.deepEqual([ended.code, ended.stdout], [0, 'up\nstopping\nclosed\n'], ended.stderr);
  });

  test('a second signal ends it at once', async () => {
    const ended = await run(['--behaviour.stop=hang'], { up: ['SIGTERM'], stopping: ['SIGINT'] });
    assert.deepEqual([ended.code, ended.stdout], [130, 'up\nstopping\n']);
    assert.match(ended.stderr, /second signal/);
  });

  test('a stop that takes too long is given up', async () => {
    const ended = await run(['--behaviour.stop=hang'], { up: ['SIGTERM'] });
    assert.equal(ended.code, 1);
    assert.match(ended.stderr, /the stop took too long/);
  });

  test('a stop that fails is told, with code 1, and the rest is closed', async () => {
    const ended = await run(['--behaviour.stop=throw'], { up: ['SIGTERM'] });
    assert.deepEqual([ended.code, ended.stdout], [1, 'up\nstopping\nclosed\n']);
    assert.match(ended.stderr, /broken stop/);
  });

  test('what was left open is named, and does not keep the process', async () => {
    const ended = await run(['--behaviour.stop=leak'], { up: ['SIGTERM'] });
    assert.equal(ended.code, 0);
    assert.match(ended.stderr, /"open":\[.*"Timeout".*left open/);
  });

  test('a signal while it starts stops the start', async () => {
    const ended = await run(['--behaviour.start=hang'], { starting: ['SIGTERM'] });
    assert.deepEqual([ended.code, ended.stdout], [0, 'starting\nclosed\n'], ended.stderr);
  });
});

describe('what goes wrong at the start', () => {
  test('a wrong configuration: one line, code 2', async () => {
    const ended = await run(['--behaviour.strt=up']);
    assert.equal(ended.code, 2);
    assert.equal(
      ended.stderr,
      'fleetmq fixture: configuration: unknown key --behaviour.strt in the flags (did you mean --behaviour.start?)\n',
    );
  });

  test('a port in use: its address, code 3, and what was open is closed', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    const { port } = taken.address() as { port: number };
    const ended = await run([`--listen.port=${port}`]);
    taken.close();
    assert.deepEqual([ended.code, ended.stdout], [3, 'closed\n']);
    assert.match(
      ended.stderr,
      new RegExp(`^fleetmq fixture: port in use: something listens on 127\\.0\\.0\\.1:${port} already.*\n$`),
    );
  });

  test('a domain error: its message, code and advice, exit code 1', async () => {
    const ended = await run(['--behaviour.start=wrong-cluster']);
    assert.deepEqual([ended.code, ended.stdout], [1, 'closed\n']);
    assert.equal(
      ended.stderr,
      'fleetmq fixture: cannot start: the folder is of cluster c1 ' +
        '(WRONG_CLUSTER; to go on, connect to the right cluster, or use an empty data folder)\n',
    );
  });

  test('a bug: the message and the stack, exit code 1', async () => {
    const ended = await run(['--behaviour.start=throw']);
    assert.deepEqual([ended.code, ended.stdout], [1, 'closed\n']);
    assert.match(ended.stderr, /^fleetmq fixture: cannot start: broken start\n/);
    assert.match(ended.stderr, /lifecycle-fixture\.ts/);
  });
});

describe('what goes wrong later', () => {
  for (const how of ['throw', 'reject']) {
    test(`an error that nobody catches (${how}) is logged and ends the process`, async () => {
      const ended = await run([`--behaviour.run=${how}`]);
      assert.equal(ended.code, 1);
      assert.match(ended.stderr, /"message":"a bug".*uncaught error: ending/);
      assert.doesNotMatch(ended.stdout, /closed/);
    });
  }

  test('a service that cannot go on stops in order, with code 1', async () => {
    const ended = await run(['--behaviour.run=fail']);
    assert.deepEqual([ended.code, ended.stdout], [1, 'up\nstopping\nclosed\n'], ended.stderr);
    assert.match(ended.stderr, /the disk is gone/);
  });
});

describe('printing the configuration', () => {
  test('with values and origins, without starting', async () => {
    const ended = await run(['--listen.port=1', '--print-config']);
    assert.equal(ended.code, 0);
    assert.match(ended.stdout, /^listen\.port = 1 +# flag --listen\.port\n/);
    assert.doesNotMatch(ended.stdout, /up$/m);
  });

  test('as a JSON Schema', async () => {
    const ended = await run(['--print-config-schema']);
    assert.equal((JSON.parse(ended.stdout) as { type: string }).type, 'object');
  });
});
