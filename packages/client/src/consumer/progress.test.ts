import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ReceiveBuffer } from './buffer.ts';
import { checkUntil, PartitionProgress } from './progress.ts';

test('offsets are taken once: what lies below is skipped, what reaches beyond counts, gaps are passed', () => {
  const progress = new PartitionProgress('t', 0, 10);
  assert.equal(progress.take(0, 10), false);
  assert.equal(progress.take(5, 15), true);
  assert.equal(progress.take(5, 15), false);
  assert.equal(progress.take(20, 25), true);
  assert.equal(progress.fetched, 25);
  assert.equal(progress.position, 10);
  progress.deliver(15);
  assert.equal(progress.position, 15);
  progress.rewind();
  assert.deepEqual([progress.fetched, progress.generation], [15, 1]);
});

test('a partition is fetched, then finished, when its end is reached or passed', () => {
  const progress = new PartitionProgress('t', 0, 0);
  progress.end = 5;
  progress.take(0, 7);
  assert.deepEqual([progress.isFetched, progress.isFinished], [true, false]);
  progress.deliver(7);
  assert.equal(progress.isFinished, true);
  const empty = new PartitionProgress('t', 0, 5);
  empty.end = 5;
  assert.equal(empty.isFinished, true, 'nothing to read is an end too');
});

test('until is checked with its value', () => {
  for (const good of [undefined, 'end', 0, 5, new Date(), { count: 0 }] as const) checkUntil(good);
  for (const bad of [-1, 1.5, new Date('x'), { count: -1 }, { count: 0.5 }]) assert.throws(() => checkUntil(bad));
});

test('the buffer gives batches in order, drops what is out of date, and holds the wire back when it is full', async () => {
  const progress = new PartitionProgress('t', 0, 0);
  const buffer = new ReceiveBuffer(10);
  const batch = (endOffset: number) => ({
    progress,
    generation: progress.generation,
    bytes: undefined,
    size: 6,
    endOffset,
  });
  const { signal } = new AbortController();
  buffer.push(batch(1));
  await buffer.room(signal);
  buffer.push(batch(2));
  let hasRoom = false;
  const room = buffer.room(signal).then(() => {
    hasRoom = true;
  });
  await Promise.resolve();
  assert.equal(hasRoom, false);
  assert.equal(buffer.shift()?.endOffset, 1);
  await room;
  progress.moveTo(50);
  buffer.dropOutdated(progress);
  assert.equal(buffer.bytes, 0);
  buffer.push(batch(51));
  assert.equal(buffer.shift()?.endOffset, 51);
  assert.equal(buffer.shift(), undefined);
  const news = buffer.news();
  buffer.finish();
  assert.deepEqual(await news, { error: undefined });
});
