import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { ProduceBatchRequestSchema, ProduceRequestSchema, ProduceResponseSchema } from '@fleetmq/gen/client/producer';
import { DomainError } from '@fleetmq/shared';
import { isSafeEntry, produceError, readProduce, readProduceBatch, readProduceCode } from './produce.ts';

type Init = Exclude<MessageInitShape<typeof ProduceRequestSchema>, { $typeName: string }>;
const encode = (init: Init): Uint8Array => toBinary(ProduceRequestSchema, create(ProduceRequestSchema, init));
const topicPartition = { topic: 'a', partition: 3 };

describe('the head of a produce request', () => {
  const cases: readonly (readonly [string, Init, boolean])[] = [
    ['nothing to recognise it by', {}, false],
    ['a producer id', { producerId: 9n }, true],
    ['producer id 0, which is none', { producerId: 0n, baseSequence: 5 }, false],
    ['an idempotency key', { idempotencyKey: 'k' }, true],
    ['records that look like anything', { records: [{ value: new Uint8Array([0x50, 1, 0x50, 1]) }] }, false],
  ];
  for (const [what, init, isSafe] of cases) {
    test(`${what}: ${isSafe ? 'may' : 'may not'} be repeated blindly`, () => {
      assert.equal(readProduce(encode({ ...init, topicPartition })).isSafe, isSafe);
    });
  }

  test('names partition, timeout and correlation id', () => {
    const head = readProduce(
      encode({ topicPartition, timeout: { seconds: 1n, nanos: 500_000_000 }, correlationId: 2n ** 64n - 1n }),
    );
    assert.deepEqual([head.topic, head.partition, head.timeoutMs, head.correlationId], ['a', 3, 1_500, 2n ** 64n - 1n]);
  });

  test('waits 30 s when it does not say, and 10 min at most', () => {
    assert.equal(readProduce(encode({})).timeoutMs, 30_000);
    assert.equal(readProduce(encode({ timeout: { seconds: 86_400n } })).timeoutMs, 600_000);
    assert.equal(readProduce(encode({ timeout: { seconds: -5n } })).timeoutMs, 30_000);
  });

  test('is refused for another version', () => {
    assert.throws(() => readProduce(encode({ version: { major: 9 } })), {
      code: 'UNSUPPORTED_VERSION',
      message: /1\.0\.0/,
    });
  });
});

describe('the entries of a batch request', () => {
  test('say for themselves whether they may be repeated', () => {
    const batches = [{}, { producerId: 7n }, { idempotencyKey: 'k' }, { baseSequence: 3, recordCount: 15 }, undefined];
    const request = create(ProduceBatchRequestSchema, {
      timeout: { seconds: 2n },
      partitions: batches.map((batch) => ({ topicPartition, ...(batch === undefined ? {} : { batch }) })),
    });
    const ask = readProduceBatch(toBinary(ProduceBatchRequestSchema, request), 10);
    assert.deepEqual(ask.entries.map(isSafeEntry), [false, true, true, false, false]);
    assert.equal(ask.timeoutMs, 2_000);
  });
});

describe('a produce response made here', () => {
  test('has code, text, advice and the correlation id', () => {
    const head = readProduce(encode({ topicPartition, correlationId: 77n }));
    const error = new DomainError('NOT_AVAILABLE', 'nobody leads it', { retryAfterMs: 250 });
    const answer = produceError(head, error);
    assert.deepEqual(readProduceCode(answer), { code: 'NOT_AVAILABLE', message: 'nobody leads it' });
    const { correlationId, retriable, retryAfter, leaderHint } = fromBinary(ProduceResponseSchema, answer);
    assert.deepEqual([correlationId, retriable, retryAfter?.nanos, leaderHint], [77n, true, 250_000_000, '']);
  });
});
