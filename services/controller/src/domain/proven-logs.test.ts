import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { LeaderEpoch, Offset, PartitionId } from '@fleetmq/shared';
import { id, Machine, topicId } from '../testing/machine.fuzz.ts';
import { type LogEnd, ProvenLogs } from './proven-logs.ts';

const waitMs = 3_000;

function endAt(lastEpoch: number, endOffset: number): LogEnd {
  return {
    topicId: topicId(1),
    partition: 0 as PartitionId,
    lastEpoch: lastEpoch as LeaderEpoch,
    endOffset: endOffset as Offset,
  };
}

/** Three replicas that have all lost their power, of which the ISR has one and two are eligible. */
function powerLoss(): Machine {
  const machine = Machine.at(3, 1, 2, 3);
  machine.do({
    kind: 'alter-config',
    topicId: topicId(1),
    set: new Map([['min.insync.replicas', '3']]),
    remove: [],
  });
  for (const broker of [1, 2, 3]) machine.register(broker);
  for (const broker of [1, 2, 3]) machine.unfence(broker);
  assert.equal(machine.partition.leaderId, 0);
  return machine;
}

describe('P14: of the replicas that come back unclean, the highest (last epoch, end) leads', () => {
  const tell = (machine: Machine, logs: ProvenLogs, ends: Readonly<Record<number, LogEnd>>, nowMs = 0): void => {
    for (const [broker, end] of Object.entries(ends)) {
      logs.note(machine.image, machine.life(Number(broker)), [end], nowMs);
    }
  };

  for (const { ends, leader } of [
    { ends: { 1: endAt(1, 10), 2: endAt(2, 5), 3: endAt(1, 11) }, leader: 2 },
    { ends: { 1: endAt(2, 10), 2: endAt(2, 5), 3: endAt(2, 11) }, leader: 3 },
    { ends: { 1: endAt(2, 10), 2: endAt(2, 10), 3: endAt(0, 0) }, leader: 1 },
  ]) {
    test(`broker ${leader}, once all have told`, () => {
      const machine = powerLoss();
      const logs = new ProvenLogs();
      const { 1: first, ...others } = ends;
      tell(machine, logs, { 1: first });
      assert.deepEqual(logs.due(machine.image, 100, waitMs), []);
      tell(machine, logs, others, 100);
      assert.deepEqual(
        logs.due(machine.image, 100, waitMs).map(({ brokerId }) => brokerId),
        [leader],
      );
      machine.do({ kind: 'elect-proven', replicas: logs.due(machine.image, 100, waitMs) });
      assert.equal(machine.partition.leaderId, leader);
      assert.deepEqual(logs.due(machine.image, 100, waitMs), []);
    });
  }

  test('who never comes back is not waited for longer than that; a line is of one life and counts in service', () => {
    const machine = powerLoss();
    const logs = new ProvenLogs();
    tell(machine, logs, { 1: endAt(1, 1), 2: endAt(1, 2) });
    assert.deepEqual(logs.due(machine.image, waitMs - 1, waitMs), []);
    assert.equal(logs.due(machine.image, waitMs, waitMs)[0]?.brokerId, 2);
    machine.register(2);
    assert.equal(logs.due(machine.image, waitMs, waitMs)[0]?.brokerId, 1);
    machine.fence(1);
    assert.deepEqual(logs.due(machine.image, waitMs, waitMs), []);
    machine.unfence(1);
    assert.equal(logs.due(machine.image, waitMs, waitMs)[0]?.brokerId, 1);
    logs.restart();
    assert.deepEqual(logs.due(machine.image, waitMs, waitMs), []);
  });

  test('lines of strangers, and of partitions that are led, are not taken', () => {
    const machine = powerLoss();
    const logs = new ProvenLogs();
    machine.register(4);
    machine.unfence(4);
    tell(machine, logs, { 4: endAt(9, 9) });
    const led = Machine.at(3, 1, 2);
    const others = new ProvenLogs();
    others.note(led.image, led.life(1), [endAt(1, 1)], 0);
    assert.deepEqual([...logs.due(machine.image, waitMs, waitMs), ...others.due(led.image, waitMs, waitMs)], []);
    assert.equal(machine.image.broker(id(4))?.state, 'active');
  });
});
