import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromBinary } from '@bufbuild/protobuf';
import { RecordBatchSchema } from '@fleetmq/gen/common/types';
import { BufferPool, type Lease, tableChecksum, WireWriter } from '@fleetmq/shared';
import fc from 'fast-check';
import { nodeCodecs } from './codecs/node.ts';
import {
  BatchBuilder,
  batchOfFrame,
  type Codec,
  type Codecs,
  codecsOf,
  decodeRecords,
  defaultBatchLimits,
  inflateFrame,
  inflateFrames,
  joinFrame,
  openBatch,
  openBatchInBackground,
  sealFrame,
  splitFrames,
  validateProduced,
  viewRecords,
} from './index.ts';

const bytesOrNone = fc.option(fc.uint8Array({ maxLength: 200 }), { nil: undefined });
const recordInput = fc.record({
  key: bytesOrNone,
  value: bytesOrNone,
  headers: fc.array(
    fc.record({
      key: fc.oneof(fc.string({ unit: 'grapheme', maxLength: 8 }), fc.constant('\ufeffkey')),
      value: fc.uint8Array({ maxLength: 9 }),
    }),
    {
      maxLength: 3,
    },
  ),
  timestampMs: fc.option(fc.integer({ min: -62_135_596_800_000, max: 253_402_300_799_000 }), { nil: undefined }),
});
const codecChoice = fc.constantFrom(0, 1, 2, 3);
/** The same, in the background whatever the size. */
const backgroundCodecs = codecsOf(...[...nodeCodecs.values()].map((codec) => withBackgroundFrom(codec, 0)));

function withBackgroundFrom(codec: Codec, from: number): Codec {
  const background = { ...codec.background!, compressFrom: from, decompressFrom: from };
  return { ...codec, background };
}

function stored(batch: Uint8Array, baseOffset: number, appendTimeMs = 99): Uint8Array {
  const validated = validateProduced(batch, defaultBatchLimits, tableChecksum);
  return joinFrame(sealFrame(validated, { baseOffset, leaderEpoch: 1, appendTimeMs }, tableChecksum));
}

test('what goes into a builder comes out of a stored batch, for every codec; a builder can be used again', async () => {
  const builder = new BatchBuilder({ initialBytes: 16 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(recordInput, { minLength: 1, maxLength: 20 }),
      codecChoice,
      fc.constantFrom(nodeCodecs, backgroundCodecs),
      fc.nat(1e9),
      async (inputs, id, codecs: Codecs, base) => {
        const codec = codecs.get(id);
        for (const input of inputs) {
          const before = builder.byteLength;
          const after = builder.append(input.key, input.value, input.headers, input.timestampMs);
          assert.ok(after > before && after === builder.byteLength);
        }
        const options = codec === undefined ? {} : { codec };
        const closed = builder.close();
        assert.equal(builder.recordCount, 0);
        const { bytes: batch } = closed.isWorthBackground(options)
          ? await closed.buildInBackground(options, tableChecksum)
          : closed.build(options, tableChecksum);
        const frame = stored(batch, base);
        const reading = { codecs, checksum: tableChecksum };
        const there = openBatchInBackground(batchOfFrame(frame, tableChecksum), reading);
        assert.equal(there instanceof Promise, id !== 0 && codecs === backgroundCodecs);
        const opened = await there;
        assert.deepEqual(opened, openBatch(batchOfFrame(frame, tableChecksum), reading));
        const expected = inputs.map((input, i) => ({
          ...input,
          offset: base + i,
          timestampMs: input.timestampMs ?? 99,
        }));
        assert.deepEqual(plain(decodeRecords(opened)), plain(expected));
        assert.equal(opened.endOffset, base + inputs.length);

        const inflated = inflateFrame(frame, reading);
        const twin = openBatch(batchOfFrame(inflated, tableChecksum), { checksum: tableChecksum });
        assert.deepEqual(plain(decodeRecords(twin)), plain(expected));
        assert.equal(twin.header.compressionType, 0);
        const message = fromBinary(RecordBatchSchema, Uint8Array.from(batchOfFrame(inflated, tableChecksum)));
        assert.equal(message.records.length, inputs.length);
      },
    ),
    { numRuns: 150 },
  );
});

function plain(records: readonly object[]): unknown {
  return JSON.parse(
    JSON.stringify(records, (_, value) =>
      value instanceof Uint8Array ? { hex: Buffer.from(value).toString('hex') } : value,
    ),
    (_, value) => value,
  );
}

test('a reader gets batches of its codecs as they lie, and the others inflated', () => {
  const builder = new BatchBuilder();
  const build = (id: number, value: string): Uint8Array => {
    builder.append(undefined, new TextEncoder().encode(value));
    const codec = nodeCodecs.get(id);
    return builder.build(codec === undefined ? {} : { codec }, tableChecksum).bytes;
  };
  const frames = [stored(build(0, 'none'), 0), stored(build(1, 'lz4'), 1), stored(build(2, 'zstd'), 2)];
  const stretch = Uint8Array.from(frames.flatMap((frame) => [...frame]));
  const options = { codecs: nodeCodecs, checksum: tableChecksum };
  assert.equal(inflateFrames(stretch, { ...options, accepted: new Set([1, 2]) }).bytes, stretch);
  const answer = inflateFrames(stretch, { ...options, accepted: new Set([1]) });
  const parts = splitFrames(answer.bytes, tableChecksum);
  assert.equal(answer.frames, 3);
  assert.deepEqual(parts.slice(0, 2), frames.slice(0, 2));
  assert.equal(openBatch(batchOfFrame(parts[2]!, tableChecksum)).header.compressionType, 0);
  const first = inflateFrames(stretch, { ...options, accepted: new Set(), answerBytesMax: 1 });
  assert.equal(first.frames, 1);
  assert.deepEqual(first.bytes, frames[0]);
});

test('a count that does not match the records is refused before a record is shown', () => {
  const codec = nodeCodecs.get(1)!;
  const entries = new WireWriter().bytesField(7, new Uint8Array(0)).bytesField(7, new Uint8Array(0)).finish();
  const carried = (content: Uint8Array, count: number): Uint8Array =>
    new WireWriter().varintField(2, 1).varintField(10, count).bytesField(9, codec.compress(content)).finish().slice();
  const options = { codecs: nodeCodecs };
  assert.equal(openBatch(carried(entries, 2), options).recordCount, 2);
  assert.throws(() => openBatch(carried(entries, 3), options), { code: 'CORRUPT_BATCH' });
  const lying = stored(carried(entries, 3), 0);
  assert.throws(() => inflateFrame(lying, { codecs: nodeCodecs, checksum: tableChecksum }), { code: 'CORRUPT_BATCH' });
  // Fields of a batch cannot be smuggled in among the records: here the control bit.
  const smuggled = new WireWriter().raw(entries).varintField(14, 2).finish();
  assert.throws(() => openBatch(carried(smuggled, 2), options), { code: 'CORRUPT_BATCH', message: /among/ });
  assert.throws(() => openBatch(carried(entries, 2)), { code: 'UNSUPPORTED_CODEC' });
  const plainLie = new WireWriter().raw(entries).varintField(10, 1).finish().slice();
  assert.throws(() => openBatch(plainLie), { code: 'CORRUPT_BATCH' });
});

test('gaps left by compaction: offsets come from the deltas, which must rise inside the batch', () => {
  const entry = (delta: number): Uint8Array => new WireWriter().varint(56).varint(delta).finish().slice();
  const batch = (deltas: readonly number[]): Uint8Array => {
    const writer = new WireWriter();
    for (const delta of deltas) writer.bytesField(7, entry(delta));
    const sealed = sealFrame(
      { bytes: writer.finish().slice(), recordCount: deltas.length, lastOffsetDelta: 9 },
      { baseOffset: 100, leaderEpoch: 1, appendTimeMs: 1 },
      tableChecksum,
    );
    return batchOfFrame(joinFrame(sealed), tableChecksum);
  };
  const offsets = [...viewRecords(openBatch(batch([0, 4, 9])))].map((view) => view.offset);
  assert.deepEqual(offsets, [100, 104, 109]);
  for (const deltas of [
    [3, 3],
    [5, 2],
    [1, 10],
  ]) {
    assert.throws(() => decodeRecords(openBatch(batch(deltas))), { code: 'CORRUPT_BATCH' }, `${deltas}`);
  }
});

test('a builder is bounded, and a refused record changes nothing', () => {
  const builder = new BatchBuilder({ recordBytesMax: 100, recordsMax: 3 });
  builder.append(undefined, new Uint8Array(40));
  const before = builder.byteLength;
  assert.throws(() => builder.append(undefined, new Uint8Array(60)), { code: 'RECORD_TOO_LARGE' });
  assert.equal(builder.byteLength, before);
  assert.equal(builder.hasRoomFor(0, 60), false);
  builder.append(undefined, undefined);
  builder.append(undefined, undefined);
  assert.throws(() => builder.append(undefined, undefined), { code: 'RECORD_TOO_LARGE' });
  assert.equal(openBatch(builder.build({}, tableChecksum).bytes).recordCount, 3);
});

test('batches lie in memory of a pool, are left alone until it is given back, and may have any header', () => {
  const buffers = new BufferPool();
  const builder = new BatchBuilder({ buffers, initialBytes: 16 });
  const kept: { readonly batch: Uint8Array; readonly value: Uint8Array; readonly lease: Lease | undefined }[] = [];
  for (let round = 0; round < 6; round++) {
    const value = new Uint8Array(20_000).fill(round);
    for (let i = 0; i < 5; i++) builder.append(undefined, value);
    const idempotencyKey = round % 2 === 0 ? '' : 'k'.repeat(200);
    const { bytes, lease } = builder.build({ idempotencyKey }, tableChecksum);
    assert.equal(lease === undefined, idempotencyKey !== '', 'a long header costs a copy into memory of its own');
    kept.push({ batch: bytes, value, lease });
  }
  for (const { batch, value } of kept) {
    const records = decodeRecords(openBatch(batch, { checksum: tableChecksum }));
    assert.deepEqual(
      [...records].map((record) => record.value),
      Array(5).fill(value),
    );
  }
  const idleBytes = buffers.idleBytes;
  for (const { lease } of kept) lease?.release();
  assert.ok(buffers.idleBytes > idleBytes);
});
