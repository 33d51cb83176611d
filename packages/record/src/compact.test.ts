/** What compaction leaves of a frame is still a batch for every reader of the contract. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { FetchPartitionResponseSchema } from '@fleetmq/gen/client/consumer';
import { tableChecksum } from '@fleetmq/shared';
import { BatchBuilder } from './builder.ts';
import { nodeCodecs } from './codecs/node.ts';
import { clipGap, emptiedFrame, gapBytes, gapFrame, isGap, thinnedFrame } from './compact.ts';
import { decodeRecords, openBatch } from './decode.ts';
import { batchOfFrame, FrameCursor, splitFrames } from './frames.ts';
import { readBatchHeader } from './header.ts';
import { inflateFrames } from './inflate.ts';
import { defaultBatchLimits } from './limits.ts';
import { joinFrame, sealFrame } from './seal.ts';
import { validateProduced } from './validate.ts';

const text = new TextEncoder();
const leader = { baseOffset: 1000, leaderEpoch: 7, appendTimeMs: 123_456 };

/** Ten records `k0` to `k9`, with headers and times. */
function frameOf(codec: number): Uint8Array {
  const builder = new BatchBuilder();
  for (let i = 0; i < 10; i++) {
    const headers = [{ key: 'h', value: text.encode(`${i}`) }];
    builder.append(text.encode(`k${i}`), i === 3 ? undefined : text.encode(`value ${i}`), headers, 5000 + i);
  }
  const options = { producerId: 77n, producerEpoch: 2, baseSequence: 40, idempotencyKey: 'once' };
  const compression = nodeCodecs.get(codec);
  const { bytes } = builder.build(
    compression === undefined ? options : { ...options, codec: compression },
    tableChecksum,
  );
  return joinFrame(sealFrame(validateProduced(bytes, defaultBatchLimits, tableChecksum), leader, tableChecksum));
}

function cursorOn(frame: Uint8Array): FrameCursor {
  const cursor = new FrameCursor(frame);
  assert.equal(cursor.next(), 'frame');
  assert.ok(cursor.hasValidChecksum(tableChecksum));
  assert.equal(cursor.end, frame.length);
  return cursor;
}

const readers = { codecs: nodeCodecs, checksum: tableChecksum };

for (const codec of [0, 1, 2, 3]) {
  test(`records go from a batch of codec ${codec}, once and again: the others keep offset, fields and times`, async () => {
    let frame = frameOf(codec);
    const original = decodeRecords(openBatch(batchOfFrame(frame, tableChecksum), readers));
    for (const kept of [[0, 1, 3, 4, 8], [1, 3, 8], [8]]) {
      const cursor = cursorOn(frame);
      const batch = openBatch(frame.subarray(cursor.batchStart), readers);
      const keep = ({ offset }: { offset: number }): boolean => kept.includes(offset - 1000);
      frame = await thinnedFrame(batch, cursor.trailer, keep, {
        codec: nodeCodecs.get(codec),
        checksum: tableChecksum,
      });
      const { trailer, batchStart } = cursorOn(frame);
      assert.deepEqual([trailer.baseOffset, trailer.endOffset, trailer.recordCount], [1000, 1010, kept.length]);
      assert.deepEqual([trailer.leaderEpoch, trailer.appendTimeMs], [7, 123_456]);
      const thinned = openBatch(frame.subarray(batchStart), readers);
      assert.deepEqual(
        decodeRecords(thinned),
        original.filter(({ offset }) => kept.includes(offset - 1000)),
      );
      const { header } = thinned;
      assert.deepEqual([header.producerId, header.producerEpoch, header.baseSequence], [77n, 2, 40]);
      assert.deepEqual([header.firstTimestampMs, header.maxTimestampMs], [5000 + kept[0]!, 5000 + kept.at(-1)!]);
      assert.deepEqual([header.compressionType, header.idempotencyKey], [codec, '']);
      const { bytes } = inflateFrames(frame, { ...readers, accepted: new Set() });
      const [message] = fromBinary(FetchPartitionResponseSchema, bytes).batches;
      assert.deepEqual(
        message?.records.map(({ offsetDelta }, i) => Number(offsetDelta ?? i)),
        kept,
      );
      assert.equal(Number(message?.baseOffset), 1000);
    }
  });
}

test('an emptied batch keeps who sent it and where it was, a gap only where it was', () => {
  const cursor = cursorOn(frameOf(2));
  const header = readBatchHeader(cursor.bytes, cursor.batchStart, cursor.end);
  const emptied = emptiedFrame(header, cursor.trailer, tableChecksum);
  const gap = gapFrame({ ...leader, baseOffset: 1010, endOffset: 9_000_000_000 }, tableChecksum);
  assert.deepEqual([isGap(cursorOn(emptied)), isGap(cursorOn(gap)), gap.length], [false, true, gapBytes]);
  for (const [frame, end] of [
    [emptied, 1010],
    [gap, 9_000_000_000],
  ] as const) {
    const batch = openBatch(batchOfFrame(frame, tableChecksum), readers);
    assert.deepEqual([decodeRecords(batch), batch.endOffset], [[], end]);
    assert.equal(fromBinary(FetchPartitionResponseSchema, frame).batches[0]?.records.length, 0);
  }
  const known = readBatchHeader(batchOfFrame(emptied, tableChecksum));
  assert.deepEqual([known.producerId, known.producerEpoch, known.baseSequence], [77n, 2, 40]);
});

test('a gap is clipped in place', () => {
  const frames = Uint8Array.from([
    ...gapFrame({ ...leader, endOffset: 3000 }, tableChecksum),
    ...gapFrame({ ...leader, baseOffset: 3000, endOffset: 3001 }, tableChecksum),
  ]);
  clipGap(frames, gapBytes, 2999, tableChecksum);
  const ends = splitFrames(frames, tableChecksum).map((frame) => cursorOn(frame).trailer);
  assert.deepEqual(
    ends.map(({ baseOffset, endOffset, leaderEpoch }) => [baseOffset, endOffset, leaderEpoch]),
    [
      [2999, 3000, 7],
      [3000, 3001, 7],
    ],
  );
});
