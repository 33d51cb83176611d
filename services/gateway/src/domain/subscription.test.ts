import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { FetchResponseSchema } from '@fleetmq/gen/client/consumer';
import { ErrorCode } from '@fleetmq/gen/common/errors';
import { errorName, type TopicId } from '@fleetmq/shared';
import fc from 'fast-check';
import { type Reader, SubscriptionState } from './subscription.ts';

const topicId = 'a'.repeat(32) as TopicId;

function reader(partition: number, owner: object | undefined): Reader {
  return { topic: 't', partition, topicId, nextOffset: undefined, owner, attempts: 0, retryAtMs: 0, isOver: false };
}

function answer(partition: number, nextOffset: number, errorCode: ErrorCode = ErrorCode.OK): Uint8Array {
  const entry = { topicPartition: { topic: 't', partition }, nextOffset: BigInt(nextOffset), errorCode };
  return toBinary(
    FetchResponseSchema,
    create(FetchResponseSchema, { partitions: [entry], cursor: new Uint8Array([9]) }),
  );
}

describe('a subscription', () => {
  test('forwards what its owner sends, without the broker’s cursor, and remembers where it is', () => {
    const owner = {};
    const state = new SubscriptionState([reader(0, owner), reader(1, owner)]);
    const { fields, lost } = state.accept(answer(1, 12), owner);
    assert.deepEqual(lost, []);
    const forwarded = fromBinary(FetchResponseSchema, Buffer.concat(fields));
    assert.equal(forwarded.partitions[0]?.nextOffset, 12n);
    assert.equal(forwarded.cursor.length, 0);
    assert.deepEqual([...state.cursor()], [{ topicId, partition: 1, nextOffset: 12 }]);
  });

  test('drops what comes from an upstream that is not the owner any more', () => {
    const [old, owner] = [{}, {}];
    const state = new SubscriptionState([reader(0, owner)]);
    assert.deepEqual(state.accept(answer(0, 12), old), { fields: [], lost: [] });
    assert.deepEqual(state.accept(answer(7, 12), owner), { fields: [], lost: [] });
    assert.deepEqual([...state.cursor()], []);
  });

  for (const code of [ErrorCode.NOT_LEADER, ErrorCode.NOT_AVAILABLE, ErrorCode.STALE_EPOCH, ErrorCode.SHUTTING_DOWN]) {
    test(`looks for another leader after ${errorName(code)}, and the reader does not hear of it`, () => {
      const owner = {};
      const state = new SubscriptionState([reader(0, owner)]);
      const { fields, lost } = state.accept(answer(0, 0, code), owner);
      assert.deepEqual(fields, []);
      assert.deepEqual(
        lost.map(({ partition }) => partition),
        [0],
      );
      assert.equal(state.isOver, false);
    });
  }

  test('tells the reader once what cannot go on, and is over when nothing is left', () => {
    const owner = {};
    const state = new SubscriptionState([reader(0, owner)]);
    assert.equal(state.accept(answer(0, 0, ErrorCode.OFFSET_OUT_OF_RANGE), owner).fields.length, 1);
    assert.equal(state.accept(answer(0, 0, ErrorCode.OFFSET_OUT_OF_RANGE), owner).fields.length, 0);
    assert.equal(state.isOver, true);
  });

  test('never goes back, whoever owns a partition in whatever order answers come', () => {
    const upstreams = [{}, {}, {}];
    const events = fc.array(fc.tuple(fc.constantFrom('answer', 'move'), fc.nat(2), fc.nat(2), fc.nat(50)), {
      maxLength: 60,
    });
    fc.assert(
      fc.property(events, (steps) => {
        const readers = [0, 1, 2].map((partition) => reader(partition, upstreams[0]));
        const state = new SubscriptionState(readers);
        const seen = [-1, -1, -1];
        for (const [kind, partition, upstream, offset] of steps) {
          const each = readers[partition] as Reader;
          if (kind === 'move') each.owner = upstreams[upstream];
          else state.accept(answer(partition, offset), upstreams[upstream] as object);
          assert.ok((each.nextOffset ?? -1) >= (seen[partition] as number));
          seen[partition] = each.nextOffset ?? -1;
        }
      }),
    );
  });
});
