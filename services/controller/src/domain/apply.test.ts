import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { PartitionImage } from '@fleetmq/metadata';
import type { ErrorName, LeaderEpoch, PartitionId } from '@fleetmq/shared';
import { id, Machine, shape, topicId, topicOn } from '../testing/machine.fuzz.ts';
import { encodeImage } from '../wire/snapshot.ts';

describe('lives of brokers', () => {
  test('a registration is fenced, its epoch is its index, and the same one again changes nothing', () => {
    const machine = new Machine();
    const epoch = machine.register(1, { incarnation: 'a' });
    assert.equal(epoch, machine.index);
    assert.equal(machine.image.broker(id(1))?.state, 'fenced');
    const { version } = machine.image;
    assert.equal(machine.register(1, { incarnation: 'a' }), epoch);
    assert.equal(machine.image.version, version);
    assert.ok(machine.register(1, { incarnation: 'b' }) > epoch);
  });

  test('fencing moves leaderships in the order of the assignment, and leaves the last in-sync replica', () => {
    const machine = Machine.with(1, 2, 3);
    assert.equal(shape(machine.partition), '1: 1 2 3');
    machine.fence(1);
    assert.equal(shape(machine.partition), '2: 2 3');
    machine.fence(2);
    assert.equal(shape(machine.partition), '3: 3');
    machine.fence(3);
    assert.equal(shape(machine.partition), '0: 3');
    // P11: who is back but not in sync does not lead.
    machine.unfence(1);
    assert.equal(shape(machine.partition), '0: 3');
    machine.unfence(3);
    assert.equal(shape(machine.partition), '3: 3');
    assert.equal(machine.partition.leaderEpoch, 5);
  });

  test('P14: after an unclean stop a broker leaves every ISR that has other members; after a clean one it stays', () => {
    const unclean = Machine.with(1, 2);
    unclean.register(1);
    assert.equal(shape(unclean.partition), '2: 2');
    const clean = Machine.with(1, 2);
    clean.register(1, { clean: true });
    assert.equal(shape(clean.partition), '2: 1 2');
    const alone = Machine.with(1);
    alone.register(1);
    assert.equal(shape(alone.partition), '0: 1');
    alone.unfence(1);
    assert.equal(shape(alone.partition), '1: 1');
  });

  test('another data folder under the same id: refused while the old one lives, or was the last in sync', () => {
    const machine = Machine.with(1, 2);
    const other = (broker: number): ErrorName | 'ok' =>
      machine.try({
        kind: 'register-broker',
        brokerId: id(broker),
        incarnationId: 'new',
        rackId: '',
        endpoints: [],
        diskId: 'other',
        cleanShutdown: true,
        features: new Map(),
      });
    assert.equal(other(1), 'DUPLICATE_REQUEST');
    machine.fence(1);
    assert.equal(other(1), 'ok');
    assert.equal(shape(machine.partition), '2: 2');
    machine.fence(2);
    assert.equal(other(2), 'INVALID_REQUEST');
    assert.equal(machine.try({ kind: 'unregister-broker', brokerId: id(2) }), 'INVALID_REQUEST');
  });

  test('draining hands over what an active in-sync replica can take, and keeps the rest', () => {
    const machine = Machine.with(1, 2);
    machine.do(topicOn([1], 2));
    machine.do({ kind: 'drain-broker', ...machine.life(1) });
    assert.equal(shape(machine.partition), '2: 1 2');
    assert.equal(shape(machine.image.partition(topicId(2), 0) as PartitionImage), '1: 1');
    // The other one goes away: a draining broker is better than none.
    machine.fence(2);
    assert.equal(shape(machine.partition), '1: 1');
    machine.unfence(1);
    assert.equal(machine.image.broker(id(1))?.state, 'active');
  });

  test('commands for another life are refused', () => {
    const machine = Machine.with(1, 2);
    const old = machine.life(1);
    machine.register(1);
    for (const kind of ['fence-broker', 'unfence-broker', 'drain-broker'] as const) {
      assert.equal(machine.try({ kind, ...old }), 'STALE_BROKER_EPOCH');
      assert.equal(machine.try({ kind, ...machine.life(9) }), 'BROKER_NOT_FOUND');
    }
    assert.equal(machine.try({ kind: 'allocate-producer-ids', ...old, count: 1 }), 'STALE_BROKER_EPOCH');
    assert.equal(machine.try({ kind: 'unregister-broker', brokerId: id(2) }), 'INVALID_REQUEST');
  });
});

describe('P10: the ISR changes by compare-and-set', () => {
  test('refusals', () => {
    const machine = Machine.with(1, 2, 3);
    machine.register(4);
    machine.fence(3);
    const { leaderEpoch, partitionEpoch } = machine.partition;
    assert.equal(machine.changeIsr(1, [1, 2], { leaderEpoch: leaderEpoch - 1 }), 'STALE_EPOCH');
    assert.equal(machine.changeIsr(1, [1, 2], { leaderEpoch: leaderEpoch + 1 }), 'STALE_EPOCH');
    assert.equal(machine.changeIsr(1, [1, 2], { partitionEpoch: partitionEpoch - 1 }), 'STALE_EPOCH');
    assert.equal(machine.changeIsr(2, [1, 2]), 'NOT_LEADER');
    assert.equal(machine.changeIsr(1, [2]), 'INVALID_REQUEST');
    assert.equal(machine.changeIsr(1, [1, 1]), 'INVALID_REQUEST');
    assert.equal(machine.changeIsr(1, [1, 4]), 'INVALID_REQUEST');
    assert.equal(machine.changeIsr(1, [1, 3]), 'NOT_AVAILABLE');
    assert.equal(shape(machine.partition), '1: 1 2');
    assert.equal(machine.changeIsr(1, [1]), 'ok');
    assert.equal(machine.changeIsr(1, [2, 1]), 'ok');
    assert.equal(shape(machine.partition), '1: 1 2');
    assert.equal(machine.partition.leaderEpoch, leaderEpoch);
    assert.equal(machine.partition.partitionEpoch, partitionEpoch + 2);
    // P7: the same set again voids what the leader has asked for before.
    assert.equal(machine.changeIsr(1, [1, 2]), 'ok');
    assert.equal(machine.partition.partitionEpoch, partitionEpoch + 3);
    assert.equal(machine.changeIsr(1, [1], { partitionEpoch: partitionEpoch + 2 }), 'STALE_EPOCH');
  });

  test('a member under an older registration is refused', () => {
    const machine = Machine.with(1, 2);
    const old = machine.life(2);
    machine.register(2);
    machine.unfence(2);
    const { leaderEpoch, partitionEpoch } = machine.partition;
    const command = {
      kind: 'change-isr',
      ...machine.life(1),
      topicId: topicId(1),
      partition: 0 as PartitionId,
    } as const;
    const inSyncReplicas = [machine.life(1), old];
    assert.equal(machine.try({ ...command, leaderEpoch, partitionEpoch, inSyncReplicas }), 'STALE_BROKER_EPOCH');
  });

  test('leaders are elected from the active in-sync replicas', () => {
    const machine = Machine.with(1, 2, 3);
    const elect = (target: number, leaderEpoch?: number): ErrorName | 'ok' =>
      machine.try({
        kind: 'elect-leader',
        topicId: topicId(1),
        partition: 0 as PartitionId,
        targetId: id(target),
        leaderEpoch: leaderEpoch as LeaderEpoch | undefined,
      });
    assert.equal(elect(2, 1), 'ok');
    assert.equal(shape(machine.partition), '2: 1 2 3');
    assert.equal(elect(3, 1), 'STALE_EPOCH');
    assert.equal(elect(9), 'INVALID_REQUEST');
    assert.equal(elect(0), 'ok');
    assert.equal(machine.partition.leaderId, 1);
    machine.fence(3);
    assert.equal(elect(3), 'NOT_AVAILABLE');
    machine.do({ kind: 'drain-broker', ...machine.life(2) });
    assert.equal(elect(2), 'NOT_AVAILABLE');
  });
});

describe('topics and settings', () => {
  test('creation checks name, id, brokers and assignments', () => {
    const machine = Machine.with(1, 2);
    assert.equal(machine.try(topicOn([1], 2, 'topic-1')), 'TOPIC_ALREADY_EXISTS');
    assert.equal(machine.try(topicOn([1], 1, 'other')), 'INVALID_REQUEST');
    assert.equal(machine.try(topicOn([1], 2, 'a b')), 'INVALID_REQUEST');
    assert.equal(machine.try(topicOn([1, 1], 2)), 'INVALID_REQUEST');
    assert.equal(machine.try(topicOn([1, 7], 2)), 'BROKER_NOT_FOUND');
    assert.equal(machine.try(topicOn([], 2)), 'INVALID_REPLICATION_FACTOR');
    machine.fence(2);
    assert.equal(machine.try(topicOn([2], 2)), 'NOT_AVAILABLE');
    assert.equal(machine.try(topicOn([2, 1], 2)), 'ok');
    assert.equal(shape(machine.image.partition(topicId(2), 0) as PartitionImage), '1: 1');
  });

  test('a topic grows by compare-and-set, and takes its partitions with it when it goes', () => {
    const machine = Machine.with(1, 2);
    const grow = (currentCount: number, replicas: readonly number[]): ErrorName | 'ok' =>
      machine.try({ kind: 'add-partitions', topicId: topicId(1), currentCount, assignments: [replicas.map(id)] });
    assert.equal(grow(2, [1, 2]), 'STALE_EPOCH');
    assert.equal(grow(1, [1]), 'INVALID_REPLICATION_FACTOR');
    assert.equal(grow(1, [2, 1]), 'ok');
    assert.equal(machine.image.partitions(topicId(1)).length, 2);
    machine.do({ kind: 'delete-topic', topicId: topicId(1) });
    assert.equal(machine.image.partitionsOfBroker(id(1)).length, 0);
    assert.equal(machine.try({ kind: 'delete-topic', topicId: topicId(1) }), 'TOPIC_NOT_FOUND');
  });

  test('equal settings are equal bytes, in whatever order they were set', () => {
    const alter = (machine: Machine, ...names: readonly string[]): void => {
      for (const name of names) {
        machine.do({ kind: 'alter-config', topicId: topicId(1), set: new Map([[name, '1']]), remove: [] });
      }
    };
    const [one, two] = [Machine.with(1), Machine.with(1)];
    alter(one, 'b', 'a', 'c');
    alter(two, 'c', 'b', 'a');
    assert.deepEqual(encodeImage(one.image), encodeImage(two.image));
    const { version } = one.image;
    one.do({ kind: 'alter-config', topicId: topicId(1), set: new Map([['a', '1']]), remove: ['z'] });
    assert.equal(one.image.version, version);
  });

  test('the cluster is named once; producer ids never come twice', () => {
    const machine = Machine.with(1);
    machine.do({ kind: 'set-cluster-id', clusterId: 'one', features: new Map() });
    assert.equal(machine.try({ kind: 'set-cluster-id', clusterId: 'two', features: new Map() }), 'WRONG_CLUSTER');
    const allocate = (count: number) => machine.do({ kind: 'allocate-producer-ids', ...machine.life(1), count });
    assert.deepEqual(allocate(10), { first: 1n, count: 10 });
    assert.deepEqual(allocate(5), { first: 11n, count: 5 });
    assert.equal(machine.try({ kind: 'allocate-producer-ids', ...machine.life(1), count: 0 }), 'INVALID_REQUEST');
  });
});
