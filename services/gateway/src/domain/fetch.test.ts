import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { FetchPartitionResponseSchema, FetchRequestSchema } from '@fleetmq/gen/client/consumer';
import fc from 'fast-check';
import {
  encodeWish,
  type Fetched,
  fetchBounds,
  fetchOffsetOf,
  fitResults,
  readFetch,
  shareOf,
  summarize,
  withoutBatches,
} from './fetch.ts';

type Init = MessageInitShape<typeof FetchRequestSchema>;
const read = (init: Init) => readFetch(toBinary(FetchRequestSchema, create(FetchRequestSchema, init)), fetchBounds);
const partitions = [{ topicPartition: { topic: 'a', partition: 1 }, fetchOffset: 5n }];

function result(offset: number, batches: readonly number[]): Fetched {
  const message = create(FetchPartitionResponseSchema, {
    topicPartition: { topic: 'a', partition: offset },
    highWatermark: 900n,
    lastStableOffset: 800n,
    logStartOffset: 1n,
    leaderEpoch: 4,
    nextOffset: BigInt(offset + batches.length),
    abortedTransactions: [{ producerId: 1n, firstOffset: 2n }],
    batches: batches.map((size) => ({ records: [{ value: new Uint8Array(size) }] })),
  });
  const content = toBinary(FetchPartitionResponseSchema, message);
  return { content, dataBytes: summarize(content).dataBytes, fetchOffset: offset, isError: false };
}

describe('a fetch request', () => {
  test('has defaults and bounds', () => {
    const plain = read({ partitions });
    assert.deepEqual([plain.maxWaitMs, plain.minBytes, plain.maxBytes], [0, 1, 1_048_576]);
    const greedy = read({ partitions, maxWait: { seconds: 86_400n }, minBytes: 2 ** 32 - 1, maxBytes: 2 ** 32 - 1 });
    assert.deepEqual([greedy.maxWaitMs, greedy.minBytes, greedy.maxBytes], [30_000, 3_145_728, 3_145_728]);
    assert.deepEqual(plain.entries.map(fetchOffsetOf), [5]);
  });

  test('is refused for a reader that poses as a replica', () => {
    assert.throws(() => read({ partitions, replicaId: 2 }), { code: 'UNAUTHORIZED', message: /replica/ });
  });

  test('asks each leader for its share', () => {
    assert.deepEqual(shareOf({ maxWaitMs: 9, minBytes: 100, maxBytes: 3_000_000 }, 3), {
      maxWaitMs: 9,
      minBytes: 34,
      maxBytes: 1_000_000,
    });
    assert.equal(shareOf({ maxWaitMs: 0, minBytes: 1, maxBytes: 100_000 }, 10).maxBytes, 65_536);
    assert.equal(shareOf({ maxWaitMs: 0, minBytes: 1, maxBytes: 100 }, 10).maxBytes, 100);
  });

  test('carries a wish as the fields of the contract', () => {
    const request = fromBinary(FetchRequestSchema, encodeWish({ maxWaitMs: 1_250, minBytes: 3, maxBytes: 4 }));
    assert.deepEqual(
      [request.maxWait?.seconds, request.maxWait?.nanos, request.minBytes, request.maxBytes],
      [1n, 250_000_000, 3, 4],
    );
  });
});

describe('one fetch answer out of several', () => {
  test('a result that is emptied keeps its watermarks and names the asked offset as the next', () => {
    const { content } = result(7, [100, 50]);
    const { batches, abortedTransactions, nextOffset, ...kept } = fromBinary(
      FetchPartitionResponseSchema,
      withoutBatches(content, 7),
    );
    assert.deepEqual([batches, abortedTransactions, nextOffset], [[], [], 7n]);
    assert.deepEqual(
      [kept.highWatermark, kept.lastStableOffset, kept.logStartOffset, kept.leaderEpoch],
      [900n, 800n, 1n, 4],
    );
    assert.equal(kept.topicPartition?.topic, 'a');
  });

  test('stays within its size unless a single partition is larger, loses no partition, and gives each its turn', () => {
    const sizes = fc.array(fc.array(fc.integer({ min: 1, max: 400 }), { maxLength: 3 }), {
      minLength: 1,
      maxLength: 8,
    });
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 1_500 }), fc.nat(100), (all, maxBytes, turn) => {
        const results = all.map((batches, offset) => result(offset, batches));
        const fitted = fitResults(results, maxBytes, turn).map(summarize);
        assert.equal(fitted.length, results.length);
        const kept = fitted.filter((each) => each.dataBytes > 0);
        const total = kept.reduce((sum, each) => sum + each.dataBytes, 0);
        assert.ok(total <= maxBytes || kept.length === 1);
        for (const [index, each] of fitted.entries()) {
          const { dataBytes, fetchOffset } = results[index] as Fetched;
          assert.ok(each.dataBytes === dataBytes || (each.dataBytes === 0 && each.nextOffset === fetchOffset));
        }
        const first = results.findIndex(
          (_, step) => (results[(turn + step) % results.length] as Fetched).dataBytes > 0,
        );
        if (first >= 0) assert.ok((fitted[(turn + first) % results.length] as { dataBytes: number }).dataBytes > 0);
      }),
    );
  });
});
