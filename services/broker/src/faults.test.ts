import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { ErrorCode } from '@fleetmq/gen/common/errors';
import { AcknowledgmentLevel } from '@fleetmq/gen/common/types';
import { unconfirmed } from './domain/high-watermark.ts';
import { FaultyDisk } from './testing/faulty-disk.fuzz.ts';
import { TestFleet, until } from './testing/fleet.fuzz.ts';
import { record, textsOf } from './testing/one-broker.fuzz.ts';

const { ACK_ALL, ACK_LEADER } = AcknowledgmentLevel;
const topicPartition = { topic: 'faulty', partition: 0 };

async function fleetWithFaults(ids: readonly number[]): Promise<{ fleet: TestFleet; disk: FaultyDisk }> {
  const fleet = await TestFleet.start(ids.filter((id) => id !== 1));
  const disk = new FaultyDisk();
  await fleet.startBroker(1, {}, { wrapDisk: disk.wrap });
  fleet.controller.createTopic('faulty', ids);
  const replica = () => fleet.broker(1).partitions.byName('faulty', 0);
  await until('it leads', () => replica()?.state.leader?.servable === true);
  return { fleet, disk };
}

const produce = (fleet: TestFleet, text: string, acks: AcknowledgmentLevel = ACK_ALL) =>
  fleet.clients(1).producer.produce({ topicPartition, records: [record(text)], acks });

test('P21: after a failed sync nothing is acknowledged, the controllers are told, and reads go on elsewhere', async () => {
  const { fleet, disk } = await fleetWithFaults([1, 2, 3]);
  await using _ = fleet;
  const { topicId } = fleet.controller.image.topicByName('faulty') ?? {};
  assert.ok(topicId);
  assert.equal((await produce(fleet, 'a')).errorCode, ErrorCode.OK);
  disk.failSyncOf = /\.log$/;
  const lost = await produce(fleet, 'b');
  assert.equal(lost.errorCode, ErrorCode.TIMEOUT, lost.errorMessage);
  disk.failSyncOf = undefined;
  const after = await produce(fleet, 'c', ACK_LEADER);
  assert.equal(after.errorCode, ErrorCode.STORAGE_FAILED, after.errorMessage);
  await until('the controllers know', () => fleet.controller.heartbeats.get(1)?.failed.length === 1);
  fleet.controller.elect(topicId, 2, [2, 3]);
  await until('broker 2 leads', () => fleet.broker(2).partitions.byName('faulty', 0)?.state.leader?.servable === true);
  const { consumer } = fleet.clients(2);
  const { partitions } = await consumer.fetch({ partitions: [{ topicPartition }] });
  const values = partitions[0]?.batches.flatMap(({ records }) =>
    records.map(({ value }) => new TextDecoder().decode(value)),
  );
  assert.equal(values?.[0], 'a');
});

test('P22: a full disk refuses and undoes, reads go on, and writes go on when there is room again', async () => {
  const { fleet, disk } = await fleetWithFaults([1]);
  await using _ = fleet;
  assert.equal((await produce(fleet, 'a')).errorCode, ErrorCode.OK);
  disk.fullFor = /\.log$/;
  const refused = await produce(fleet, 'b');
  assert.equal(refused.errorCode, ErrorCode.DISK_FULL, refused.errorMessage);
  assert.equal(refused.retriable, true);
  assert.equal(fleet.broker(1).partitions.byName('faulty', 0)?.log?.endOffset, 1);
  const { consumer } = fleet.clients(1);
  assert.equal((await consumer.fetch({ partitions: [{ topicPartition }] })).partitions[0]?.batches.length, 1);
  disk.fullFor = undefined;
  await until('writes are taken', async () => (await produce(fleet, 'c')).errorCode === ErrorCode.OK);
  assert.equal(fleet.broker(1).partitions.byName('faulty', 0)?.log?.endOffset, 2);
});

test('P5, P22: what a full disk undoes after followers were sent it has an unknown outcome, for they may commit it', async () => {
  const { fleet, disk } = await fleetWithFaults([1, 2, 3]);
  await using _ = fleet;
  const { topicId } = fleet.controller.image.topicByName('faulty') ?? {};
  assert.ok(topicId);
  const replicaOf = (id: number) => fleet.broker(id).partitions.byName('faulty', 0);
  const { producerId } = await fleet.clients(1).producer.initTransaction({});
  const send = (id: number, text: string, baseSequence: number) =>
    fleet.clients(id).producer.produce({
      ...{ topicPartition, producerId, baseSequence },
      records: [record(text)],
      acks: ACK_ALL,
    });
  assert.equal((await send(1, 'a', 0)).errorCode, ErrorCode.OK);
  disk.fullFor = /\.log$/;
  disk.beforeFull = () =>
    until('both followers have it', () => [2, 3].every((id) => replicaOf(id)?.log?.endOffset === 2));
  const undone = await send(1, 'b', 1);
  assert.equal(undone.errorCode, ErrorCode.TIMEOUT, undone.errorMessage);
  assert.equal(replicaOf(1)?.log?.endOffset, 1);
  // What comes later reaches nobody: that is certain, and said.
  disk.beforeFull = () => Promise.resolve();
  const refused = await send(1, 'c', 1);
  assert.equal(refused.errorCode, ErrorCode.DISK_FULL, refused.errorMessage);

  fleet.controller.elect(topicId, 2, [2, 3]);
  await until('broker 2 leads', () => replicaOf(2)?.state.leader?.servable === true);
  // A producer that took the first answer for "not written" would use the sequence again, and lose this one.
  const reused = await send(2, 'another', 1);
  assert.equal(reused.offset, 1n);
  assert.equal((await send(2, 'd', 2)).offset, 2n);
  const { partitions } = await fleet.clients(2).consumer.fetch({ partitions: [{ topicPartition }] });
  assert.deepEqual(textsOf(partitions[0]?.batches ?? []), ['a', 'b', 'd']);
});

test('P21: a follower whose log fails leaves the ISR and is filled anew by its leader', async () => {
  await using fleet = await TestFleet.start([2, 3]);
  const disk = new FaultyDisk();
  await fleet.startBroker(1, {}, { wrapDisk: disk.wrap });
  const { topicId } = fleet.controller.createTopic('faulty', [2, 3, 1]);
  const isServable = () => fleet.broker(2).partitions.byName('faulty', 0)?.state.leader?.servable === true;
  await until('broker 2 leads', isServable);
  const { producer } = fleet.clients(2);
  const send = (text: string) => producer.produce({ topicPartition, records: [record(text)], acks: ACK_ALL });
  assert.equal((await send('a')).errorCode, ErrorCode.OK);
  disk.failSyncOf = /\.log$/;
  assert.equal((await send('b')).errorCode, ErrorCode.OK);
  assert.deepEqual([...fleet.controller.partition(topicId).inSyncReplicas].sort(), [2, 3]);
  disk.failSyncOf = undefined;
  await until('it is back in sync', () => fleet.controller.partition(topicId).inSyncReplicas.length === 3, 12_000);
  assert.equal(fleet.broker(1).partitions.byName('faulty', 0)?.log?.durableEndOffset, 2);
});

test('P20: damage in a log that nobody reads is found, and the replica is filled anew by its leader', async () => {
  await using fleet = await TestFleet.start([2, 3]);
  await fleet.startBroker(1, { broker: { 'drain-ms': 2_000, 'scrub-round-ms': 1_000 } });
  const { topicId } = fleet.controller.createTopic('faulty', [2, 3, 1]);
  const replicaOf = (id: number) => fleet.broker(id).partitions.byName('faulty', 0);
  await until('broker 2 leads', () => replicaOf(2)?.state.leader?.servable === true);
  const { producer } = fleet.clients(2);
  const send = (text: string) => producer.produce({ topicPartition, records: [record(text)], acks: ACK_ALL });
  assert.equal((await send('precious')).errorCode, ErrorCode.OK);

  await fleet.damage(1, 'precious');
  await until('the damage was found', () => replicaOf(1)?.failure?.code === 'CORRUPT_LOG');
  // Nobody writes: the leader is told.
  await until('it has left the ISR', () => fleet.controller.partition(topicId).inSyncReplicas.length === 2);
  await until('it is back in sync', () => fleet.controller.partition(topicId).inSyncReplicas.length === 3, 12_000);
  assert.equal(replicaOf(1)?.log?.durableEndOffset, 1);
  assert.ok((await readFile(await fleet.segmentOf(1))).includes('precious'));
});

test('P14: a damaged log is not rebuilt while an earlier proposal may still bring it into the ISR', async () => {
  await using fleet = await TestFleet.start([2, 3]);
  await fleet.startBroker(1, { broker: { 'drain-ms': 2_000, 'scrub-round-ms': 1_000 } });
  const { topicId } = fleet.controller.createTopic('faulty', [2, 3, 1]);
  const replicaOf = (id: number) => fleet.broker(id).partitions.byName('faulty', 0);
  await until('broker 2 leads', () => replicaOf(2)?.state.leader?.servable === true);
  const { producer } = fleet.clients(2);
  await producer.produce({ topicPartition, records: [record('precious')], acks: ACK_ALL });
  // No proposal gets an answer: that to take broker 1 in may be carried out at any time.
  let attempts = 0;
  fleet.controller.onUpdateIsr = () => {
    attempts++;
    throw new Error('the answer is lost');
  };
  fleet.controller.change(topicId, { inSyncReplicas: fleet.controller.partition(topicId).replicas.slice(0, 2) });
  await until('the leader asks for broker 1', () => replicaOf(2)?.state.leader?.isr.maximal.length === 3);
  await fleet.damage(1, 'precious');
  await until('the leader knows of the damage', () => replicaOf(2)?.state.leader?.durableEndOf(1) === unconfirmed);
  const damaged = replicaOf(1);
  attempts = 0;
  await until('much was asked in vain', () => attempts >= 8);
  assert.equal(replicaOf(1), damaged);
  fleet.controller.onUpdateIsr = undefined;
  await until('it is rebuilt', () => replicaOf(1) !== damaged && replicaOf(1)?.log?.durableEndOffset === 1, 12_000);
  await until('it is back in sync', () => fleet.controller.partition(topicId).inSyncReplicas.length === 3);
});

test('P20: a last copy that is damaged is reported and serves on, until another replica can take over', async () => {
  await using fleet = await TestFleet.start([2]);
  await fleet.startBroker(1, { broker: { 'drain-ms': 2_000, 'scrub-round-ms': 1_000 } });
  const { topicId } = fleet.controller.createTopic('faulty', [1, 2], { config: { 'min.insync.replicas': '1' } });
  const replicaOf = (id: number) => fleet.broker(id).partitions.byName('faulty', 0);
  await until('broker 1 leads', () => replicaOf(1)?.state.leader?.servable === true);
  // Reads that begin behind the second record do not meet the first one on their way from the index.
  for (const text of ['precious', 'x'.repeat(64 * 1024)]) {
    assert.equal((await produce(fleet, text)).errorCode, ErrorCode.OK);
  }
  await fleet.stopBroker(2, { handOver: false });
  await until('broker 1 is alone', () => fleet.controller.partition(topicId).inSyncReplicas.length === 1);
  await fleet.damage(1, 'precious');
  await until('the controllers know', () => fleet.controller.heartbeats.get(1)?.failed.length === 1);
  assert.equal((await produce(fleet, 'more')).errorCode, ErrorCode.OK);

  await fleet.startBroker(2);
  await until('broker 1 gives up', () => replicaOf(1)?.failure?.code === 'CORRUPT_LOG');
  fleet.controller.elect(topicId, 2);
  await until('it has left the ISR', () => fleet.controller.partition(topicId).inSyncReplicas.length === 1);
  await until('it is rebuilt', () => fleet.controller.partition(topicId).inSyncReplicas.length === 2, 12_000);
  assert.ok((await readFile(await fleet.segmentOf(1))).includes('precious'));
});
