/** Defects that other systems had, by their numbers, as far as brokers alone can show that they do not have them. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { type FetchResponse, OffsetBoundary } from '@fleetmq/gen/client/consumer';
import { ErrorCode } from '@fleetmq/gen/common/errors';
import { AcknowledgmentLevel } from '@fleetmq/gen/common/types';
import type { TopicId } from '@fleetmq/shared';
import { FaultyDisk } from './testing/faulty-disk.fuzz.ts';
import { TestFleet, until } from './testing/fleet.fuzz.ts';
import { record, textsOf } from './testing/one-broker.fuzz.ts';

const { ACK_ALL, ACK_LEADER, ACK_MAJORITY } = AcknowledgmentLevel;
const topicPartition = { topic: 'case', partition: 0 };

class Case {
  readonly fleet: TestFleet;
  readonly topicId: TopicId;

  constructor(fleet: TestFleet, ids: readonly number[]) {
    this.fleet = fleet;
    this.topicId = fleet.controller.createTopic('case', ids).topicId;
  }

  replicaOf(id: number) {
    return this.fleet.broker(id).partitions.byName('case', 0);
  }

  async untilLed(id: number): Promise<void> {
    await until(`broker ${id} leads`, () => this.replicaOf(id)?.state.leader?.servable === true);
  }

  isrOf(): number[] {
    return [...this.fleet.controller.partition(this.topicId).inSyncReplicas].sort();
  }

  produce(id: number, text: string, acks: AcknowledgmentLevel = ACK_ALL, more: Record<string, unknown> = {}) {
    const { producer } = this.fleet.clients(id);
    return producer.produce({ topicPartition, records: [record(text)], acks, ...more }, { timeoutMs: 3_000 });
  }

  async read(id: number): Promise<string[]> {
    const { partitions } = await this.fleet.clients(id).consumer.fetch({ partitions: [{ topicPartition }] });
    assert.equal(partitions[0]?.errorCode, ErrorCode.OK, partitions[0]?.errorMessage);
    return textsOf(partitions[0]?.batches ?? []);
  }
}

test('J1: a leader whose followers are gone acknowledges nothing below min.insync.replicas', async () => {
  await using fleet = await TestFleet.start([1, 2, 3]);
  const one = new Case(fleet, [1, 2, 3]);
  await one.untilLed(1);
  assert.equal((await one.produce(1, 'a')).errorCode, ErrorCode.OK);
  await fleet.stopBroker(2, { handOver: false });
  await fleet.stopBroker(3, { handOver: false });
  await until('it is alone', () => one.isrOf().length === 1);
  for (const acks of [ACK_ALL, ACK_MAJORITY]) {
    assert.equal((await one.produce(1, 'b', acks)).errorCode, ErrorCode.NOT_ENOUGH_REPLICAS);
  }
  await fleet.stopBroker(1, { handOver: false });
  // Another replica is up again: it is outside of the ISR, so nothing leads, and nothing is taken or read.
  fleet.controller.elect(one.topicId, 0);
  await fleet.startBroker(2);
  await until('broker 2 holds it', () => one.replicaOf(2)?.log !== undefined);
  assert.equal((await one.produce(2, 'c')).errorCode, ErrorCode.NOT_AVAILABLE);
  await fleet.startBroker(1);
  fleet.controller.elect(one.topicId, 1);
  await until('they are in sync', () => one.isrOf().length === 2);
  assert.equal((await one.produce(1, 'd')).errorCode, ErrorCode.OK);
  assert.deepEqual(await one.read(1), ['a', 'd']);
});

test('J6: one flipped bit in one of five logs loses nothing and leaves no hole', async () => {
  await using fleet = await TestFleet.start([1, 2, 3, 4, 5]);
  const one = new Case(fleet, [1, 2, 3, 4, 5]);
  await one.untilLed(1);
  const texts = Array.from({ length: 20 }, (_, i) => `record ${i}`);
  for (const text of texts) assert.equal((await one.produce(1, text)).errorCode, ErrorCode.OK);
  await fleet.damage(1, 'record 7');
  // The leader is read where the bit is.
  const { partitions } = await fleet.clients(1).consumer.fetch({ partitions: [{ topicPartition, fetchOffset: 7n }] });
  assert.equal(partitions[0]?.errorCode, ErrorCode.CORRUPT_LOG, partitions[0]?.errorMessage);
  await until('the controllers know', () => fleet.controller.heartbeats.get(1)?.failed.length === 1);
  fleet.controller.elect(one.topicId, 2);
  await one.untilLed(2);
  assert.deepEqual(await one.read(2), texts);
  await until('the damaged one has left', () => one.isrOf().length === 4);
  await until('it is back', () => one.isrOf().length === 5, 12_000);
  const whole = await segmentBytes(fleet, 2);
  for (const id of [1, 3, 4, 5]) assert.deepEqual(await segmentBytes(fleet, id), whole, `broker ${id}`);
});

test('J9: a retry after the leader was lost is stored once', async () => {
  await using fleet = await TestFleet.start([1, 2, 3]);
  const one = new Case(fleet, [1, 2, 3]);
  await one.untilLed(1);
  const { producerId } = await fleet.clients(1).producer.initTransaction({});
  const send = (id: number, text: string, baseSequence: number) =>
    one.produce(id, text, ACK_ALL, { producerId, baseSequence });
  for (const [i, text] of ['a', 'b', 'c'].entries()) await send(1, text, i);
  await fleet.stopBroker(1, { handOver: false });
  fleet.controller.elect(one.topicId, 2, [2, 3]);
  await one.untilLed(2);
  for (const [text, sequence] of [
    ['c', 2],
    ['b', 1],
  ] as const) {
    const answer = await send(2, text, sequence);
    assert.deepEqual([answer.errorCode, answer.offset], [ErrorCode.OK, BigInt(sequence)], answer.errorMessage);
  }
  assert.equal((await send(2, 'd', 3)).offset, 3n);
  assert.deepEqual(await one.read(2), ['a', 'b', 'c', 'd']);
});

test('J18: a record above the high watermark reaches no reader in any way, and is gone with its leader', async () => {
  await using fleet = await TestFleet.start([1, 2, 3]);
  const one = new Case(fleet, [1, 2, 3]);
  await one.untilLed(1);
  assert.equal((await one.produce(1, 'a')).errorCode, ErrorCode.OK);
  await fleet.stopBroker(2);
  await fleet.stopBroker(3);
  await until('it is alone', () => one.isrOf().length === 1);
  const { consumer } = fleet.clients(1);
  const waiting = consumer.fetch({
    partitions: [{ topicPartition, fetchOffset: 1n }],
    ...{ minBytes: 1, maxWait: { nanos: 500_000_000 } },
  });
  const subscribed = subscribeAll(consumer.subscribe({ partitions: [{ topicPartition }] }));
  await until('the subscriber has the first', () => subscribed.texts.length === 1);
  assert.equal((await one.produce(1, 'x', ACK_LEADER)).errorCode, ErrorCode.OK);
  assert.deepEqual(textsOf((await waiting).partitions[0]?.batches ?? []), []);
  assert.deepEqual(await one.read(1), ['a']);
  const batch = await consumer.fetchBatch({ topics: ['case'] });
  assert.deepEqual(textsOf(batch.partitions[0]?.batches ?? []), ['a']);
  const latest = { case: 'boundary', value: OffsetBoundary.LATEST } as const;
  const listed = await consumer.listOffsets({ partitions: [{ topicPartition, position: { position: latest } }] });
  assert.equal(listed.partitions[0]?.offset, 1n, listed.partitions[0]?.errorMessage);

  await fleet.stopBroker(1, { handOver: false });
  await subscribed.ended;
  assert.deepEqual(subscribed.texts, ['a']);
  fleet.controller.elect(one.topicId, 2, [2, 3]);
  await fleet.startBroker(2);
  await fleet.startBroker(3);
  await one.untilLed(2);
  assert.equal((await one.produce(2, 'b')).offset, 1n);
  await fleet.startBroker(1);
  await until('all are in sync', () => one.isrOf().length === 3);
  assert.deepEqual(await one.read(2), ['a', 'b']);
});

test('J26: a leader that has not heard of its successor commits nothing more', async () => {
  await using fleet = await TestFleet.start([1, 2, 3]);
  const one = new Case(fleet, [1, 2, 3]);
  await one.untilLed(1);
  assert.equal((await one.produce(1, 'a')).errorCode, ErrorCode.OK);
  fleet.controller.deaf.add(1);
  fleet.controller.elect(one.topicId, 2);
  await one.untilLed(2);
  await until('broker 3 follows it', () => one.replicaOf(3)?.state.leaderEpoch === 2);
  for (const acks of [ACK_ALL, ACK_MAJORITY]) {
    const answer = await one.produce(1, 'old', acks, { timeout: { nanos: 300_000_000 } });
    assert.notEqual(answer.errorCode, ErrorCode.OK);
  }
  assert.equal((await one.produce(2, 'new')).offset, 1n);
  assert.deepEqual(await one.read(2), ['a', 'new']);
  await until('the old leader follows', () => one.replicaOf(1)?.log?.durableEndOffset === 2);
  assert.equal(one.replicaOf(1)?.state.role, 'follower');
});

test('J27: what cannot be read is an error and no missing record, and nothing is cut for it', async () => {
  await using fleet = await TestFleet.start([2, 3]);
  const disk = new FaultyDisk();
  await fleet.startBroker(1, {}, { wrapDisk: disk.wrap });
  const one = new Case(fleet, [1, 2, 3]);
  await one.untilLed(1);
  for (const text of ['a', 'b', 'c']) assert.equal((await one.produce(1, text)).errorCode, ErrorCode.OK);
  disk.failReadOf = /\.log$/;
  const { partitions } = await fleet.clients(1).consumer.fetch({ partitions: [{ topicPartition, fetchOffset: 1n }] });
  assert.equal(partitions[0]?.errorCode, ErrorCode.STORAGE_FAILED, partitions[0]?.errorMessage);
  for (const id of [2, 3]) assert.equal(one.replicaOf(id)?.log?.durableEndOffset, 3);
  await until('the controllers know', () => fleet.controller.heartbeats.get(1)?.failed.length === 1);
  fleet.controller.elect(one.topicId, 2);
  await one.untilLed(2);
  assert.deepEqual(await one.read(2), ['a', 'b', 'c']);
  disk.failReadOf = undefined;
  await until('it has left', () => one.isrOf().length === 2);
  await until('it is filled anew', () => one.isrOf().length === 3, 12_000);
  assert.equal(one.replicaOf(1)?.log?.durableEndOffset, 3);
});

function subscribeAll(answers: AsyncIterable<FetchResponse>) {
  const texts: string[] = [];
  const read = async (): Promise<void> => {
    for await (const { partitions } of answers) texts.push(...partitions.flatMap(({ batches }) => textsOf(batches)));
  };
  // The broker is killed in the end: how the stream takes that is not asked here.
  return { texts, ended: read().catch(() => undefined) };
}

/** What was written, without the room that is kept for more. */
async function segmentBytes(fleet: TestFleet, id: number): Promise<Buffer> {
  const bytes = await readFile(await fleet.segmentOf(id));
  return bytes.subarray(0, fleet.broker(id).partitions.byName('case', 0)?.log?.sizeBytes);
}
