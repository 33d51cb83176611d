import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { BrokerId } from '@fleetmq/shared';
import fc from 'fast-check';
import { type BrokerLoad, placePartitions } from './placement.ts';

function broker(brokerId: number, rackId = '', more: Partial<BrokerLoad> = {}): BrokerLoad {
  return { brokerId: brokerId as BrokerId, rackId, isActive: true, replicaCount: 0, leaderCount: 0, ...more };
}

const clusters = fc
  .array(fc.record({ rack: fc.constantFrom('', 'a', 'b', 'c'), isActive: fc.boolean() }), {
    minLength: 1,
    maxLength: 9,
  })
  .map((brokers) => brokers.map(({ rack, isActive }, position) => broker(position + 1, rack, { isActive })));

const requests = clusters.chain((brokers) =>
  fc.record({
    brokers: fc.constant(brokers),
    partitionCount: fc.integer({ min: 1, max: 40 }),
    replicationFactor: fc.integer({ min: 1, max: brokers.length }),
  }),
);

const countsOf = (ids: readonly BrokerId[], brokers: readonly BrokerLoad[]): readonly number[] =>
  brokers.map(({ brokerId }) => ids.filter((each) => each === brokerId).length);
const spread = (counts: readonly number[]): number => Math.max(...counts) - Math.min(...counts);

describe('placement', () => {
  test('every partition has distinct brokers, active ones first, and no rack twice before every rack once', () => {
    fc.assert(
      fc.property(requests, (request) => {
        const byId = new Map(request.brokers.map((each) => [each.brokerId, each]));
        const active = request.brokers.filter(({ isActive }) => isActive);
        const assignments = placePartitions(request);
        assert.equal(assignments.length, request.partitionCount);
        for (const replicas of assignments) {
          assert.equal(new Set(replicas).size, request.replicationFactor);
          const chosenActive = replicas.filter((each) => byId.get(each)?.isActive);
          assert.equal(chosenActive.length, Math.min(active.length, request.replicationFactor));
          if (chosenActive.length > 0) assert.ok(byId.get(replicas[0] as BrokerId)?.isActive, 'a fenced broker leads');
          const rackOf = (id: BrokerId): string => byId.get(id)?.rackId || `only ${id}`;
          const racks = new Set(chosenActive.map(rackOf));
          const allRacks = new Set(active.map(({ brokerId }) => rackOf(brokerId)));
          assert.equal(racks.size, Math.min(allRacks.size, chosenActive.length));
        }
      }),
    );
  });

  test('without racks replicas differ by one at most, leaders by two', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 1, max: 9 }),
        (count, partitionCount, factor) => {
          const brokers = Array.from({ length: count }, (_, position) => broker(position + 1));
          const assignments = placePartitions({
            brokers,
            partitionCount,
            replicationFactor: Math.min(factor, count),
          });
          assert.ok(spread(countsOf(assignments.flat(), brokers)) <= 1);
          const leaders = assignments.map((replicas) => replicas[0] as BrokerId);
          assert.ok(spread(countsOf(leaders, brokers)) <= 2);
        },
      ),
    );
  });

  test('the load of other topics counts', () => {
    const brokers = [broker(1, '', { replicaCount: 10, leaderCount: 10 }), broker(2), broker(3)];
    const assignments = placePartitions({ brokers, partitionCount: 4, replicationFactor: 1 });
    assert.deepEqual(countsOf(assignments.flat(), brokers), [0, 2, 2]);
  });

  test('more replicas than brokers are refused', () => {
    assert.throws(() => placePartitions({ brokers: [broker(1)], partitionCount: 1, replicationFactor: 2 }), {
      code: 'INVALID_REPLICATION_FACTOR',
    });
  });
});
