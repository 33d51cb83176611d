import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { FetchPartitionResponseSchema } from '@fleetmq/gen/client/consumer';
import { RecordBatchSchema, RecordSchema } from '@fleetmq/gen/common/types';
import { tableChecksum } from '@fleetmq/shared';
import {
  BatchBuilder,
  batchOfFrame,
  decodeRecords,
  defaultBatchLimits,
  joinFrame,
  openBatch,
  sealFrame,
  trailerBytes,
  validateProduced,
} from './index.ts';

const text = new TextEncoder();

function goldenBatch(): Uint8Array {
  const builder = new BatchBuilder();
  builder.append(text.encode('k'), text.encode('hello'), [{ key: 'h', value: text.encode('x') }], 1_700_000_000_123);
  builder.append(undefined, undefined, [], 1_700_000_000_124);
  return builder.build({ producerId: 7n, producerEpoch: 2, baseSequence: 5, idempotencyKey: 'order-1' }, tableChecksum)
    .bytes;
}

test('the bytes of a batch and of its frame stay as they are', () => {
  const batch = goldenBatch();
  const fields = {
    magic: '0801',
    lastOffsetDelta: '2001',
    firstTimestamp: '2a0b0880e2cfaa0610c0a9d33a',
    maxTimestamp: '320b0880e2cfaa061080ae903b',
    crc32: '40f58f88b801',
    recordCount: '5002',
    producer: '580760026805',
    idempotencyKey: '7a076f726465722d31',
    record1: '3a1f0a016b120568656c6c6f1a060a0168120178220b0880e2cfaa0610c0a9d33a',
    record2: '3a0d220b0880e2cfaa061080ae903b',
  };
  assert.equal(Buffer.from(batch).toString('hex'), Object.values(fields).join(''));
  assert.equal(crc32(Buffer.from(fields.record1 + fields.record2, 'hex')), 0x170207f5);

  const leader = { baseOffset: 1000, leaderEpoch: 3, appendTimeMs: 1_700_000_000_500 };
  const frame = joinFrame(sealFrame({ bytes: batch, recordCount: 2 }, leader, tableChecksum));
  const ends = { head: Buffer.from(frame.subarray(0, 3)), trailer: Buffer.from(frame.subarray(-trailerBytes)) };
  assert.equal(ends.head.toString('hex'), '329001');
  assert.equal(
    ends.trailer.toString('hex'),
    '18e887808080808000' + '208180808000' + '508280808000' + '850103000000' + '8901f469e5cf8b010000' + '950197ab8440',
  );
});

test('generated protobuf code reads a stored frame as a plain batch of a fetch answer', () => {
  const batch = goldenBatch();
  const leader = { baseOffset: 1000, leaderEpoch: 3, appendTimeMs: 1_700_000_000_500 };
  const frame = joinFrame(sealFrame({ bytes: batch, recordCount: 2 }, leader, tableChecksum));
  const answer = fromBinary(FetchPartitionResponseSchema, Uint8Array.from([...frame, ...frame]));
  assert.equal(answer.batches.length, 2);
  const read = answer.batches[1]!;
  assert.equal(read.magic, 1);
  assert.equal(read.baseOffset, 1000n);
  assert.equal(read.lastOffsetDelta, 1n);
  assert.equal(read.recordCount, 2);
  assert.equal(read.leaderEpoch, 3);
  assert.equal(read.appendTimeMs, 1_700_000_000_500n);
  assert.equal(read.producerId, 7n);
  assert.equal(read.producerEpoch, 2);
  assert.equal(read.baseSequence, 5);
  assert.equal(read.idempotencyKey, 'order-1');
  assert.equal(read.maxTimestamp?.seconds, 1_700_000_000n);
  assert.equal(read.maxTimestamp?.nanos, 124_000_000);
  assert.deepEqual(read.records[0]?.value, text.encode('hello'));
  assert.equal(read.records[0]?.headers[0]?.key, 'h');
  assert.equal(read.records[1]?.value, undefined);
});

test('a batch of generated protobuf code, fields in field order, is accepted and decoded', () => {
  const records = [
    create(RecordSchema, {
      key: text.encode('a'),
      value: text.encode('1'),
      timestamp: { seconds: 5n, nanos: 6_000_000 },
    }),
    create(RecordSchema, { value: text.encode('2'), headers: [{ key: 'ü', value: text.encode('y') }] }),
    create(RecordSchema, {}),
  ];
  const bytes = toBinary(
    RecordBatchSchema,
    create(RecordBatchSchema, { baseOffset: 99n, records, producerId: 2n ** 63n }),
  );
  const validated = validateProduced(bytes, defaultBatchLimits, tableChecksum);
  assert.equal(validated.recordCount, 3);
  assert.equal(validated.producerId, 2n ** 63n);
  const leader = { baseOffset: 41, leaderEpoch: 1, appendTimeMs: 77 };
  const stored = batchOfFrame(joinFrame(sealFrame(validated, leader, tableChecksum)), tableChecksum);
  const decoded = decodeRecords(openBatch(stored));
  assert.deepEqual(
    decoded.map((record) => record.offset),
    [41, 42, 43],
  );
  assert.deepEqual(
    decoded.map((record) => record.timestampMs),
    [5006, 77, 77],
  );
  assert.deepEqual(decoded[1]?.headers, [{ key: 'ü', value: text.encode('y') }]);
  assert.equal(decoded[2]?.value, undefined);
  assert.equal(decoded[2]?.key, undefined);
});
