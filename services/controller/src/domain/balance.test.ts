import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { id, Machine, topicId, topicOn } from '../testing/machine.fuzz.ts';
import { balancingElections, preferredElections } from './balance.ts';

/** Ten partitions that broker 1 should lead, one each that the others should; broker 1 was away and is back. */
function uneven(): Machine {
  const machine = Machine.at(3, 1, 2, 3);
  for (let number = 2; number <= 10; number++) machine.do(topicOn([1, 2], number));
  machine.do(topicOn([2, 1], 11));
  machine.fence(1);
  machine.unfence(1);
  return machine;
}

function letIn(machine: Machine, number: number): void {
  const partition = machine.image.partition(topicId(number), 0);
  assert.ok(partition !== undefined);
  machine.do({
    kind: 'change-isr',
    ...machine.life(partition.leaderId),
    topicId: topicId(number),
    partition: partition.partition,
    leaderEpoch: partition.leaderEpoch,
    partitionEpoch: partition.partitionEpoch,
    inSyncReplicas: partition.replicas.map((each) => machine.life(each)),
  });
}

describe('leaderships go back to their preferred replicas', () => {
  test('once these are in sync and in service', () => {
    const machine = uneven();
    assert.deepEqual(preferredElections(machine.image), []);
    letIn(machine, 1);
    letIn(machine, 5);
    const elections = preferredElections(machine.image);
    assert.deepEqual(
      elections.map((each) => [each.topicId, each.targetId]),
      [
        [topicId(1), 1],
        [topicId(5), 1],
      ],
    );
    for (const each of elections) machine.do(each);
    assert.deepEqual(preferredElections(machine.image), []);
    const first = elections[0];
    assert.ok(first !== undefined);
    machine.do({
      kind: 'elect-leader',
      topicId: topicId(1),
      partition: first.partition,
      targetId: id(2),
      leaderEpoch: undefined,
    });
    assert.equal(machine.try(first), 'STALE_EPOCH');
    machine.do({ kind: 'drain-broker', ...machine.life(1) });
    assert.deepEqual(preferredElections(machine.image), []);
  });

  test('of brokers that miss more than their share', () => {
    const machine = uneven();
    for (let number = 1; number <= 8; number++) letIn(machine, number);
    assert.equal(preferredElections(machine.image).length, 8);
    assert.equal(balancingElections(machine.image, 100).length, 0, 'it misses all ten: no more than 100 percent');
    assert.equal(balancingElections(machine.image, 99).length, 8);
    for (const each of preferredElections(machine.image).slice(0, 7)) machine.do(each);
    assert.equal(balancingElections(machine.image, 30).length, 0);
    assert.equal(balancingElections(machine.image, 29).length, 1);
  });
});
