import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { PartitionId } from '@fleetmq/shared';
import fc from 'fast-check';
import { id, Machine, topicId } from '../testing/machine.fuzz.ts';
import { planEmptying, planReassignment, type ReassignmentWish } from './plan-reassignment.ts';

const wish = (topic: string, replicas: readonly number[] = [], replicationFactor?: number): ReassignmentWish => ({
  topicPartition: { topic, partition: 0 as PartitionId },
  replicas: replicas.map(id),
  replicationFactor,
});

/** Brokers 1 to `count`, all in service, the last `idle` of them without a replica; topics of one partition. */
function cluster(count: number, assignments: readonly (readonly number[])[]): Machine {
  const machine = new Machine();
  for (let broker = 1; broker <= count; broker++) {
    machine.register(broker);
    machine.unfence(broker);
  }
  for (const [position, replicas] of assignments.entries()) {
    machine.do({
      kind: 'create-topic',
      name: `t${position}`,
      topicId: topicId(position + 1),
      assignments: [replicas.map(id)],
      config: new Map(),
      internal: false,
    });
  }
  return machine;
}

const carryOut = (machine: Machine, moves: ReturnType<typeof planReassignment>): void => {
  if (moves.length > 0) machine.do({ kind: 'start-reassignment', reassignmentId: `r${machine.index}`, moves });
};

describe('plans of moves', () => {
  test('named replicas are taken as they are; what stays as it is is left out', () => {
    const { image } = cluster(3, [
      [1, 2],
      [2, 3],
    ]);
    const moves = planReassignment(image, [wish('t1', [2, 3]), wish('t0', [3, 1])]);
    assert.deepEqual(
      moves.map(({ topic, sourceReplicas, targetReplicas }) => [topic, sourceReplicas, targetReplicas]),
      [['t0', [1, 2], [3, 1]]],
    );
  });

  test('refused: nothing, too much, unknown, twice, on its way, more replicas than brokers, fewer than the minimum in sync', () => {
    const machine = cluster(3, [
      [1, 2],
      [2, 3],
    ]);
    const { image } = machine;
    const refused = (code: string, ...wishes: readonly ReassignmentWish[]): void => {
      assert.throws(() => planReassignment(image, wishes), { code });
    };
    refused('INVALID_REQUEST');
    refused('INVALID_REQUEST', ...Array.from({ length: 10_001 }, () => wish('t0')));
    refused('TOPIC_NOT_FOUND', wish('none'));
    refused('PARTITION_NOT_FOUND', { ...wish('t0'), topicPartition: { topic: 't0', partition: 7 as PartitionId } });
    refused('INVALID_REQUEST', wish('t0'), wish('t0', [1]));
    refused('INVALID_REPLICATION_FACTOR', wish('t0', [], 4));
    machine.do({
      kind: 'alter-config',
      topicId: topicId(1),
      set: new Map([['min.insync.replicas', '2']]),
      remove: [],
    });
    refused('INVALID_REPLICATION_FACTOR', wish('t0', [], 1));
    machine.move([3, 1], 'r', 2);
    refused('REASSIGNMENT_IN_PROGRESS', wish('t1', [1]));
  });

  test('an idle broker gets its share, and a balanced cluster is left alone', () => {
    const assignments = Array.from({ length: 12 }, (_, number) => [1, 2, 3].map((each) => 1 + ((each + number) % 3)));
    const machine = cluster(4, assignments);
    const wishes = assignments.map((_, position) => wish(`t${position}`));
    const moves = planReassignment(machine.image, wishes);
    const added = moves.flatMap(({ sourceReplicas, targetReplicas }) =>
      targetReplicas.filter((each) => !sourceReplicas.includes(each)),
    );
    // A quarter of the 36 replicas, each to the idle one.
    assert.deepEqual(
      added,
      Array.from({ length: 9 }, () => 4),
    );
    const balanced = cluster(3, assignments);
    assert.deepEqual(planReassignment(balanced.image, wishes), []);
  });

  test('another replication factor: the replicas that are there stay', () => {
    const { image } = cluster(4, [[2, 3]]);
    const [more] = planReassignment(image, [wish('t0', [], 3)]);
    assert.deepEqual(more?.targetReplicas, [2, 3, 1]);
    const [fewer] = planReassignment(image, [wish('t0', [], 1)]);
    assert.deepEqual(fewer?.targetReplicas, [2]);
  });

  test('a broker is emptied, if the others have room', () => {
    const machine = cluster(4, [
      [1, 2, 3],
      [2, 3, 4],
      [3, 1, 2],
    ]);
    const moves = planEmptying(machine.image, id(1));
    assert.deepEqual(
      moves.map(({ topic, targetReplicas }) => [topic, [...targetReplicas].sort()]),
      [
        ['t0', [2, 3, 4]],
        ['t2', [2, 3, 4]],
      ],
    );
    machine.fence(4);
    assert.throws(() => planEmptying(machine.image, id(1)), { code: 'INVALID_REPLICATION_FACTOR' });
  });

  test('whatever it begins with: distinct brokers in service, and a second plan finds nothing to do', () => {
    const clusters = fc.integer({ min: 2, max: 6 }).chain((brokers) =>
      fc.record({
        brokers: fc.constant(brokers),
        assignments: fc.array(
          fc.shuffledSubarray(
            Array.from({ length: brokers }, (_, position) => position + 1),
            { minLength: 1 },
          ),
          { minLength: 1, maxLength: 12 },
        ),
      }),
    );
    fc.assert(
      fc.property(clusters, ({ brokers, assignments }) => {
        const machine = cluster(brokers, assignments);
        const wishes = assignments.map((_, position) => wish(`t${position}`));
        const countOf = (): number[] =>
          Array.from({ length: brokers }, (_, position) => machine.image.partitionsOfBroker(id(position + 1)).length);
        const spread = (counts: readonly number[]): number => Math.max(...counts) - Math.min(...counts);
        const before = spread(countOf());
        const moves = planReassignment(machine.image, wishes);
        for (const { targetReplicas, sourceReplicas } of moves) {
          assert.equal(new Set(targetReplicas).size, sourceReplicas.length);
        }
        carryOut(machine, moves);
        // All the way: whoever is added is let in by the leader.
        for (const { topicId: topic, partition } of machine.image.movingPartitions()) {
          const moving = machine.image.partition(topic, partition);
          if (moving === undefined) continue;
          const { leaderId, leaderEpoch, partitionEpoch, replicas } = moving;
          machine.do({
            kind: 'change-isr',
            ...machine.life(leaderId),
            topicId: topic,
            partition,
            leaderEpoch,
            partitionEpoch,
            inSyncReplicas: replicas.map((each) => machine.life(each)),
          });
        }
        assert.deepEqual(machine.image.movingPartitions(), []);
        assert.ok(spread(countOf()) <= Math.max(before, 1));
      }),
      { numRuns: 200 },
    );
  });
});
