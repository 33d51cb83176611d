import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { FetchPartitionResponseSchema, FetchRequestSchema, FetchResponseSchema } from '@fleetmq/gen/client/consumer';
import {
  ProduceBatchRequestSchema,
  ProduceBatchResponseSchema,
  ProducePartitionResponseSchema,
} from '@fleetmq/gen/client/producer';
import { ErrorCode } from '@fleetmq/gen/common/errors';
import { DomainError, WireWriter } from '@fleetmq/shared';
import fc from 'fast-check';
import {
  errorResult,
  fetchLayout,
  joinAnswer,
  joinRequest,
  produceBatchLayout,
  splitAnswer,
  splitRequest,
} from './entries.ts';

const concat = (pieces: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(pieces));

const bytes = fc.uint8Array({ maxLength: 40 });
const requests = fc
  .record(
    {
      clientId: fc.string({ maxLength: 10 }),
      acks: fc.constantFrom(...([0, 1, 2, 3, 4] as const)),
      customAckCount: fc.nat(300),
      entries: fc.array(fc.tuple(fc.constantFrom('a', 'b', 'topic-ü'), fc.nat(300), bytes, fc.bigInt(0n, 2n ** 63n)), {
        minLength: 1,
        maxLength: 20,
      }),
      hasVersion: fc.boolean(),
      timeout: fc.option(fc.nat(100_000)),
    },
    { noNullPrototype: true },
  )
  .map(({ clientId, acks, customAckCount, entries, hasVersion, timeout }) =>
    create(ProduceBatchRequestSchema, {
      ...(hasVersion ? { version: { major: 1 } } : {}),
      clientId,
      acks,
      customAckCount,
      ...(timeout === null ? {} : { timeout: { seconds: BigInt(timeout), nanos: 5 } }),
      partitions: entries.map(([topic, partition, value, producerId]) => ({
        topicPartition: { topic, partition },
        batch: { records: [{ value }], producerId },
      })),
    }),
  );

describe('a request cut by leader', () => {
  test('is the same request again when all its parts are joined', () => {
    fc.assert(
      fc.property(requests, (request) => {
        const split = splitRequest(toBinary(ProduceBatchRequestSchema, request), produceBatchLayout, {
          entriesMax: 20,
        });
        const joined = concat(joinRequest(split.common, split.entries));
        assert.deepEqual(fromBinary(ProduceBatchRequestSchema, joined), request);
        assert.deepEqual(
          split.entries.map(({ topic, partition }) => ({ topic, partition })),
          request.partitions.map(({ topicPartition }) => ({
            topic: topicPartition?.topic,
            partition: topicPartition?.partition,
          })),
        );
      }),
    );
  });

  test('has for each leader the common fields and its own entries, byte for byte', () => {
    fc.assert(
      fc.property(requests, fc.integer({ min: 1, max: 4 }), (request, leaders) => {
        const split = splitRequest(toBinary(ProduceBatchRequestSchema, request), produceBatchLayout, {
          entriesMax: 20,
        });
        for (let leader = 0; leader < leaders; leader++) {
          const isMine = (_: unknown, index: number): boolean => index % leaders === leader;
          const joined = concat(joinRequest(split.common, split.entries.filter(isMine)));
          const expected = { ...request, partitions: request.partitions.filter(isMine) };
          assert.deepEqual(fromBinary(ProduceBatchRequestSchema, joined), expected);
        }
      }),
    );
  });

  test('keeps fields that this version does not know, wherever they stand', () => {
    const request = toBinary(
      ProduceBatchRequestSchema,
      create(ProduceBatchRequestSchema, { partitions: [{ topicPartition: { topic: 'a' } }] }),
    );
    const unknown = new WireWriter()
      .varintField(900, 7)
      .bytesField(901, new Uint8Array([1, 2]))
      .finish()
      .slice();
    for (const message of [concat([unknown, request]), concat([request, unknown])]) {
      const { common, entries } = splitRequest(message, produceBatchLayout, { entriesMax: 1 });
      assert.deepEqual(concat(common), unknown);
      assert.equal(entries.length, 1);
    }
  });

  test('leaves out what was taken', () => {
    const request = create(FetchRequestSchema, { minBytes: 5, maxBytes: 6, clientId: 'c', partitions: [{}] });
    const taken: number[] = [];
    const { common } = splitRequest(toBinary(FetchRequestSchema, request), fetchLayout, {
      entriesMax: 1,
      take(field, reader) {
        if (field === 5) taken.push(reader.varint());
      },
    });
    assert.deepEqual(taken, [5]);
    assert.deepEqual(
      fromBinary(FetchRequestSchema, concat(common)),
      create(FetchRequestSchema, { maxBytes: 6, clientId: 'c' }),
    );
  });

  test('is refused for none or too many entries, another version, and garbage', () => {
    const split = (message: Uint8Array, entriesMax = 2) => splitRequest(message, produceBatchLayout, { entriesMax });
    const encode = (init: Parameters<typeof create<typeof ProduceBatchRequestSchema>>[1]): Uint8Array =>
      toBinary(ProduceBatchRequestSchema, create(ProduceBatchRequestSchema, init));
    assert.throws(() => split(encode({})), { code: 'INVALID_REQUEST', message: /no partition/ });
    assert.throws(() => split(encode({ partitions: [{}, {}, {}] })), {
      code: 'INVALID_REQUEST',
      message: /more than 2/,
    });
    assert.throws(() => split(encode({ version: { major: 2 }, partitions: [{}] })), { code: 'UNSUPPORTED_VERSION' });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (garbage) => {
        try {
          split(garbage);
        } catch (error) {
          assert.ok(error instanceof DomainError, `${error}`);
        }
      }),
      { numRuns: 1_000 },
    );
    assert.throws(() => split(new Uint8Array(64).fill(0xff)), { code: 'INVALID_REQUEST' });
  });
});

describe('answers merged', () => {
  test('come in the order of the request, whoever answered', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(1_000_000), { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 1, max: 4 }),
        (offsets, leaders) => {
          const results = offsets.map((offset, partition) =>
            create(ProducePartitionResponseSchema, {
              topicPartition: { topic: 'a', partition },
              offset: BigInt(offset),
              errorCode: offset % 3 === 0 ? ErrorCode.NOT_LEADER : ErrorCode.OK,
              errorMessage: offset % 3 === 0 ? 'moved' : '',
            }),
          );
          const merged = new Array<Uint8Array>(offsets.length);
          for (let leader = 0; leader < leaders; leader++) {
            const own = results.filter((_, index) => index % leaders === leader);
            const answer = toBinary(
              ProduceBatchResponseSchema,
              create(ProduceBatchResponseSchema, { partitions: own }),
            );
            const split = splitAnswer(answer, produceBatchLayout);
            assert.equal(split.error, undefined);
            for (const [position, result] of split.results.entries()) {
              const { errorCode } = own[position] as (typeof own)[number];
              assert.equal(result.code, errorCode === ErrorCode.OK ? 'OK' : 'NOT_LEADER');
              assert.equal(result.message, errorCode === ErrorCode.OK ? '' : 'moved');
              merged[leader + position * leaders] = result.content;
            }
          }
          const answer = fromBinary(ProduceBatchResponseSchema, concat(joinAnswer(merged, produceBatchLayout)));
          assert.deepEqual(answer.partitions, results);
        },
      ),
    );
  });

  test('carry results that were made here', () => {
    const error = new DomainError('NOT_AVAILABLE', 'nobody leads it', { retryAfterMs: 1_500 });
    const entry = { topic: 'a', partition: 7 };
    const produced = fromBinary(ProducePartitionResponseSchema, errorResult(entry, error, produceBatchLayout));
    assert.equal(produced.errorCode, ErrorCode.NOT_AVAILABLE);
    assert.equal(produced.errorMessage, 'nobody leads it');
    assert.equal(produced.retriable, true);
    assert.equal(produced.leaderHint, '');
    assert.deepEqual([produced.retryAfter?.seconds, produced.retryAfter?.nanos], [1n, 500_000_000]);
    assert.deepEqual([produced.topicPartition?.topic, produced.topicPartition?.partition], ['a', 7]);
    const fetched = fromBinary(FetchPartitionResponseSchema, errorResult(entry, error, fetchLayout));
    assert.equal(fetched.errorCode, ErrorCode.NOT_AVAILABLE);
    assert.equal(fetched.errorMessage, 'nobody leads it');
  });

  test('carry an error of the whole call', () => {
    const answer = create(FetchResponseSchema, { errorCode: ErrorCode.LIMIT_EXCEEDED, errorMessage: 'full' });
    const { error } = splitAnswer(toBinary(FetchResponseSchema, answer), fetchLayout);
    assert.deepEqual([error?.code, error?.message], ['LIMIT_EXCEEDED', 'full']);
  });
});
