import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { run } from './program.ts';
import { testTerminal } from './test-terminal.ts';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));

interface Ready {
  readonly gateway: { readonly url: string; readonly pid: number };
  readonly brokers: readonly { readonly client: string; readonly pid: number }[];
  readonly controllers: readonly { readonly internal: string; readonly pid: number }[];
  readonly data: string;
}

let folder = '';
let fleet: ChildProcess;
let ready: Ready;

before(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'fleetmq-dev-'));
  const args = [main, 'dev', '--controllers', '1', '--brokers', '2', '--data', folder, '--port', '0', '-q'];
  fleet = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: string[] = [];
  fleet.stdout?.on('data', (chunk) => lines.push(String(chunk)));
  while (!lines.join('').includes('\n')) {
    if (fleet.exitCode !== null) assert.fail(`dev ended with ${fleet.exitCode}`);
    await Promise.race([once(fleet.stdout as NodeJS.ReadableStream, 'data'), once(fleet, 'exit')]);
  }
  ready = JSON.parse(lines.join('')) as Ready;
});

after(async () => {
  if (fleet.exitCode === null && fleet.signalCode === null) {
    fleet.kill('SIGTERM');
    await once(fleet, 'exit');
  }
  fs.rmSync(folder, { recursive: true, force: true });
});

async function execute(args: string[], stdin?: string): Promise<{ code: number; out: string; err: string }> {
  const env = { FLEETMQ_URL: ready.gateway.url };
  const terminal = testTerminal(stdin === undefined ? { env } : { env, stdin });
  const code = await run(terminal, args);
  return { code, out: terminal.out(), err: terminal.err() };
}

async function succeed(args: string[], stdin?: string): Promise<string> {
  const { code, out, err } = await execute(args, stdin);
  assert.equal(code, 0, `${args.join(' ')}: ${err}`);
  return out;
}

test('the ready line names every process, and the cluster agrees', async () => {
  assert.equal(ready.brokers.length, 2);
  assert.equal(ready.controllers.length, 1);
  assert.equal(ready.data, folder);
  const cluster = JSON.parse(await succeed(['cluster', 'describe', '-o', 'json']));
  assert.deepEqual(
    cluster.brokers.map(({ state }: { state: string }) => state),
    ['BROKER_STATE_ACTIVE', 'BROKER_STATE_ACTIVE'],
  );
  assert.match(await succeed(['cluster', 'describe']), /BROKER +STATE +CLIENTS/);
});

test('controllers: status, health, and what cannot be done with one', async () => {
  const [only] = JSON.parse(await succeed(['controller', 'status', '-o', 'json']));
  assert.deepEqual([only.controllerId, only.leader, only.voter], [1, true, true]);
  assert.match(await succeed(['controller', 'status']), /CONTROLLER +ROLE +STATE.*\n +1 +leader +active/);
  assert.match(
    await succeed(['cluster', 'health', '--exit-when-healthy']),
    /^healthy: 1 voting controllers, led by 1/m,
  );
  assert.equal(JSON.parse(await succeed(['cluster', 'health', '-o', 'ndjson'])).healthy, true);
  const removed = await execute(['controller', 'remove', '1', '--yes']);
  assert.deepEqual([removed.code, /only voter/.test(removed.err)], [1, true]);
  const nobody = await execute(['controller', 'add', '127.0.0.1:1']);
  assert.deepEqual([nobody.code, /no controller answers at 127.0.0.1:1/.test(nobody.err)], [1, true]);
  const alone = await execute(['controller', 'transfer']);
  assert.deepEqual([alone.code, /no other voter/.test(alone.err)], [3, true]);
});

test('a controller is added, leads, and is removed again', async () => {
  const address = ready.controllers[0]?.internal;
  const entry = fileURLToPath(new URL('../../../services/controller/src/main.ts', import.meta.url));
  const flags = ['--node.id=2', `--data.folder=${path.join(folder, 'joiner')}`, `--quorum.peers=1@${address}`];
  const open = ['--quorum.join=true', '--security.mode=open', '--listen.internal.port=0', '--listen.ops.port=0'];
  const joiner = spawn(process.execPath, [entry, ...flags, ...open, '--log.level=error'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const ended = once(joiner, 'exit').then(([code]) => assert.fail(`the joiner ended with ${code}`));
    ended.catch(() => undefined);
    const [line] = await Promise.race([once(joiner.stdout as NodeJS.ReadableStream, 'data'), ended]);
    const { port } = JSON.parse(String(line)).listeners.internal;
    const added = await execute(['controller', 'add', `127.0.0.1:${port}`, '-o', 'json']);
    assert.equal(added.code, 0, added.err);
    assert.match(added.err, /^controller 2 is a learner$/m);
    assert.deepEqual([JSON.parse(added.out).controllerId, JSON.parse(added.out).voter], [2, true]);
    const looks = (await succeed(['cluster', 'health', '--watch', '--exit-when-healthy', '-o', 'ndjson'])).trim();
    assert.equal(JSON.parse(looks.split('\n').at(-1) as string).healthy, true);
    assert.equal(await succeed(['controller', 'transfer', '2']), 'controller 2 leads\n');
    await succeed(['controller', 'remove', '2', '--yes']);
    assert.equal(JSON.parse(await succeed(['controller', 'status', '-o', 'json'])).length, 1);
  } finally {
    joiner.kill('SIGKILL');
    if (joiner.exitCode === null && joiner.signalCode === null) await once(joiner, 'exit');
  }
});

test('replicas move, brokers are drained, features have levels', async () => {
  await succeed(['topic', 'create', 'moving', '-p', '2', '-r', '1']);
  await succeed(['produce', 'moving'], 'one\ntwo\nthree\n');
  const replicasOf = async (): Promise<number[][]> =>
    JSON.parse(await succeed(['topic', 'describe', 'moving', '-o', 'json'])).topic.partitions.map(
      ({ replicas }: { replicas: number[] }) => replicas,
    );
  const plan = JSON.parse(await succeed(['partition', 'move', 'moving', '-r', '2', '--dry-run', '-o', 'json']));
  assert.equal(plan.length, 2);
  assert.deepEqual((await replicasOf()).flat().length, 2);
  const moved = await execute(['partition', 'move', 'moving', '-r', '2', '--throttle', '10M']);
  assert.equal(moved.code, 0, moved.err);
  assert.match(moved.out, /TOPIC +PARTITION +FROM +TO\n/);
  assert.match(moved.err, /^2 partitions moved$/m);
  assert.deepEqual(
    (await replicasOf()).map((each) => [...each].sort()),
    [
      [1, 2],
      [1, 2],
    ],
  );
  await succeed(['partition', 'move', 'moving', '-p', '0-1', '--to', '2']);
  assert.deepEqual(await replicasOf(), [[2], [2]]);
  assert.match(await succeed(['partition', 'move', 'moving', '--to', '2']), /^nothing has to move$/m);
  const read = await succeed(['consume', 'moving', '--from', 'earliest', '--until', 'end']);
  assert.deepEqual(read.trim().split('\n').sort(), ['one', 'three', 'two']);

  assert.equal(await succeed(['broker', 'drain', '2', '--move-replicas']), 'broker 2 leads 0 partitions\n');
  assert.deepEqual(await replicasOf(), [[1], [1]]);
  assert.equal(await succeed(['broker', 'drain', '2', '--cancel']), 'broker 2 serves\n');
  const moves = JSON.parse(await succeed(['partition', 'moves', '-o', 'json']));
  assert.deepEqual([moves.progress.length, moves.reassignments], [3, []]);
  assert.equal(moves.progress[0].bytesPerSecondMax, `${10 * 2 ** 20}`);
  assert.match(
    await succeed(['partition', 'moves']),
    /REASSIGNMENT +STATE.*\n[0-9a-f]{32} +ended +2 +2 +0 .*10 MiB\/s\n/,
  );
  const gone = await execute(['partition', 'cancel', 'none', '--yes']);
  assert.deepEqual([gone.code, /^error REASSIGNMENT_NOT_FOUND/.test(gone.err)], [1, true]);

  const [feature] = JSON.parse(await succeed(['cluster', 'features', '-o', 'json']));
  assert.equal(feature.level, feature.supportedLevel);
  assert.match(await succeed(['cluster', 'upgrade', '--dry-run']), /metadata\.version/);
  await succeed(['topic', 'delete', 'moving', '--yes']);
});

test('partitions are handed over to a broker, and back to their preferred leaders', async () => {
  await succeed(['topic', 'create', 'led', '-p', '2', '-r', '2']);
  const partitions = async (): Promise<{ partition: number; leaderId: number; replicas: number[] }[]> =>
    JSON.parse(await succeed(['topic', 'describe', 'led', '-o', 'json'])).topic.partitions;
  const [first] = await partitions();
  const [preferred, other] = first?.replicas ?? [];
  const handed = await execute(['partition', 'lead', 'led', '-p', '0', '--to', `${other}`, '-o', 'json']);
  assert.deepEqual([handed.code, handed.err], [0, '1 of 1 partitions have another leader\n']);
  assert.deepEqual(
    JSON.parse(handed.out).map((each: { oldLeaderId: number; leaderId: number }) => [each.oldLeaderId, each.leaderId]),
    [[preferred, other]],
  );
  assert.equal((await partitions())[0]?.leaderId, other);
  assert.match(await succeed(['partition', 'lead']), /led +0 +\d +\d\n/);
  assert.equal((await partitions())[0]?.leaderId, preferred);
  const nobody = await execute(['partition', 'lead', 'led', '--to', '9']);
  assert.deepEqual([nobody.code, /broker 9 is no replica of led/.test(nobody.out)], [1, true]);
  assert.equal((await execute(['partition', 'lead', '--to', '1'])).code, 2);
  await succeed(['topic', 'delete', 'led', '--yes']);
});

test('topics: create, list, describe, delete', async () => {
  assert.match(
    await succeed(['topic', 'create', 'a', '-p', '3', '-c', 'retention.ms=60000']),
    /topic a: 3 partitions, 2 replicas/,
  );
  const again = await execute(['topic', 'create', 'a']);
  assert.deepEqual([again.code, /^error TOPIC_ALREADY_EXISTS/.test(again.err)], [1, true]);
  await succeed(['topic', 'create', 'a', '--if-not-exists']);
  const listed = (await succeed(['topic', 'list', '-o', 'ndjson'])).trim().split('\n');
  assert.equal(listed.map((line) => JSON.parse(line)).find(({ name }) => name === 'a').partitionCount, 3);
  assert.match(await succeed(['topic', 'describe', 'a']), /retention\.ms +60000 +topic/);
  assert.equal((await execute(['topic', 'delete', 'a'])).code, 2, 'without --yes and without a terminal');
  await succeed(['topic', 'delete', 'a', '--yes']);
  const gone = await execute(['topic', 'describe', 'a']);
  assert.deepEqual([gone.code, /^error TOPIC_NOT_FOUND/.test(gone.err)], [1, true]);
});

test('topics: alter, grow, delete-records', async () => {
  await succeed(['topic', 'create', 'changing', '-p', '1', '-r', '1', '-c', 'retention.ms=60000']);
  assert.match(
    await succeed(['topic', 'alter', 'changing', '-c', 'segment.ms=70000', '--remove', 'retention.ms']),
    /retention\.ms +\d+ +default\n(.*\n)*segment\.ms +70000 +topic\n/,
  );
  const wrong = await execute(['topic', 'alter', 'changing', '-c', 'nonsense=1', '--dry-run']);
  assert.deepEqual([wrong.code, /INVALID_CONFIG/.test(wrong.err)], [2, true]);
  assert.equal((await execute(['topic', 'alter', 'changing'])).code, 2);
  await succeed(['produce', 'changing'], 'one\ntwo\nthree\n');
  assert.equal((await execute(['topic', 'delete-records', 'changing', '--before', '2'])).code, 2, 'without --yes');
  const starts = JSON.parse(
    await succeed(['topic', 'delete-records', 'changing', '--before', '2', '--yes', '-o', 'json']),
  );
  assert.deepEqual(starts, [{ topic: 'changing', partition: 0, offset: 2 }]);
  assert.equal(await succeed(['consume', 'changing', '--from', 'earliest', '--until', 'end']), 'three\n');
  assert.equal((await execute(['topic', 'delete-records', 'changing', '--before=-1', '--yes'])).code, 2);
  assert.match(await succeed(['topic', 'grow', 'changing', '3']), /\n +2 +\d/);
  const smaller = await execute(['topic', 'grow', 'changing', '2']);
  assert.deepEqual([smaller.code, /INVALID_REQUEST/.test(smaller.err)], [1, true]);
  await succeed(['topic', 'delete', 'changing', '--yes']);
});

test('lines, keys, files and NDJSON go in and come out', async () => {
  await succeed(['topic', 'create', 'b', '-p', '1']);
  await succeed(['produce', 'b'], 'one\ntwo\n');
  await succeed(['produce', 'b', '-K', ':', '-H', 'h=x', '-z', 'lz4'], 'k:three\nk:\n');
  const ndjson = await succeed(['consume', 'b', '--from', 'earliest', '--until', 'end', '-o', 'ndjson']);
  assert.deepEqual(
    ndjson
      .trim()
      .split('\n')
      .map((line) => {
        const { offset, key, value, headers } = JSON.parse(line);
        return { offset, key, value, headers };
      }),
    [
      { offset: 0, key: null, value: 'one', headers: undefined },
      { offset: 1, key: null, value: 'two', headers: undefined },
      { offset: 2, key: 'k', value: 'three', headers: [['h', 'x']] },
      { offset: 3, key: 'k', value: '', headers: [['h', 'x']] },
    ],
  );
  assert.match(await succeed(['produce', 'b', '--ndjson', '-o', 'table'], ndjson), / +0 +4 +4 +7\n/);
  assert.equal(
    await succeed(['consume', 'b', '--from', '-4', '--until', 'end', '-f', '%o:%k=%s\\n']),
    '4:=one\n5:=two\n6:k=three\n7:k=\n',
  );
  assert.equal(
    await succeed(['consume', 'b', '--from', '0', '-n', '1', '-p', '0', '--brokers', ready.brokers[0]?.client ?? '']),
    'one\n',
  );
  const file = path.join(folder, 'lines');
  fs.writeFileSync(file, Array.from({ length: 20_000 }, (_, n) => `line ${n}\n`).join(''));
  const produced = await execute(['produce', 'b', '-f', file, '-o', 'json', '--acks', 'majority']);
  assert.deepEqual(JSON.parse(produced.out), [{ partition: 0, records: 20_000, first: 8, last: 20_007 }]);
  assert.match(produced.err, /^20000 records to b in /);
  assert.equal(await succeed(['consume', 'b', '--from', '20007', '-n', '1']), 'line 19999\n');
});

test('a follower of the end is stopped by Ctrl-C, with exit code 0', async () => {
  await succeed(['topic', 'create', 'c', '--if-not-exists']);
  const terminal = testTerminal({ env: { FLEETMQ_URL: ready.gateway.url } });
  const running = run(terminal, ['consume', 'c', '--from', 'earliest']);
  await succeed(['produce', 'c'], 'x\n');
  while (terminal.out() !== 'x\n') await new Promise((resolve) => setImmediate(resolve));
  terminal.interrupt();
  assert.equal(await running, 0);
  assert.match(terminal.err(), /^1 records$/m);
});

test('a second fleet on the same data ends with the reason', async () => {
  const { code, err } = await execute(['dev', '--controllers', '1', '--brokers', '2', '--data', folder, '--port', '0']);
  assert.notEqual(code, 0);
  // All start together: whoever notices first is named.
  assert.match(err, /(controller|broker) \d ended with code \d while it started:\nfleetmq \1: .* is in use/);
});

test('SIGTERM stops everything, in order, with exit code 0', async () => {
  fleet.kill('SIGTERM');
  const [code] = await once(fleet, 'exit');
  assert.equal(code, 0);
  const pids = [ready.gateway, ...ready.brokers, ...ready.controllers].map(({ pid }) => pid);
  for (const pid of pids) assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
});
