import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { ReplicateDataRequestSchema, ReplicateDataResponseSchema } from '@fleetmq/gen/broker/replication';
import {
  FetchBatchRequestSchema,
  FetchRequestSchema,
  FetchResponseSchema,
  IsolationLevel,
  SubscribeRequestSchema,
} from '@fleetmq/gen/client/consumer';
import {
  ProduceBatchRequestSchema,
  ProduceBatchResponseSchema,
  ProduceRequestSchema,
  ProduceResponseSchema,
} from '@fleetmq/gen/client/producer';
import { type AcknowledgmentLevel, type CompressionType, RecordBatchSchema } from '@fleetmq/gen/common/types';
import { DomainError, errorNumber, isDomainError, WireReader } from '@fleetmq/shared';
import fc from 'fast-check';
import { buildLooseBatch } from '../domain/produce.ts';
import { decodeFetch, decodeFetchBatch, decodeSubscribe, encodeFetchAnswer } from './fetch.ts';
import { decodeProduce, decodeProduceBatch, encodeProduceAnswer, encodeProduceBatchAnswer } from './produce.ts';
import { decodeReplicate, decodeReplicateAnswer, encodeReplicate, encodeReplicateAnswer } from './replicate.ts';

const anyCount = (): void => undefined;
const topic = fc.stringMatching(/^[a-zA-Z0-9._-]{1,20}$/);
const target = fc.tuple(topic, fc.nat(1_000)).map(([name, partition]) => ({ topic: name, partition }));
const offset = fc.nat(Number.MAX_SAFE_INTEGER);
const bytes = fc.uint8Array({ maxLength: 40 });
const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const duration = fc
  .nat(10_000_000)
  .map((ms) => ({ seconds: BigInt(Math.floor(ms / 1_000)), nanos: (ms % 1_000) * 1e6 }));
const msOf = ({ seconds, nanos }: { seconds: bigint; nanos: number }) => Number(seconds) * 1_000 + nanos / 1e6;

const join = (pieces: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(pieces));

test('a Produce request is read as the generated code wrote it, and its records are moved without a change', () => {
  const record = fc.record({
    key: fc.option(bytes, { nil: undefined }),
    value: fc.option(bytes, { nil: undefined }),
    headers: fc.array(fc.record({ key: fc.string({ maxLength: 5 }), value: bytes }), { maxLength: 2 }),
    timestamp: fc.option(duration, { nil: undefined }),
  });
  const request = fc.record({
    topicPartition: target,
    records: fc.array(record, { maxLength: 5 }),
    acks: fc.nat(6),
    customAckCount: uint32,
    timeout: fc.option(duration, { nil: undefined }),
    idempotencyKey: fc.string({ maxLength: 10 }),
    correlationId: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    producerId: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    producerEpoch: uint32,
    baseSequence: fc.nat(2 ** 31 - 1),
    transactional: fc.boolean(),
  });
  fc.assert(
    fc.property(request, (fields) => {
      const message = create(ProduceRequestSchema, fields as never);
      const ask = decodeProduce(toBinary(ProduceRequestSchema, message));
      assert.deepEqual(ask.target, fields.topicPartition);
      assert.equal(ask.acks, fields.acks);
      assert.equal(ask.customAckCount, fields.customAckCount);
      assert.equal(ask.timeoutMs, fields.timeout === undefined ? undefined : msOf(fields.timeout));
      assert.equal(ask.correlationId, fields.correlationId);
      assert.equal(ask.producerId, fields.producerId);
      assert.equal(ask.transactional, fields.transactional);
      assert.equal(ask.records.entries, fields.records.length);
      const batch = fromBinary(RecordBatchSchema, buildLooseBatch(new WireReader(ask.request), ask.records, ask));
      assert.deepEqual(batch.records, message.records);
      assert.equal(batch.recordCount, fields.records.length);
      assert.equal(batch.producerId, fields.producerId);
      assert.equal(batch.baseSequence, fields.baseSequence);
      assert.equal(batch.idempotencyKey, fields.idempotencyKey);
      const times = message.records.map(({ timestamp }) => (timestamp === undefined ? 0 : msOf(timestamp)));
      const largest = Math.max(0, ...times);
      assert.equal(batch.maxTimestamp === undefined ? 0 : msOf(batch.maxTimestamp), largest);
    }),
  );
});

test('a ProduceBatch request keeps the bytes of its batches', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(target, bytes), { maxLength: 5 }), fc.nat(4), (entries, level) => {
      const acks = level as AcknowledgmentLevel;
      const partitions = entries.map(([topicPartition, value]) => ({
        topicPartition,
        batch: create(RecordBatchSchema, { records: [{ value }] }),
      }));
      const message = create(ProduceBatchRequestSchema, { partitions, acks });
      const ask = decodeProduceBatch(toBinary(ProduceBatchRequestSchema, message), anyCount);
      assert.equal(ask.acks, acks);
      assert.deepEqual(
        ask.entries.map((entry) => [entry.target, [...entry.batch]]),
        partitions.map((entry) => [entry.topicPartition, [...toBinary(RecordBatchSchema, entry.batch)]]),
      );
    }),
  );
});

test('answers to produce calls are read by the generated code', () => {
  const ok = { offset: 2 ** 40, appendTimeMs: 1_700_000_000_123, logStartOffset: 9, leaderId: 3 };
  const answer = fromBinary(ProduceResponseSchema, encodeProduceAnswer(ok, 2n ** 64n - 1n));
  assert.equal(answer.offset, 2n ** 40n);
  assert.equal(answer.logAppendTime, 1_700_000_000_123n);
  assert.deepEqual([answer.timestamp?.seconds, answer.timestamp?.nanos], [1_700_000_000n, 123_000_000]);
  assert.equal(answer.leaderId, '3');
  assert.equal(answer.correlationId, 2n ** 64n - 1n);
  const error = new DomainError('NOT_LEADER', 'broker 2 leads', { leaderHint: '2@h:1', retryAfterMs: 1_500 });
  const failed = fromBinary(ProduceResponseSchema, encodeProduceAnswer(error, 0n));
  assert.equal(failed.errorCode, errorNumber('NOT_LEADER'));
  assert.equal(failed.leaderHint, '2@h:1');
  assert.equal(failed.retriable, true);
  assert.deepEqual([failed.retryAfter?.seconds, failed.retryAfter?.nanos], [1n, 500_000_000]);
  const entries = [0, 1].map((partition) => ({ target: { topic: 't', partition }, batch: new Uint8Array(0) }));
  const both = fromBinary(ProduceBatchResponseSchema, encodeProduceBatchAnswer(entries, [ok, error]));
  assert.deepEqual(
    both.partitions.map(({ errorCode, offset: at, logStartOffset, leaderHint, topicPartition }) => [
      ...[errorCode, at, logStartOffset, leaderHint, topicPartition?.partition],
    ]),
    [
      [0, 2n ** 40n, 9n, '', 0],
      [errorNumber('NOT_LEADER'), 0n, 0n, '2@h:1', 1],
    ],
  );
});

test('reading requests are read as the generated code wrote them', () => {
  const codecs = fc.uniqueArray(fc.constantFrom<CompressionType>(1, 2, 3), { maxLength: 3 });
  const partition = fc.record({
    topicPartition: target,
    fetchOffset: offset.map(BigInt),
    partitionMaxBytes: uint32,
    currentLeaderEpoch: uint32,
  });
  fc.assert(
    fc.property(
      fc.array(partition, { maxLength: 4 }),
      duration,
      uint32,
      codecs,
      (partitions, maxWait, maxBytes, taken) => {
        const fields = {
          partitions,
          maxWait,
          maxBytes,
          minBytes: 5,
          acceptedCodecs: taken,
          replicaId: 1,
          isolationLevel: IsolationLevel.READ_COMMITTED,
        };
        const ask = decodeFetch(toBinary(FetchRequestSchema, create(FetchRequestSchema, fields)), anyCount);
        assert.equal(ask.maxWaitMs, msOf(maxWait));
        assert.deepEqual([ask.maxBytes, ask.minBytes, ask.replicaId, ask.isolationLevel], [maxBytes, 5, 1, 1]);
        assert.deepEqual([...ask.acceptedCodecs].sort(), [...taken].sort());
        assert.deepEqual(
          ask.partitions.map((each) => [each.target, BigInt(each.fetchOffset), each.maxBytes, each.leaderEpoch]),
          partitions.map((each) => [
            each.topicPartition,
            each.fetchOffset,
            each.partitionMaxBytes,
            each.currentLeaderEpoch,
          ]),
        );
      },
    ),
  );
  const start = { position: { case: 'timestamp' as const, value: { seconds: 5n, nanos: 7_000_000 } } };
  const topics = decodeFetchBatch(
    toBinary(FetchBatchRequestSchema, create(FetchBatchRequestSchema, { topics: ['a', 'b'], start, maxBytes: 9 })),
    anyCount,
  );
  assert.deepEqual(
    [topics.topics, topics.start, topics.maxBytes],
    [['a', 'b'], { kind: 'time', timestampMs: 5_007 }, 9],
  );
  const subscribe = create(SubscribeRequestSchema, {
    partitions: [
      { topicPartition: { topic: 'a' }, start: { position: { case: 'boundary', value: 2 } } },
      { topicPartition: { topic: 'b', partition: 1 }, start: { position: { case: 'offset', value: 7n } } },
    ],
    heartbeatInterval: { seconds: 2n },
    maxAge: { seconds: 3n },
  });
  const asked = decodeSubscribe(toBinary(SubscribeRequestSchema, subscribe), anyCount);
  assert.deepEqual(
    asked.partitions.map((each) => each.start),
    [{ kind: 'latest' }, { kind: 'offset', offset: 7 }],
  );
  assert.deepEqual([asked.heartbeatMs, asked.maxAgeMs, asked.groupId], [2_000, 3_000, '']);
});

test('answers to reading calls are read by the generated code, stored bytes in between', () => {
  const batch = toBinary(RecordBatchSchema, create(RecordBatchSchema, { records: [{ value: new Uint8Array(9) }] }));
  const frames = join([Uint8Array.of(0x32, batch.length), batch, Uint8Array.of(0x32, batch.length), batch]);
  const rest = { highWatermark: 12, logStartOffset: 3, leaderEpoch: 4, nextOffset: 11 };
  const error = new DomainError('OFFSET_OUT_OF_RANGE', 'too far');
  const answers = [
    { ...rest, target: { topic: 'a', partition: 0 }, error: undefined, batches: frames },
    { ...rest, target: { topic: 'b', partition: 1 }, error, batches: new Uint8Array(0) },
    { ...rest, target: { topic: 'c', partition: 2 }, error: undefined, batches: frames },
  ];
  const message = fromBinary(FetchResponseSchema, join(encodeFetchAnswer(answers, Uint8Array.of(1, 2))));
  assert.deepEqual(
    message.partitions.map((each) => [each.topicPartition?.topic, each.batches.length, each.errorCode]),
    [
      ['a', 2, 0],
      ['b', 0, errorNumber('OFFSET_OUT_OF_RANGE')],
      ['c', 2, 0],
    ],
  );
  const [first] = message.partitions;
  assert.deepEqual([first?.highWatermark, first?.lastStableOffset, first?.nextOffset], [12n, 12n, 11n]);
  assert.deepEqual([first?.logStartOffset, first?.leaderEpoch], [3n, 4]);
  assert.deepEqual([...message.cursor], [1, 2]);
  assert.deepEqual(fromBinary(FetchResponseSchema, join(encodeFetchAnswer([]))).partitions, []);
});

test('replication messages are what the contract says, both ways', () => {
  const message = {
    ...{ clusterId: 'c', leaderId: 1, leaderBrokerEpoch: 7, targetId: 2, topicId: 'f'.repeat(32), partition: 3 },
    ...{ leaderEpoch: 4, baseOffset: 2 ** 50, previousEpoch: 3, highWatermark: 5, logStartOffset: 6 },
    ...{ correlationId: 8, reset: true, leaderEndOffset: 2 ** 51, mayRebuild: true, batches: Uint8Array.of(1, 2, 3) },
  };
  const encoded = join(encodeReplicate(message));
  assert.deepEqual(decodeReplicate(encoded), message);
  const generated = fromBinary(ReplicateDataRequestSchema, encoded);
  assert.equal(generated.leaderEndOffset, BigInt(2 ** 51));
  assert.deepEqual([...generated.batches], [1, 2, 3]);
  const answer = {
    ...{
      errorCode: 'STALE_EPOCH' as const,
      errorMessage: 'old',
      correlationId: 8,
      topicId: 'f'.repeat(32),
      partition: 3,
    },
    ...{ leaderEpoch: 9, durableEndOffset: 10, diverged: true, divergingEpoch: 2, divergingEndOffset: 4 },
    ...{ brokerEpoch: 11, endOffset: 12 },
  };
  assert.deepEqual(decodeReplicateAnswer(encodeReplicateAnswer(answer)), answer);
  const read = fromBinary(ReplicateDataResponseSchema, encodeReplicateAnswer(answer));
  assert.deepEqual([read.errorCode, read.durableEndOffset, read.diverged], [errorNumber('STALE_EPOCH'), 10n, true]);
});

test('any bytes are either a request or an error of ours', () => {
  const decoders = [
    (input: Uint8Array) => decodeProduce(input),
    (input: Uint8Array) => decodeProduceBatch(input, anyCount),
    (input: Uint8Array) => decodeFetch(input, anyCount),
    (input: Uint8Array) => decodeFetchBatch(input, anyCount),
    (input: Uint8Array) => decodeSubscribe(input, anyCount),
    (input: Uint8Array) => decodeReplicate(input),
    (input: Uint8Array) => decodeReplicateAnswer(input),
  ];
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.constantFrom(...decoders), (input, decode) => {
      try {
        decode(input);
      } catch (error) {
        assert.ok(isDomainError(error), `${error}`);
      }
    }),
    { numRuns: 3_000 },
  );
});
