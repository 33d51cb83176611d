import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DomainError, type Offset, toOffset } from '@fleetmq/shared';
import { OpenSegments } from './open-segments.ts';
import { batch, contentOf, epoch, folder, openTestLog, readAll, recordsOf } from './testing/batches.ts';
import { MemoryDisk } from './testing/memory-disk.ts';

const at = (appendTimeMs: number, leaderEpoch = 1) => ({ leaderEpoch: epoch(leaderEpoch), appendTimeMs });

test('appends get offsets at once, are durable in one group, and are read back as they were', async () => {
  const disk = new MemoryDisk();
  const durable: Offset[] = [];
  const log = await openTestLog(disk, {}, { onDurable: (end) => durable.push(end) });
  assert.deepEqual(log.appendAsLeader(batch(['a', 'b']), at(1000)), {
    kind: 'appended',
    baseOffset: 0,
    endOffset: 2,
    appendTimeMs: 1000,
  });
  log.appendAsLeader(batch(['c']), at(1001));
  assert.equal(log.endOffset, 3);
  assert.equal(log.durableEndOffset, 0);
  assert.ok(log.pendingBytes > 0);
  assert.deepEqual(recordsOf((await log.read({ from: toOffset(0), upTo: toOffset(3), maxBytes: 1e6 })).bytes), [
    '0:a',
    '1:b',
    '2:c',
  ]);
  await log.whenDurable(toOffset(3));
  assert.deepEqual(durable, [3]);
  assert.equal(log.pendingBytes, 0);
  assert.deepEqual(await contentOf(log), ['0:a', '1:b', '2:c']);
  assert.equal(log.lastEpoch, 1);
  await log.close();
  assert.throws(() => log.appendAsLeader(batch(['x']), at(1)), { code: 'SHUTTING_DOWN' });
});

test('a stretch of a segment file is what a fetch answers', async () => {
  const disk = new MemoryDisk();
  const log = await openTestLog(disk);
  for (let i = 0; i < 5; i++) log.appendAsLeader(batch([`v${i}`]), at(i));
  await log.flush();
  const file = disk.peek(`${folder}/00000000000000000000.log`);
  assert.deepEqual(await readAll(log), file);
});

test('a read starts with the frame that holds the offset, has whole frames, and stops at its bounds', async () => {
  const log = await openTestLog(new MemoryDisk(), { indexIntervalBytes: 100 });
  for (let i = 0; i < 10; i++) log.appendAsLeader(batch([`a${i}`, `b${i}`, `c${i}`]), at(i));
  await log.flush();
  const read = async (from: number, upTo: number, maxBytes: number): Promise<[string[], number, number]> => {
    const answer = await log.read({ from: toOffset(from), upTo: toOffset(upTo), maxBytes });
    return [recordsOf(answer.bytes), answer.baseOffset, answer.nextOffset];
  };
  assert.deepEqual(await read(4, 30, 1), [['3:a1', '4:b1', '5:c1'], 3, 6]);
  assert.deepEqual(await read(29, 30, 1), [['27:a9', '28:b9', '29:c9'], 27, 30]);
  assert.deepEqual(await read(4, 5, 1000), [[], 4, 4]);
  assert.deepEqual(await read(4, 8, 1000), [['3:a1', '4:b1', '5:c1'], 3, 6]);
  assert.deepEqual(await read(30, 30, 1000), [[], 30, 30]);
  assert.deepEqual((await read(0, 30, 1e6))[2], 30);
  await assert.rejects(read(31, 40, 10), { code: 'OFFSET_OUT_OF_RANGE' });
});

test('segments roll by size and by time, and reads go on across them', async () => {
  const disk = new MemoryDisk();
  const config = { segmentBytes: 300, segmentMs: 1000, indexIntervalBytes: 64 };
  const log = await openTestLog(disk, config, { openSegments: new OpenSegments(1) });
  for (let i = 0; i < 40; i++) log.appendAsLeader(batch([`value ${i}`]), at(i < 30 ? i : i * 2000));
  await log.flush();
  const segments = disk.paths().filter((path) => path.endsWith('.log'));
  assert.ok(segments.length > 15, `${segments.length}`);
  assert.equal((await contentOf(log)).length, 40);
  assert.equal(
    log.sizeBytes,
    segments.reduce((total, path) => total + disk.peek(path)!.length, 0),
  );
  await log.close();
  const again = await openTestLog(disk, { segmentBytes: 300 });
  assert.equal(again.recovery.wasClean, true);
  assert.equal((await contentOf(again)).length, 40);
  assert.equal(again.endOffset, 40);
});

test('a follower stores the frames of the leader byte for byte, and refuses what does not follow', async () => {
  const leader = await openTestLog(new MemoryDisk());
  leader.appendAsLeader(batch(['a', 'b'], { producerId: 7n }), at(5, 1));
  leader.appendAsLeader(batch(['c'], { producerId: 7n, baseSequence: 2 }), at(6, 2));
  leader.appendAsLeader(batch(['d'], { idempotencyKey: 'k' }), at(7, 3));
  await leader.flush();
  const frames = await readAll(leader);
  const disk = new MemoryDisk();
  const follower = await openTestLog(disk, { segmentBytes: 150 });
  assert.equal(follower.appendAsFollower(frames), 4);
  await follower.flush();
  assert.deepEqual(await readAll(follower), frames);
  assert.deepEqual(follower.epochs, leader.epochs);
  assert.deepEqual(follower.producerState(7n), leader.producerState(7n));
  assert.equal(disk.paths().filter((path) => path.endsWith('.log')).length, 2);

  assert.throws(() => follower.appendAsFollower(frames), { code: 'OFFSET_OUT_OF_RANGE' });
  const bad = frames.slice();
  bad[10]! ^= 1;
  const third = await openTestLog(new MemoryDisk());
  assert.throws(() => third.appendAsFollower(bad), { code: 'CORRUPT_BATCH' });
  assert.throws(() => third.appendAsFollower(frames.subarray(0, frames.length - 1)), { code: 'CORRUPT_BATCH' });
  assert.equal(third.endOffset, 0);
  const { bytes } = await leader.read({ from: toOffset(2), upTo: toOffset(3), maxBytes: 1 });
  assert.throws(() => third.appendAsFollower(bytes), { code: 'OFFSET_OUT_OF_RANGE' });
  const stale = await openTestLog(new MemoryDisk());
  stale.appendAsLeader(batch(['x', 'y']), at(1, 9));
  assert.throws(() => stale.appendAsFollower(bytes), { code: 'STALE_EPOCH' });
  assert.throws(() => stale.appendAsLeader(batch(['x']), at(1, 8)), { code: 'STALE_EPOCH' });
});

test('epochs answer as KIP-101 asks, before and after truncation and restart', async () => {
  const disk = new MemoryDisk();
  let log = await openTestLog(disk);
  assert.deepEqual(log.endOffsetForEpoch(epoch(3)), { epoch: 0, endOffset: 0 });
  for (const leaderEpoch of [2, 2, 5, 5, 9]) log.appendAsLeader(batch(['x', 'y']), at(1, leaderEpoch));
  await log.flush();
  const expected = (): void => {
    assert.deepEqual(log.endOffsetForEpoch(epoch(1)), { epoch: 0, endOffset: 0 });
    assert.deepEqual(log.endOffsetForEpoch(epoch(2)), { epoch: 2, endOffset: 4 });
    assert.deepEqual(log.endOffsetForEpoch(epoch(4)), { epoch: 2, endOffset: 4 });
    assert.deepEqual(log.endOffsetForEpoch(epoch(8)), { epoch: 5, endOffset: 8 });
  };
  expected();
  assert.deepEqual(log.endOffsetForEpoch(epoch(99)), { epoch: 9, endOffset: 10 });
  await log.close();
  log = await openTestLog(disk);
  expected();
  await log.truncateTo(toOffset(9));
  assert.equal(log.endOffset, 8);
  expected();
  assert.equal(log.lastEpoch, 5);
  log = await openTestLog(disk.afterPowerLoss(() => false));
  expected();
  assert.equal(log.endOffset, 8);
});

test('truncation cuts at a frame border, across segments, and forgets producers of what is gone', async () => {
  const disk = new MemoryDisk();
  const log = await openTestLog(disk, { segmentBytes: 200, indexIntervalBytes: 50 });
  for (let i = 0; i < 20; i++) {
    log.appendAsLeader(
      batch([`a${i}`, `b${i}`], { producerId: 3n, baseSequence: i * 2 }),
      at(i, 1 + Math.floor(i / 4)),
    );
  }
  await log.truncateTo(toOffset(15));
  assert.equal(log.endOffset, 14);
  assert.equal(log.durableEndOffset, 14);
  assert.equal((await contentOf(log)).length, 14);
  assert.equal(log.lastEpoch, 2);
  assert.equal(log.producerState(3n)?.batches.at(-1)?.baseSequence, 12);
  log.appendAsLeader(batch(['new'], { producerId: 3n, baseSequence: 14 }), at(50, 7));
  await log.flush();
  assert.equal((await contentOf(log)).at(-1), '14:new');
  await log.truncateTo(toOffset(99));
  assert.equal(log.endOffset, 15);
  await log.close();
  const again = await openTestLog(disk);
  assert.equal((await contentOf(again)).at(-1), '14:new');
  assert.equal(again.producerState(3n)?.batches.at(-1)?.baseSequence, 14);
  await again.truncateTo(toOffset(0));
  assert.equal(again.endOffset, 0);
  assert.equal(again.lastEpoch, 0);
  again.appendAsLeader(batch(['first']), at(1));
  await again.flush();
  assert.deepEqual(await contentOf(again), ['0:first']);
});

test('reset drops everything and starts elsewhere, lower or higher', async () => {
  const disk = new MemoryDisk();
  const log = await openTestLog(disk, { segmentBytes: 200 });
  for (let i = 0; i < 9; i++) log.appendAsLeader(batch([`${i}`], { producerId: 1n, baseSequence: i }), at(i));
  await log.resetTo(toOffset(100));
  assert.deepEqual([log.startOffset, log.endOffset, log.durableEndOffset, log.lastEpoch], [100, 100, 100, 0]);
  assert.equal(log.producerState(1n), undefined);
  log.appendAsLeader(batch(['x']), at(3));
  await log.flush();
  assert.deepEqual(await contentOf(log), ['100:x']);
  await log.resetTo(toOffset(4));
  log.appendAsLeader(batch(['y']), at(3));
  await log.flush();
  await log.close();
  const again = await openTestLog(disk);
  assert.deepEqual(await contentOf(again), ['4:y']);
  assert.equal(again.startOffset, 4);
});

test('deleting from the front: the start is durable, whole segments go, reads below it are refused', async () => {
  const disk = new MemoryDisk();
  const log = await openTestLog(disk, { segmentBytes: 200 });
  for (let i = 0; i < 12; i++) log.appendAsLeader(batch([`${i}`]), at(i));
  await log.advanceStartOffset(toOffset(7));
  assert.equal(log.startOffset, 7);
  await assert.rejects(log.read({ from: toOffset(6), upTo: toOffset(12), maxBytes: 1 }), {
    code: 'OFFSET_OUT_OF_RANGE',
  });
  await assert.rejects(log.advanceStartOffset(toOffset(13)), { code: 'OFFSET_OUT_OF_RANGE' });
  await log.advanceStartOffset(toOffset(3));
  assert.equal(log.startOffset, 7);
  const logs = disk.paths().filter((path) => path.endsWith('.log'));
  assert.ok(logs.length < 6 && !logs[0]!.endsWith('00000.log'), logs.join());
  const again = await openTestLog(disk.afterPowerLoss(() => false));
  assert.equal(again.startOffset, 7);
  assert.equal(again.endOffset, 12);
  await assert.rejects(again.truncateTo(toOffset(6)), { code: 'OFFSET_OUT_OF_RANGE' });
  await again.truncateTo(toOffset(7));
  assert.deepEqual([again.startOffset, again.endOffset], [7, 7]);
});

test('retention goes by size and by age, never above the high watermark, and takes the active segment when all is old', async () => {
  const day = 86_400_000;
  const disk = new MemoryDisk();
  const log = await openTestLog(disk, { segmentBytes: 200, retentionMs: 7 * day, retentionBytes: -1 });
  for (let i = 0; i < 10; i++) log.appendAsLeader(batch([`${i}`], { timestampMs: i * day }), at(i * day + 5));
  await log.flush();
  const apply = (nowMs: number, highWatermark = 10) =>
    log.applyRetention({ nowMs, highWatermark: toOffset(highWatermark) });
  assert.deepEqual(await apply(7 * day), { deletedSegments: 0, deletedBytes: 0 });
  assert.equal((await apply(10 * day, 1)).deletedSegments, 0);
  const report = await apply(10.5 * day);
  assert.ok(report.deletedSegments >= 1 && report.deletedBytes > 0);
  const { startOffset } = log;
  assert.ok(startOffset > 0 && startOffset <= 4, `${startOffset}`);
  assert.equal((await contentOf(log))[0]?.split(':')[0], `${startOffset}`);
  await apply(30 * day);
  assert.deepEqual([log.startOffset, log.endOffset, log.sizeBytes], [10, 10, 0]);
  log.appendAsLeader(batch(['next']), at(31 * day));
  await log.flush();
  assert.deepEqual(await contentOf(log), ['10:next']);

  log.configure({ retentionMs: -1, retentionBytes: 500 });
  for (let i = 0; i < 20; i++) log.appendAsLeader(batch([`${i}`]), at(31 * day));
  await log.flush();
  await apply(99 * day, 31);
  assert.ok(log.sizeBytes >= 500 && log.sizeBytes < 800, `${log.sizeBytes}`);
});

test('a record time in the future keeps no segment longer than its append', async () => {
  const log = await openTestLog(new MemoryDisk(), { segmentBytes: 150, retentionMs: 1000 });
  for (let i = 0; i < 4; i++) log.appendAsLeader(batch(['x'], { timestampMs: 9e12 }), at(5000));
  await log.flush();
  assert.equal((await log.applyRetention({ nowMs: 5900, highWatermark: toOffset(4) })).deletedSegments, 0);
  await log.applyRetention({ nowMs: 6001, highWatermark: toOffset(4) });
  assert.equal(log.startOffset, 4);
});

test('an offset is found by time: in segments, in compressed batches, in what is not yet durable', async () => {
  const log = await openTestLog(new MemoryDisk(), { segmentBytes: 400, indexIntervalBytes: 60 });
  for (let i = 0; i < 30; i++)
    log.appendAsLeader(batch([`${i}a`, `${i}b`], { timestampMs: 1000 + i * 10 }), at(5000 + i));
  const find = (timestampMs: number, upTo = log.endOffset) => log.offsetForTime(timestampMs, upTo);
  const check = async (): Promise<void> => {
    assert.deepEqual(await find(0), { offset: 0, timestampMs: 1000 });
    assert.deepEqual(await find(1001), { offset: 2, timestampMs: 1010 });
    assert.deepEqual(await find(1290), { offset: 58, timestampMs: 1290 });
    assert.equal(await find(1291), undefined);
    assert.equal(await find(1290, toOffset(58)), undefined);
  };
  await check();
  await log.flush();
  await check();
  await log.advanceStartOffset(toOffset(31));
  assert.deepEqual(await find(0), { offset: 31, timestampMs: 1150 });
});

test('limits: pending bytes, frame size, waiters; a wait can be given up', async () => {
  const disk = new MemoryDisk();
  const log = await openTestLog(disk, { maxPendingBytes: 2000, maxFrameBytes: 1500, maxWaiters: 2 });
  assert.throws(() => log.appendAsLeader(batch(['x'.repeat(1490)]), at(1)), { code: 'RECORD_TOO_LARGE' });
  log.appendAsLeader(batch(['x'.repeat(1200)]), at(1));
  assert.throws(
    () => log.appendAsLeader(batch(['x'.repeat(1200)]), at(1)),
    (error: DomainError) => error.code === 'LIMIT_EXCEEDED' && error.retriable && error.retryAfterMs !== undefined,
  );
  await assert.rejects(log.whenDurable(toOffset(5)), { code: 'OFFSET_OUT_OF_RANGE' });
  const controller = new AbortController();
  const given = log.whenDurable(toOffset(1), controller.signal);
  const second = log.whenDurable(toOffset(1));
  await assert.rejects(log.whenDurable(toOffset(1)), { code: 'LIMIT_EXCEEDED' });
  controller.abort(new Error('enough'));
  await assert.rejects(given, /enough/);
  await second;
  await log.flush();
  assert.equal(log.endOffset, 1);
  await assert.rejects(openTestLog(disk, { segmentBytes: 1 }), { code: 'INVALID_CONFIG' });
});

test('a power cut after a truncation does not bring back the index of what was cut', async () => {
  let disk = new MemoryDisk();
  let log = await openTestLog(disk, { segmentBytes: 10_000 });
  for (let i = 0; i < 20; i++) log.appendAsLeader(batch([`${i}`], { timestampMs: 1000 + i }), at(1, 1));
  await log.close();
  log = await openTestLog(disk, { segmentBytes: 10_000 });
  await log.truncateTo(toOffset(3));
  for (let i = 3; i < 20; i++) log.appendAsLeader(batch([`${i}`], { timestampMs: 5000 + i }), at(2, 2));
  await log.flush();
  disk = disk.afterPowerLoss(() => false);
  log = await openTestLog(disk, { segmentBytes: 10_000 });
  assert.equal((await log.offsetForTime(5004, log.endOffset))?.offset, 4);
});
