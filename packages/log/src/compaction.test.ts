/** Key compaction: what goes, what stays, and that nothing else of the log can tell the difference. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openBatch, splitFrames, viewRecords } from '@fleetmq/record';
import { nodeCodecs } from '@fleetmq/record/codecs/node';
import { tableChecksum, toOffset } from '@fleetmq/shared';
import fc from 'fast-check';
import type { LogConfig, PartitionLog } from './index.ts';
import { epoch, openTestLog, readAll } from './testing/batches.ts';
import { compact, compactRequest, type KeyedRecord, keyedBatch, recordsIn } from './testing/keyed.fuzz.ts';
import { MemoryDisk } from './testing/memory-disk.ts';

const config: Partial<LogConfig> = {
  segmentBytes: 500,
  retentionMs: -1,
  indexIntervalBytes: 100,
  idempotencyWindowMs: 0,
};
const at = (appendTimeMs: number, leaderEpoch = 1) => ({ leaderEpoch: epoch(leaderEpoch), appendTimeMs });

/** A log with one record for each of these, `key=value`, `key=` for a tombstone, `=value` for none. */
async function logOf(texts: readonly string[], settings = config, disk = new MemoryDisk()): Promise<PartitionLog> {
  const log = await openTestLog(disk, settings);
  texts.forEach((text, i) => {
    log.appendAsLeader(keyedBatch([text]), at(1000 + i));
  });
  await log.flush();
  return log;
}

const many = (count: number, text: (i: number) => string): string[] => Array.from({ length: count }, (_, i) => text(i));
const served = async (log: PartitionLog): Promise<string[]> => recordsIn(await readAll(log)).map(({ text }) => text);

test('of each key the newest record stays, at its offset; what has no key, and what is in the active segment, stays', async () => {
  const texts = [...many(40, (i) => `k${i % 4}=v${i}`), '=free', ...many(6, (i) => `last${i}=x`)];
  const log = await logOf(texts);
  const size = log.sizeBytes;
  const report = await compact(log);
  const found = recordsIn(await readAll(log));
  const kept = new Set(found.map(({ offset }) => offset));
  const expected = texts.flatMap((text, offset) => (offset >= 36 || kept.has(offset) ? [`${offset}:${text}`] : []));
  assert.deepEqual(
    found.map(({ offset, text }) => `${offset}:${text}`),
    expected,
  );
  const keys = found.map(({ text }) => text.split('=')[0]).filter((key) => key !== '');
  assert.equal(new Set(keys).size, keys.length);
  assert.ok(kept.has(40));
  assert.equal(report.removedRecords, 36);
  assert.equal(report.hasMore, false);
  assert.equal(size - log.sizeBytes, report.removedBytes);
  assert.deepEqual([log.startOffset, log.endOffset, log.durableEndOffset], [0, 47, 47]);
  const again = await compact(log);
  assert.deepEqual([again.readBytes, again.cleanedTo], [0, report.cleanedTo]);
});

test('nothing at or above the high watermark is removed, nor counts as newer', async () => {
  const texts = many(30, (i) => `k=v${i}`);
  for (const highWatermark of [0, 7, 15, 29]) {
    const log = await logOf(texts);
    await compact(log, { highWatermark: toOffset(highWatermark) });
    const offsets = recordsIn(await readAll(log)).map(({ offset }) => offset);
    assert.ok(offsets.includes(highWatermark));
    const below = offsets.filter((offset) => offset < highWatermark);
    assert.equal(offsets.length - below.length, 30 - highWatermark);
    // The last of those that are known to be committed, in a segment that is whole below the watermark, stays.
    assert.ok(highWatermark === 0 || below.length > 0, `${highWatermark}: ${offsets}`);
  }
});

test('records stay for the lag, and a log that has little that is new is left alone', async () => {
  const log = await logOf(many(30, (i) => `k=v${i}`));
  assert.equal((await compact(log, { nowMs: 1010, minLagMs: 1000 })).removedRecords, 0);
  const { removedRecords, cleanedTo } = await compact(log, { nowMs: 2015, minLagMs: 1000 });
  assert.ok(removedRecords > 0 && cleanedTo <= 16, `${removedRecords} records, ${cleanedTo}`);
  assert.equal((await compact(log, { nowMs: 2100, dirtyRatioMin: 1 })).removedRecords, 0);
  assert.ok((await compact(log, { nowMs: 2100, dirtyRatioMin: 0.1 })).removedRecords > 0);
});

test('a tombstone deletes what is before it at once, and goes itself when its grace period is over', async () => {
  const log = await logOf(['a=1', 'b=1', 'a=', ...many(20, (i) => `filler=${i}`)]);
  const grace = { deleteRetentionMs: 500 };
  await compact(log, { ...grace, nowMs: 5000 });
  assert.deepEqual((await served(log)).slice(0, 2), ['b=1', 'a=']);
  await compact(log, { ...grace, nowMs: 5499 });
  assert.deepEqual((await served(log)).slice(0, 2), ['b=1', 'a=']);
  // Nothing is new, yet it is time.
  await compact(log, { ...grace, nowMs: 5500 });
  assert.equal((await served(log))[0], 'b=1');
  assert.ok(!(await served(log)).includes('a='));
  assert.equal((await compact(log, { ...grace, nowMs: 9000 })).readBytes, 0);
});

test('the grace period begins when the records before the tombstone are gone, and survives a restart', async () => {
  const disk = new MemoryDisk();
  let log = await logOf(['a=1', 'a=', ...many(20, (i) => `filler=${i}`)], config, disk);
  await compact(log, { deleteRetentionMs: 500, nowMs: 1_000_000 });
  assert.ok((await served(log)).includes('a='));
  await log.close();
  log = await openTestLog(disk, config);
  await compact(log, { deleteRetentionMs: 500, nowMs: 1_000_499 });
  assert.ok((await served(log)).includes('a='));
  await compact(log, { deleteRetentionMs: 500, nowMs: 1_000_500 });
  assert.ok(!(await served(log)).includes('a='));
});

test('the newest record of all is a tombstone: the end, the epochs and the next offset are what they were', async () => {
  const disk = new MemoryDisk();
  let log = await openTestLog(disk, config);
  for (let i = 0; i < 12; i++)
    log.appendAsLeader(keyedBatch([i % 3 === 2 ? 'k=' : `k=${i}`]), at(1000 + i, 1 + Math.floor(i / 4)));
  await log.flush();
  // The active segment is empty after this, so that everything can go.
  await log.applyRetention({ nowMs: 1000, highWatermark: toOffset(0) });
  log.configure({ segmentMs: 1 });
  log.appendAsLeader(keyedBatch(['other=1']), at(9000, 3));
  await log.flush();
  const before = { end: log.endOffset, epochs: log.epochs };
  await compact(log, { nowMs: 10_000, deleteRetentionMs: 0 });
  await compact(log, { nowMs: 10_001, deleteRetentionMs: 0 });
  assert.deepEqual(await served(log), ['other=1']);
  for (let life = 0; life < 3; life++) {
    assert.deepEqual({ end: log.endOffset, epochs: log.epochs }, before);
    if (life === 1) await disk.remove('topics/t-0/epochs');
    log = await openTestLog(disk, config);
  }
  const { baseOffset } = log.appendAsLeader(keyedBatch(['k=new']), at(10_000, 3));
  assert.equal(baseOffset, before.end);
});

test('a map that is full ends the pass, and the next one goes on', async () => {
  const long = 'x'.repeat(100_000);
  const texts = many(220, (i) => `${long}${i % 110}=v${i}`);
  const settings = { ...config, segmentBytes: 500_000, checkpointBytes: 1e8 };
  const log = await logOf(texts, settings);
  const first = await compact(log);
  assert.equal(first.hasMore, true);
  let passes = 1;
  for (let more = true; more; passes++) more = (await compact(log, { dirtyRatioMin: 0 })).hasMore;
  assert.ok(passes > 1 && passes < 10);
  const keys: string[] = [];
  for (let from = toOffset(0); from < 210; ) {
    const { bytes, nextOffset } = await log.read({ from, upTo: toOffset(210), maxBytes: 1_000_000 });
    keys.push(...recordsIn(bytes).map(({ text }) => text.slice(0, text.indexOf('='))));
    from = nextOffset;
  }
  assert.equal(new Set(keys).size, keys.length);
});

test('readers, appends and a compaction at the same time: no reader sees anything but the records at their offsets', async () => {
  const texts = many(200, (i) => `k${i % 7}=v${i}`);
  const log = await logOf(texts);
  let isDone = false;
  const read = async (step: number): Promise<number> => {
    let reads = 0;
    for (let from = 0; !isDone || from > 0; reads++) {
      const { bytes, nextOffset } = await log.read({ from: toOffset(from), upTo: toOffset(200), maxBytes: 200 * step });
      for (const { offset, text } of recordsIn(bytes)) assert.equal(text, texts[offset]);
      assert.ok(nextOffset > from);
      from = nextOffset >= 200 ? 0 : nextOffset;
      await new Promise((resolve) => setImmediate(resolve));
    }
    return reads;
  };
  const readers = [1, 2, 5].map(read);
  for (let i = 0; i < 30; i++) log.appendAsLeader(keyedBatch([`k${i % 7}=later`]), at(3000 + i));
  const compacted = await compact(log, {
    highWatermark: toOffset(200),
    pace: () => new Promise((resolve) => setImmediate(resolve)),
  });
  isDone = true;
  assert.ok(compacted.removedRecords > 150);
  for (const reads of await Promise.all(readers)) assert.ok(reads > 10);
  assert.equal(log.endOffset, 230);
});

test('a log that is cut, reset or closed while it is compacted keeps what it then has', async () => {
  for (const change of ['reset', 'close', 'deletion'] as const) {
    const disk = new MemoryDisk();
    const log = await logOf(
      many(100, (i) => `k${i % 5}=v${i}`),
      config,
      disk,
    );
    let chunks = 0;
    let changed: Promise<void> | undefined;
    const pace = async (): Promise<void> => {
      if (++chunks !== 12) return;
      changed =
        change === 'reset'
          ? log.resetTo(toOffset(500))
          : change === 'close'
            ? log.close()
            : log.advanceStartOffset(toOffset(90));
      await Promise.race([changed, new Promise((resolve) => setImmediate(resolve))]);
    };
    await compact(log, { pace }).catch((error) => assert.match(error.code, /NOT_AVAILABLE|SHUTTING_DOWN/));
    await changed;
    const after = await openTestLog(disk.clone(), config);
    if (change === 'reset') assert.deepEqual([after.startOffset, after.endOffset], [500, 500]);
    else assert.equal(after.endOffset, 100);
    if (change === 'deletion') assert.equal(after.startOffset, 90);
    await readAll(after);
    assert.deepEqual(
      disk.paths().filter((path) => /cleaned|swap/.test(path)),
      [],
    );
  }
});

const record = fc.record({
  key: fc.nat(6),
  value: fc.option(fc.nat(99), { freq: 4 }),
  size: fc.constantFrom(0, 0, 0, 60),
});
const batchInput = fc.record({
  records: fc.array(record, { minLength: 1, maxLength: 5 }),
  codec: fc.constantFrom(0, 0, 1, 2, 3),
  producer: fc.nat(3),
  raise: fc.boolean(),
  timed: fc.boolean(),
});

function textOf({ key, value, size }: { key: number; value: number | null; size: number }): string {
  const name = key === 6 ? '' : `k${key}`;
  return value === null && name !== '' ? `${name}=` : `${name}=v${value ?? 0}${'.'.repeat(size)}`;
}

test('whatever is appended: only void records go, the log says of itself what it said, and every replica can follow it', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(batchInput, { minLength: 10, maxLength: 60 }), fc.nat(100), async (inputs, cut) => {
      const disk = new MemoryDisk();
      let log = await openTestLog(disk, config);
      const written: KeyedRecord[] = [];
      const borders = [0];
      let leaderEpoch = 1;
      for (const [i, { records, codec, producer, raise, timed }] of inputs.entries()) {
        leaderEpoch += raise && i % 3 === 0 ? 1 : 0;
        const texts = records.map(textOf);
        const known = log.producerState(BigInt(producer))?.batches.at(-1);
        const baseSequence = known === undefined ? 0 : known.baseSequence + known.recordCount;
        const identity = producer === 0 ? {} : { producerId: BigInt(producer), baseSequence };
        const made = keyedBatch(texts, {
          ...identity,
          codec: nodeCodecs.get(codec),
          timestampMs: timed ? 1000 + i : undefined,
        });
        const { baseOffset, endOffset } = log.appendAsLeader(made, at(1000 + i, leaderEpoch));
        texts.forEach((text, j) => {
          written.push({ offset: baseOffset + j, text });
        });
        borders.push(endOffset);
        if (i % 20 === 19)
          await compact(log, { highWatermark: toOffset(borders.at(-3)!), nowMs: 1e6 + i, deleteRetentionMs: 5 });
      }
      await log.flush();
      const original = await openTestLog(disk.clone(), config);
      const highWatermark = borders[Math.floor((borders.length * cut) / 101)]!;
      const facts = factsOf(log);
      await compact(log, { highWatermark: toOffset(highWatermark), nowMs: 2e6, deleteRetentionMs: 1e9 });
      checkRecords(recordsIn(await readAll(log)), written, original.endOffset);
      assert.deepEqual(factsOf(log), facts);
      await checkFollowers(log, borders);
      // From the frames alone: what the log knows is all in there.
      for (const name of ['epochs', 'compaction']) await disk.remove(`topics/t-0/${name}`);
      for (const path of disk.paths()) if (/producers$|index$/.test(path)) await disk.remove(path);
      log = await openTestLog(disk, config);
      assert.deepEqual(factsOf(log), facts);
      checkRecords(recordsIn(await readAll(log)), written, original.endOffset);
    }),
    { numRuns: 60 },
  );
});

function factsOf(log: PartitionLog) {
  const { startOffset, endOffset, epochs, lastEpoch } = log;
  const lasts = [1n, 2n, 3n].map((id) => log.producerState(id)?.batches.at(-1));
  return { startOffset, endOffset, epochs, lastEpoch, lasts };
}

/** Each record is where it was; of each key the last state is what it was. */
function checkRecords(found: readonly KeyedRecord[], written: readonly KeyedRecord[], end: number): void {
  const byOffset = new Map(written.map(({ offset, text }) => [offset, text]));
  for (const { offset, text } of found) assert.equal(text, byOffset.get(offset), `offset ${offset}`);
  assert.ok(found.every(({ offset }, i) => i === 0 || offset > found[i - 1]!.offset));
  assert.deepEqual(stateOf(found), stateOf(written));
  const free = (records: readonly KeyedRecord[]) => records.filter(({ text }) => text.startsWith('='));
  assert.deepEqual(free(found), free(written));
  assert.ok(found.every(({ offset }) => offset < end));
}

/** The value of each key that has one. */
function stateOf(records: readonly KeyedRecord[]): Map<string, string> {
  const state = new Map<string, string>();
  for (const { text } of records) {
    const [key, value] = text.split('=') as [string, string];
    if (value === '') state.delete(key);
    else if (key !== '') state.set(key, value);
  }
  return new Map([...state].sort());
}

/** A replica that ends at any border of the old batches can go on there, with frames from there or from before. */
async function checkFollowers(leader: PartitionLog, borders: readonly number[]): Promise<void> {
  const whole = await readAll(leader);
  for (const border of borders.filter((_, i) => i % 7 === 3)) {
    const follower = await openTestLog(new MemoryDisk(), config, { startOffset: toOffset(border) });
    follower.appendAsFollower(await readAll(leader, toOffset(border)));
    await follower.flush();
    assert.equal(follower.endOffset, leader.endOffset);
    const expected = recordsIn(whole).filter(({ offset }) => offset >= border);
    assert.deepEqual(recordsIn(await readAll(follower)), expected);
    if (border < leader.endOffset) assert.equal(follower.lastEpoch, leader.lastEpoch);
  }
  for (let from = 0; from < leader.endOffset; from += 3) {
    const { bytes, nextOffset } = await leader.read({ from: toOffset(from), upTo: leader.endOffset, maxBytes: 1 });
    assert.ok(nextOffset > from);
    const [first] = splitFrames(bytes, tableChecksum);
    const found = recordsIn(first!).filter(({ offset }) => offset >= from);
    assert.deepEqual(
      found,
      recordsIn(whole).filter(({ offset }) => offset >= from && offset < nextOffset),
    );
  }
}

test('a batch in a codec that is not there stays whole, and so do tombstones after it', async () => {
  const log = await openTestLog(new MemoryDisk(), config);
  log.appendAsLeader(keyedBatch(['a=1', 'b=1'], { codec: nodeCodecs.get(2) }), at(1000));
  log.appendAsLeader(keyedBatch(['a=']), at(1001));
  for (let i = 0; i < 20; i++) log.appendAsLeader(keyedBatch([`filler=${i}`]), at(1002 + i));
  await log.flush();
  const blind = { codecs: new Map(), deleteRetentionMs: 0 };
  await compact(log, { ...blind, nowMs: 5000 });
  await compact(log, { ...blind, nowMs: 6000 });
  assert.deepEqual((await served(log)).slice(0, 3), ['a=1', 'b=1', 'a=']);
  for (let i = 0; i < 20; i++) log.appendAsLeader(keyedBatch([`filler=${i}`]), at(7000 + i));
  await log.flush();
  const frames = splitFrames(await readAll(log), tableChecksum);
  assert.equal(openBatch(frames[0]!.subarray(frames[0]!.indexOf(0x08)), { codecs: nodeCodecs }).recordCount, 2);
  assert.ok(
    [...viewRecords(openBatch(frames[0]!.subarray(frames[0]!.indexOf(0x08)), { codecs: nodeCodecs }))].length === 2,
  );
});

test('a batch whose idempotency key is still remembered is not touched, and is still known afterwards', async () => {
  const settings = { ...config, idempotencyWindowMs: 600 };
  const disk = new MemoryDisk();
  let log = await openTestLog(disk, settings);
  const keyed = keyedBatch(['a=1', 'b=1'], { idempotencyKey: 'order-1' });
  for (let i = 0; i < 10; i++) log.appendAsLeader(keyedBatch([`a=${i}`]), at(1000 + i));
  log.appendAsLeader(keyed, at(1100));
  for (let i = 0; i < 10; i++) log.appendAsLeader(keyedBatch([`a=${i}`]), at(1200 + i));
  await log.flush();
  await compact(log, { nowMs: 1600 });
  for (const path of disk.paths()) if (path.endsWith('producers')) await disk.remove(path);
  log = await openTestLog(disk, settings);
  assert.equal(log.appendAsLeader(keyed, at(1600)).kind, 'duplicate');
  await compact(log, { ...compactRequest, nowMs: 1701 });
  assert.ok(!(await served(log)).includes('a=1'));
});
