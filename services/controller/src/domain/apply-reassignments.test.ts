import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { addingReplicas, removingReplicas } from '@fleetmq/metadata';
import type { ErrorName, PartitionId } from '@fleetmq/shared';
import { id, Machine, shape, topicId, topicOn } from '../testing/machine.fuzz.ts';
import type { ReplicaMove } from './commands.ts';

const progressOf = (machine: Machine, reassignmentId: string): string => {
  const found = machine.image.reassignment(reassignmentId);
  if (found === undefined) return 'unknown';
  const { totalPartitions, donePartitions, cancelledPartitions, endedAtMs } = found;
  return `${donePartitions}+${cancelledPartitions}/${totalPartitions}${endedAtMs > 0 ? ' ended' : ''}`;
};

function withSpare(topicBrokers: readonly number[], ...spare: readonly number[]): Machine {
  const machine = Machine.with(...topicBrokers);
  for (const broker of spare) {
    machine.register(broker);
    machine.unfence(broker);
  }
  return machine;
}

describe('moves of replicas', () => {
  test('a partition goes on with its old replicas until all new ones are in sync; then the others leave at once', () => {
    const machine = withSpare([1, 2, 3], 4, 5);
    assert.equal(machine.move([4, 5, 3], 'r'), 'ok');
    const { replicas } = machine.partition;
    assert.deepEqual(replicas, [4, 5, 3, 1, 2]);
    assert.deepEqual(addingReplicas(machine.partition), [4, 5]);
    assert.deepEqual(removingReplicas(machine.partition), [1, 2]);
    assert.equal(shape(machine.partition), '1: 3 1 2');
    assert.equal(progressOf(machine, 'r'), '0+0/1');
    const { leaderEpoch, partitionEpoch } = machine.partition;
    assert.equal(machine.changeIsr(1, [1, 2, 3, 4]), 'ok');
    assert.equal(progressOf(machine, 'r'), '0+0/1');
    assert.equal(machine.changeIsr(1, [1, 2, 3, 4, 5]), 'ok');
    assert.deepEqual(machine.partition.replicas, [4, 5, 3]);
    assert.equal(shape(machine.partition), '4: 4 5 3');
    assert.equal(machine.partition.move, undefined);
    assert.ok(
      machine.partition.leaderEpoch === leaderEpoch + 1 && machine.partition.partitionEpoch > partitionEpoch + 1,
    );
    assert.equal(progressOf(machine, 'r'), '1+0/1 ended');
    assert.deepEqual(machine.image.partitionsOfBroker(id(1)), []);
  });

  test('a leader that stays keeps its leadership and its epoch', () => {
    const machine = withSpare([1, 2], 3);
    machine.move([3, 1]);
    const { leaderEpoch } = machine.partition;
    machine.changeIsr(1, [1, 2, 3]);
    assert.equal(shape(machine.partition), '1: 3 1');
    assert.equal(machine.partition.leaderEpoch, leaderEpoch);
  });

  test('another order, and fewer replicas, need no copy: they are there at once', () => {
    const machine = Machine.with(1, 2, 3);
    machine.move([3, 2, 1], 'order');
    assert.deepEqual(machine.partition.replicas, [3, 2, 1]);
    assert.equal(progressOf(machine, 'order'), '1+0/1 ended');
    machine.move([2], 'fewer');
    assert.equal(shape(machine.partition), '2: 2');
    assert.equal(progressOf(machine, 'fewer'), '1+0/1 ended');
    assert.equal(machine.partition.move, undefined);
  });

  test('cancelled, what has not moved goes back, with the replicas of before that are in sync', () => {
    const machine = withSpare([1, 2], 3, 4);
    machine.move([3, 4], 'r');
    machine.changeIsr(1, [1, 2, 3]);
    machine.fence(2);
    assert.deepEqual(machine.do({ kind: 'cancel-reassignment', reassignmentId: 'r' }), { cancelled: 1, remaining: 0 });
    assert.deepEqual(machine.partition.replicas, [1, 2]);
    assert.equal(shape(machine.partition), '1: 1');
    assert.equal(progressOf(machine, 'r'), '0+1/1 ended');
    // Again: nothing more to take back.
    assert.deepEqual(machine.do({ kind: 'cancel-reassignment', reassignmentId: 'r' }), { cancelled: 0, remaining: 0 });
  });

  test('nothing goes back to replicas of which none has what is committed', () => {
    const machine = withSpare([1], 2, 3);
    machine.move([2, 3], 'r');
    machine.changeIsr(1, [1, 2]);
    machine.fence(1);
    assert.equal(shape(machine.partition), '2: 2');
    assert.deepEqual(machine.do({ kind: 'cancel-reassignment', reassignmentId: 'r' }), { cancelled: 0, remaining: 1 });
    assert.equal(progressOf(machine, 'r'), '0+0/1');
    machine.changeIsr(2, [2, 3]);
    assert.equal(shape(machine.partition), '2: 2 3');
    assert.equal(progressOf(machine, 'r'), '1+0/1 ended');
  });

  test('it does not arrive where nobody could lead; it does when one of them is in service again', () => {
    const machine = withSpare([1], 2);
    machine.move([2], 'r');
    // A clean restart stays in sync, but is fenced.
    const before = machine.life(1);
    machine.register(2, { clean: true });
    assert.equal(machine.changeIsr(1, [1, 2]), 'NOT_AVAILABLE');
    machine.unfence(2);
    assert.equal(machine.changeIsr(before.brokerId, [1, 2]), 'ok');
    assert.equal(shape(machine.partition), '2: 2');

    const other = withSpare([1, 2], 3);
    other.do(topicOn([2, 1], 2));
    other.move([3, 2], 'r');
    other.register(2, { clean: true });
    assert.equal(shape(other.partition), '1: 2 1');
    // Broker 2 is in the ISR, fenced; with 3 all targets are in sync, and 3 can lead.
    assert.equal(other.changeIsr(1, [1, 2, 3]), 'ok');
    assert.equal(shape(other.partition), '3: 3 2');
  });

  test('the partitions of a topic that is deleted count as cancelled', () => {
    const machine = withSpare([1, 2], 3);
    machine.move([3, 1], 'r');
    machine.do({ kind: 'delete-topic', topicId: topicId(1) });
    assert.equal(progressOf(machine, 'r'), '0+1/1 ended');
    assert.deepEqual(machine.image.movingPartitions(), []);
  });

  test('many partitions move as a whole: one that cannot stops all', () => {
    const machine = withSpare([1, 2], 3);
    machine.do(topicOn([1, 2], 2));
    const move = (topic: number, targets: readonly number[], sources: readonly number[] = [1, 2]): ReplicaMove => ({
      topicId: topicId(topic),
      partition: 0 as PartitionId,
      targetReplicas: targets.map(id),
      sourceReplicas: sources.map(id),
    });
    const refused: readonly (readonly [ErrorName, string, readonly ReplicaMove[]])[] = [
      ['INVALID_REQUEST', 'r', []],
      ['INVALID_REQUEST', '', [move(1, [3, 1])]],
      ['TOPIC_NOT_FOUND', 'r', [move(1, [3, 1]), move(9, [3, 1])]],
      ['INVALID_REQUEST', 'r', [move(1, [3, 1]), move(1, [3, 2])]],
      ['STALE_EPOCH', 'r', [move(1, [3, 1]), move(2, [3, 1], [2, 1])]],
      ['INVALID_REQUEST', 'r', [move(1, [3, 1]), move(2, [])]],
      ['INVALID_REQUEST', 'r', [move(1, [3, 1]), move(2, [3, 3])]],
      ['BROKER_NOT_FOUND', 'r', [move(1, [3, 1]), move(2, [3, 9])]],
    ];
    const { version } = machine.image;
    for (const [code, reassignmentId, moves] of refused) {
      assert.equal(machine.try({ kind: 'start-reassignment', reassignmentId, moves }), code);
    }
    assert.equal(machine.image.version, version);
    machine.do({ kind: 'start-reassignment', reassignmentId: 'r', moves: [move(1, [3, 1]), move(2, [3, 1])] });
    assert.equal(progressOf(machine, 'r'), '0+0/2');
    assert.equal(machine.move([2, 3], 'r2'), 'REASSIGNMENT_IN_PROGRESS');
    assert.equal(machine.move([2, 3], 'r'), 'INVALID_REQUEST');
    assert.equal(machine.try({ kind: 'cancel-reassignment', reassignmentId: 'r9' }), 'REASSIGNMENT_NOT_FOUND');
  });

  test('a broker that something moves to cannot be unregistered', () => {
    const machine = withSpare([1, 2], 3);
    machine.move([3, 1], 'r');
    machine.fence(3);
    assert.equal(machine.try({ kind: 'unregister-broker', brokerId: id(3) }), 'REASSIGNMENT_IN_PROGRESS');
    machine.do({ kind: 'cancel-reassignment', reassignmentId: 'r' });
    assert.equal(machine.try({ kind: 'unregister-broker', brokerId: id(3) }), 'ok');
  });

  test('the last 100 that ended are remembered', () => {
    const machine = withSpare([1, 2], 3);
    for (let number = 0; number < 105; number++) machine.move(number % 2 === 0 ? [2, 1] : [1, 2], `r${number}`);
    machine.move([3, 1], 'running');
    const ids = machine.image.reassignments().map(({ reassignmentId }) => reassignmentId);
    assert.equal(ids.length, 101);
    assert.deepEqual([ids[0], ids.at(-2), ids.at(-1)], ['r5', 'r104', 'running']);
  });
});

describe('levels of features', () => {
  test('only rise, as far as every registered broker knows them', () => {
    const machine = new Machine();
    machine.register(1, { features: { 'metadata.version': 2 } });
    const set = (level: number): ErrorName | 'ok' =>
      machine.try({ kind: 'set-features', levels: new Map([['metadata.version', level]]) });
    assert.equal(set(2), 'ok');
    assert.equal(set(1), 'INVALID_REQUEST');
    assert.equal(set(3), 'UNSUPPORTED_VERSION');
    const { version } = machine.image;
    assert.equal(set(2), 'ok');
    assert.equal(machine.image.version, version);
  });

  test('a broker that does not know what is in use is not let in', () => {
    const machine = new Machine();
    machine.do({ kind: 'set-cluster-id', clusterId: 'c', features: new Map([['metadata.version', 2]]) });
    const register = (level: number): ErrorName | 'ok' =>
      machine.try({
        kind: 'register-broker',
        brokerId: id(1),
        incarnationId: `i${level}`,
        rackId: '',
        endpoints: [],
        diskId: 'd',
        cleanShutdown: false,
        features: new Map(level === 0 ? [] : [['metadata.version', level]]),
      });
    assert.equal(register(0), 'UNSUPPORTED_VERSION');
    assert.equal(register(1), 'UNSUPPORTED_VERSION');
    assert.equal(register(2), 'ok');
  });

  test('the version of the settings is kept from level 2 on, and compared in the log', () => {
    const machine = new Machine();
    const alter = (value: string, expectedVersion?: number): ErrorName | 'ok' =>
      machine.try({
        kind: 'alter-config',
        topicId: undefined,
        set: new Map([['retention.ms', value]]),
        remove: [],
        expectedVersion: expectedVersion as never,
      });
    assert.equal(alter('1'), 'ok');
    assert.equal(machine.image.cluster.configVersion, 0);
    machine.do({ kind: 'set-features', levels: new Map([['metadata.version', 2]]) });
    assert.equal(alter('2'), 'ok');
    const changed = machine.image.cluster.configVersion;
    assert.equal(changed, machine.image.version);
    machine.register(1, { features: { 'metadata.version': 2 } });
    // What else happens does not count.
    assert.equal(alter('3', changed), 'ok');
    assert.equal(alter('4', changed), 'STALE_EPOCH');
    assert.equal(machine.image.cluster.config.get('retention.ms'), '3');
  });
});
