/** What a log knows of producers outlives the records that said it: deleted, cut, or never sent to this replica. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DomainError, tableChecksum, toOffset } from '@fleetmq/shared';
import { defaultLogConfig } from './config.ts';
import type { PartitionLog } from './index.ts';
import { decodeProducers, ProducerMemory } from './producer-snapshot.ts';
import { batch, epoch, openTestLog, readAll } from './testing/batches.ts';
import { MemoryDisk } from './testing/memory-disk.ts';

const config = { segmentBytes: 300, retentionMs: -1 };
const at = (appendTimeMs: number) => ({ leaderEpoch: epoch(1), appendTimeMs });
const quiet = batch(['q'], { producerId: 7n });
const keyed = batch(['k'], { idempotencyKey: 'order-7' });
const busy = (i: number) => batch([`${i}`], { producerId: 6n, baseSequence: i });

/** A log of the offsets 8 to 14 that began at 0: the quiet producer's and the keyed batch are deleted. */
async function leaderLog(): Promise<PartitionLog> {
  const log = await openTestLog(new MemoryDisk(), config);
  for (const one of [quiet, keyed]) log.appendAsLeader(one, at(1));
  for (let i = 0; i < 13; i++) log.appendAsLeader(busy(i), at(10 + i));
  await log.advanceStartOffset(toOffset(8));
  return log;
}

/** Retries of what was deleted, and the next batch of who wrote last: as the leader would answer. */
function checkKnown(log: PartitionLog, label: string): void {
  const answers = [quiet, keyed].map((one) => log.appendAsLeader(one, at(50)));
  assert.deepEqual(
    answers.map(({ kind, baseOffset }) => [kind, baseOffset]),
    [
      ['duplicate', 0],
      ['duplicate', 1],
    ],
    label,
  );
}

function stateOf(bytes: Uint8Array) {
  const memory = new ProducerMemory(defaultLogConfig);
  assert.equal(decodeProducers(bytes, undefined, memory, tableChecksum), true);
  return { producers: [...memory.table.entries()], keys: [...memory.keys.entries()] };
}

test('a replica that is reset knows what the leader knows, also after it has lost its power, and once it has caught up', async () => {
  const leader = await leaderLog();
  const exported = leader.exportProducers();
  assert.equal(exported.offset, 8);
  let disk = new MemoryDisk();
  let follower = await openTestLog(disk, config);
  for (let i = 0; i < 4; i++) follower.appendAsLeader(batch(['old'], { producerId: 9n, baseSequence: i }), at(1));
  await follower.resetTo(exported.offset, exported.bytes);
  const check = (label: string): void => {
    checkKnown(follower, label);
    assert.equal(follower.producerState(9n), undefined, label);
    assert.deepEqual(stateOf(follower.exportProducers().bytes), stateOf(exported.bytes), label);
  };
  check('at once');
  disk = disk.afterPowerLoss(() => false);
  follower = await openTestLog(disk, config);
  check('after a power cut');
  follower.appendAsFollower(await readAll(leader));
  await follower.flush();
  check('caught up');
  for (const id of [6n, 7n]) assert.deepEqual(follower.producerState(id), leader.producerState(id));
  disk = disk.afterPowerLoss(() => false);
  follower = await openTestLog(disk, config);
  for (const id of [6n, 7n]) assert.deepEqual(follower.producerState(id), leader.producerState(id));
  await follower.resetTo(exported.offset);
  assert.equal(follower.producerState(7n), undefined);
});

test('of what was exported, a replica that is reset to a lower offset leaves out what it will be sent', async () => {
  const leader = await leaderLog();
  await leader.advanceStartOffset(toOffset(13));
  const follower = await openTestLog(new MemoryDisk(), config);
  await follower.resetTo(toOffset(12), leader.exportProducers().bytes);
  checkKnown(follower, 'below');
  assert.deepEqual(
    follower.producerState(6n)?.batches.map(({ baseOffset }) => baseOffset),
    [10, 11],
  );
});

test('what is no export is refused, and nothing has changed', async () => {
  const log = await leaderLog();
  const { bytes } = log.exportProducers();
  bytes[bytes.length >> 1]! ^= 1;
  await assert.rejects(log.resetTo(toOffset(20), bytes), { code: 'INVALID_REQUEST' });
  assert.deepEqual([log.startOffset, log.endOffset], [8, 15]);
  checkKnown(log, 'after the refusal');
});

test('the power lost at every operation of a reset: the old log, or an empty one that knows the producers', async () => {
  const { bytes } = (await leaderLog()).exportProducers();
  const outcomes = new Set<number>();
  let isDone = false;
  for (let stopAt = 1; !isDone; stopAt++) {
    let operations = 0;
    const disk: MemoryDisk = new MemoryDisk();
    const log = await openTestLog(disk, config);
    for (let i = 0; i < 4; i++) log.appendAsLeader(batch(['old'], { producerId: 9n, baseSequence: i }), at(1));
    await log.flush();
    disk.intercept = () => {
      if (++operations < stopAt) return undefined;
      disk.powerOff();
      return { error: new DomainError('STORAGE_FAILED', 'the power goes') };
    };
    const reset = log.resetTo(toOffset(8), bytes);
    isDone = await reset.then(
      () => true,
      () => false,
    );
    for (const keep of [true, false]) {
      const found = await openTestLog(
        disk.afterPowerLoss(() => keep),
        config,
      );
      const label = `operation ${stopAt}, ${keep ? 'all' : 'nothing'} kept`;
      outcomes.add(found.startOffset);
      if (found.startOffset === 8) checkKnown(found, label);
      else assert.deepEqual([found.endOffset, found.producerState(9n)?.batches.length], [4, 4], label);
    }
  }
  assert.deepEqual([...outcomes].sort(), [0, 8]);
});

test('a cut at a batch that begins below the log start takes the batch, and nothing of what was known before it', async () => {
  const log = await openTestLog(new MemoryDisk(), config);
  for (const one of [quiet, keyed, batch(['a', 'b', 'c'], { producerId: 5n })]) log.appendAsLeader(one, at(1));
  await log.advanceStartOffset(toOffset(4));
  await log.truncateTo(toOffset(4));
  assert.deepEqual([log.startOffset, log.endOffset], [4, 4]);
  checkKnown(log, 'after the cut');
  assert.equal(log.producerState(5n), undefined);
});

test('a cut behind a deletion: the last five batches of each producer are those that are left', async () => {
  let disk = new MemoryDisk();
  let log = await openTestLog(disk, config);
  for (let i = 0; i < 20; i++) log.appendAsLeader(busy(i), at(10 + i));
  await log.advanceStartOffset(toOffset(14));
  await log.truncateTo(toOffset(16));
  const check = (): void =>
    assert.deepEqual(
      log.producerState(6n)?.batches.map(({ baseOffset }) => baseOffset),
      [11, 12, 13, 14, 15],
    );
  check();
  disk = disk.afterPowerLoss(() => false);
  log = await openTestLog(disk, config);
  check();
});
