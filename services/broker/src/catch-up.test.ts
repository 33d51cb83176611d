import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ErrorCode } from '@fleetmq/gen/common/errors';
import { AcknowledgmentLevel } from '@fleetmq/gen/common/types';
import type { BrokerId } from '@fleetmq/shared';
import { TestFleet, until } from './testing/fleet.fuzz.ts';
import { record } from './testing/one-broker.fuzz.ts';

const { ACK_ALL } = AcknowledgmentLevel;
const kibibyte = 1024;

test('catch-up keeps to its bound, and nobody who is in sync waits for it', async () => {
  await using fleet = await TestFleet.start([2, 3]);
  const bytesPerSecond = 1024 * kibibyte;
  const replica = { 'lag-time-max-ms': 1_000, 'catch-up-bytes-per-second': bytesPerSecond };
  await fleet.startBroker(1, { replica });
  const { topicId } = fleet.controller.createTopic('moving', [1, 2]);
  fleet.controller.createTopic('beside', [1, 3]);
  const replicaOf = (id: number, topic: string) => fleet.broker(id).partitions.byName(topic, 0);
  for (const topic of ['moving', 'beside']) {
    await until(`${topic} is led`, () => replicaOf(1, topic)?.state.leader?.servable === true);
  }
  const { producer } = fleet.clients(1);
  const send = async (topic: string, bytes: number): Promise<number> => {
    const sinceMs = performance.now();
    const records = [record('x'.repeat(bytes))];
    const answer = await producer.produce({ topicPartition: { topic, partition: 0 }, records, acks: ACK_ALL });
    assert.equal(answer.errorCode, ErrorCode.OK, answer.errorMessage);
    return performance.now() - sinceMs;
  };
  const records = 64;
  for (let i = 0; i < records; i++) await send('moving', 48 * kibibyte);

  // Broker 3 gets a replica of it: 3 MiB, over the link that carries the other topic as well.
  const sinceMs = performance.now();
  const brought = [1, 2, 3] as BrokerId[];
  const move = { reassignmentId: 'move', sourceReplicas: brought.slice(0, 2), targetReplicas: brought };
  fleet.controller.change(topicId, { replicas: brought, move });
  const isIn = (): boolean => fleet.controller.partition(topicId).inSyncReplicas.length === 3;
  const waits: number[] = [];
  const copied: number[] = [];
  const leftBytes: number[] = [];
  const { partitions } = fleet.clients(1, 'internal');
  await until('it has caught up', async () => {
    for (const topic of ['moving', 'beside']) waits.push(await send(topic, kibibyte));
    const state = await partitions.getPartitionState({ topicPartition: { topic: 'moving', partition: 0 } });
    copied.push(Number(state.replicas.find(({ brokerId }) => brokerId === 3)?.copiedBytes));
    leftBytes.push(await bytesToMove(fleet));
    return isIn();
  });
  const seconds = (performance.now() - sinceMs) / 1_000;
  const bytes = records * 48 * kibibyte;
  assert.ok((seconds + 0.1) * bytesPerSecond + 160 * kibibyte >= bytes, `${bytes} bytes in ${seconds} s`);
  assert.ok(copied.length > 10 && copied.every((at, i) => i === 0 || at >= (copied[i - 1] ?? 0)), copied.join(' '));
  assert.ok((copied.at(-1) ?? 0) >= bytes, `${copied.at(-1)} bytes were copied`);
  assert.ok(Math.max(...leftBytes) > bytes / 2 && (leftBytes.at(-1) ?? bytes) < bytes / 2, leftBytes.join(' '));
  waits.sort((left, right) => left - right);
  const median = waits[waits.length >> 1] ?? 0;
  assert.ok(median < 1_000, `writes to in-sync replicas took ${median} ms`);
  // In sync, nothing holds it up any more: the bound would take more than a second for these.
  const fullSinceMs = performance.now();
  for (let i = 0; i < 3; i++) await send('moving', 700 * kibibyte);
  const fullMs = performance.now() - fullSinceMs;
  assert.ok(fullMs < 1_000, `${fullMs} ms for 2 MiB to in-sync replicas`);
});

async function bytesToMove(fleet: TestFleet): Promise<number> {
  const { host, port } = fleet.broker(1).listeners.ops;
  const metrics = await (await fetch(`http://${host}:${port}/metrics`)).text();
  return Number(/^fleetmq_broker_bytes_to_move (\d+)$/m.exec(metrics)?.[1]);
}
