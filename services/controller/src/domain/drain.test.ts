/** Brokers that stop, and brokers that an operator has drained, from metadata.version 3 on. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { PartitionImage } from '@fleetmq/metadata';
import { id, Machine, shape, topicId, topicOn } from '../testing/machine.fuzz.ts';
import { type DrainWork, drainWork, requireBroker } from './apply-brokers.ts';

function stop(machine: Machine, broker: number): DrainWork {
  machine.do({ kind: 'drain-broker', ...machine.life(broker), stopping: true });
  return drainWork(machine.image, requireBroker(machine.image, id(broker)));
}

const nothing: DrainWork = { ready: 0, awaited: 0 };

describe('a broker that is about to stop', () => {
  test('hands over and leaves each ISR that is large enough without it, and joins none again', () => {
    const machine = Machine.at(3, 1, 2, 3);
    assert.deepEqual(stop(machine, 1), nothing);
    assert.equal(shape(machine.partition), '2: 2 3');
    assert.equal(machine.changeIsr(2, [1, 2, 3]), 'NOT_AVAILABLE');
    machine.register(1, { clean: true });
    machine.unfence(1);
    assert.equal(machine.image.broker(id(1))?.state, 'active');
    assert.equal(machine.changeIsr(2, [1, 2, 3]), 'ok');
  });

  test('stays in an ISR that would be too small, while another replica is on its way, and then goes', () => {
    const machine = Machine.at(3, 1, 2, 3);
    machine.fence(3);
    machine.unfence(3);
    assert.equal(shape(machine.partition), '1: 1 2');
    assert.deepEqual(stop(machine, 1), { ready: 0, awaited: 1 });
    assert.equal(shape(machine.partition), '2: 1 2');
    assert.equal(machine.changeIsr(2, [1, 2, 3]), 'ok');
    assert.deepEqual(drainWork(machine.image, requireBroker(machine.image, id(1))), { ready: 1, awaited: 0 });
    assert.deepEqual(stop(machine, 1), nothing);
    assert.equal(shape(machine.partition), '2: 2 3');
  });

  test('does not wait for what cannot come: a single replica, or others that are away', () => {
    const machine = Machine.at(3, 1, 2);
    machine.do(topicOn([1], 2));
    assert.deepEqual(stop(machine, 1), nothing);
    assert.equal(shape(machine.partition), '2: 1 2');
    assert.equal(shape(machine.image.partition(topicId(2), 0) as PartitionImage), '1: 1');
    machine.fence(1);
    assert.equal(machine.image.broker(id(1))?.stopping, undefined);
  });

  test('waits for a second in-sync replica where it leads alone', () => {
    const machine = Machine.at(3, 1, 2);
    machine.fence(2);
    assert.deepEqual(stop(machine, 1), nothing);
    machine.unfence(2);
    assert.deepEqual(stop(machine, 1), { ready: 0, awaited: 1 });
    assert.equal(machine.changeIsr(1, [1, 2]), 'ok');
    assert.deepEqual(stop(machine, 1), nothing);
    assert.equal(shape(machine.partition), '2: 1 2');
  });
});

describe('a broker that an operator has drained', () => {
  const drained = (): Machine => {
    const machine = Machine.at(3, 1, 2, 3);
    machine.do({ kind: 'drain-broker', ...machine.life(1), keep: true });
    return machine;
  };

  test('stays so over restarts, follows and is in sync, and leads only what nobody else can', () => {
    const machine = drained();
    assert.equal(shape(machine.partition), '2: 1 2 3');
    machine.register(1);
    machine.unfence(1);
    assert.equal(machine.image.broker(id(1))?.state, 'draining');
    assert.equal(shape(machine.partition), '2: 2 3');
    assert.equal(machine.changeIsr(2, [1, 2, 3]), 'ok');
    machine.fence(2);
    assert.equal(shape(machine.partition), '3: 1 3');
    machine.fence(3);
    assert.equal(shape(machine.partition), '1: 1 (3)');
  });

  test('until that is cancelled, in service or not', () => {
    const machine = drained();
    const cancel = () => machine.do({ kind: 'unfence-broker', ...machine.life(1), cancelDrain: true });
    cancel();
    assert.equal(machine.image.broker(id(1))?.state, 'active');
    machine.do({ kind: 'drain-broker', ...machine.life(1), keep: true });
    machine.fence(1);
    cancel();
    assert.equal(machine.image.broker(id(1))?.state, 'fenced');
    machine.unfence(1);
    assert.equal(machine.image.broker(id(1))?.state, 'active');
    machine.fence(1);
    machine.do({ kind: 'drain-broker', ...machine.life(1), keep: true });
    machine.unfence(1);
    assert.equal(machine.image.broker(id(1))?.state, 'draining');
  });

  test('below metadata.version 3 it is drained until it restarts', () => {
    const machine = Machine.at(2, 1, 2);
    machine.do({ kind: 'drain-broker', ...machine.life(1), keep: true, stopping: true });
    assert.equal(shape(machine.partition), '2: 1 2');
    machine.register(1);
    machine.unfence(1);
    assert.equal(machine.image.broker(id(1))?.state, 'active');
  });
});
