import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ErrorCode } from '@fleetmq/gen/common/errors';
import { AcknowledgmentLevel } from '@fleetmq/gen/common/types';
import { TestFleet, until } from './testing/fleet.fuzz.ts';
import { MuteCable } from './testing/mute-cable.fuzz.ts';
import { record } from './testing/one-broker.fuzz.ts';

const { ACK_ALL } = AcknowledgmentLevel;
const topicPartition = { topic: 'idle', partition: 0 };
const settings = {
  replica: { 'lag-time-max-ms': 1_000, 'heartbeat-ms': 100, 'heartbeat-timeout-ms': 300 },
};

test('P25: a follower that is cut off without a word leaves the ISR of an idle partition, and comes back', async () => {
  using cable = await MuteCable.open();
  await using fleet = await TestFleet.start([3]);
  await fleet.startBroker(2, { advertise: { client: {}, internal: { port: cable.port } } });
  cable.leadTo(fleet.broker(2).listeners.internal.port);
  await fleet.startBroker(1, settings);
  const { topicId } = fleet.controller.createTopic('idle', [1, 2, 3]);
  const isrOf = () => [...fleet.controller.partition(topicId).inSyncReplicas];
  const replicaOf = (id: number) => fleet.broker(id).partitions.byName('idle', 0);
  await until('it is led', () => replicaOf(1)?.state.leader?.servable === true);
  const { producer } = fleet.clients(1);
  const send = () => producer.produce({ topicPartition, records: [record('x')], acks: ACK_ALL });
  assert.equal((await send()).errorCode, ErrorCode.OK);
  // Idle for longer than a follower may lag: whoever answers heartbeats stays.
  const idleSinceMs = performance.now();
  await until('it has been idle', () => performance.now() - idleSinceMs > 1_500);
  assert.deepEqual(isrOf(), [1, 2, 3]);

  cable.mute();
  await until('the silent one has left', () => isrOf().length === 2, 4_000);
  assert.deepEqual(isrOf(), [1, 3]);
  assert.equal((await send()).errorCode, ErrorCode.OK);
  cable.unmute();
  await until('it is back', () => isrOf().length === 3, 10_000);
  assert.equal(replicaOf(2)?.log?.durableEndOffset, 2);
});
