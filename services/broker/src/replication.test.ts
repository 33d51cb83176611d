import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { ErrorCode } from '@fleetmq/gen/common/errors';
import { AcknowledgmentLevel } from '@fleetmq/gen/common/types';
import type { TopicId } from '@fleetmq/shared';
import { TestFleet, until } from './testing/fleet.fuzz.ts';

const record = (text: string) => ({ value: new TextEncoder().encode(text) });
const { ACK_ALL, ACK_LEADER, ACK_CUSTOM, ACK_MAJORITY } = AcknowledgmentLevel;

async function produce(
  fleet: TestFleet,
  id: number,
  topic: string,
  texts: readonly string[],
  acks: AcknowledgmentLevel = ACK_ALL,
) {
  const { producer } = fleet.clients(id);
  return producer.produce({ topicPartition: { topic, partition: 0 }, records: texts.map(record), acks });
}

async function readAll(fleet: TestFleet, id: number, topic: string): Promise<string[]> {
  const { consumer } = fleet.clients(id);
  const answer = await consumer.fetch({ partitions: [{ topicPartition: { topic, partition: 0 }, fetchOffset: 0n }] });
  assert.equal(answer.partitions[0]?.errorCode, ErrorCode.OK, answer.partitions[0]?.errorMessage);
  return (answer.partitions[0]?.batches ?? []).flatMap(({ records }) =>
    records.map(({ value }) => new TextDecoder().decode(value)),
  );
}

const replicaOf = (fleet: TestFleet, id: number, topic: string) => fleet.broker(id).partitions.byName(topic, 0);

async function untilLed(fleet: TestFleet, id: number, topic: string): Promise<void> {
  await until(`${topic} is led by ${id}`, () => replicaOf(fleet, id, topic)?.state.leader?.servable === true);
}

describe('three brokers', () => {
  let fleet: TestFleet;
  before(async () => {
    fleet = await TestFleet.start([1, 2, 3]);
  });
  after(() => fleet[Symbol.asyncDispose]());

  test('P1, P7: ACK_ALL is answered once every in-sync replica has the batch, and followers learn the watermark', async () => {
    fleet.controller.createTopic('all', [1, 2, 3]);
    await untilLed(fleet, 1, 'all');
    const answer = await produce(fleet, 1, 'all', ['a', 'b']);
    assert.equal(answer.errorCode, ErrorCode.OK, answer.errorMessage);
    for (const id of [2, 3]) assert.equal(replicaOf(fleet, id, 'all')?.log?.durableEndOffset, 2);
    await until('followers know the watermark', () =>
      [2, 3].every((id) => replicaOf(fleet, id, 'all')?.state.highWatermark === 2),
    );
    assert.deepEqual(await readAll(fleet, 1, 'all'), ['a', 'b']);
  });

  test('a broker that does not lead names the leader, on the listener of the same kind', async () => {
    for (const listener of ['client', 'internal'] as const) {
      const { producer, consumer } = fleet.clients(2, listener);
      const topicPartition = { topic: 'all', partition: 0 };
      const { host, port } = fleet.broker(1).listeners[listener];
      const written = await producer.produce({ topicPartition, records: [record('x')], acks: ACK_ALL });
      assert.equal(written.errorCode, ErrorCode.NOT_LEADER);
      assert.equal(written.leaderHint, `1@${host}:${port}`);
      assert.equal(written.retriable, true);
      const read = await consumer.fetch({ partitions: [{ topicPartition }] });
      assert.equal(read.partitions[0]?.errorCode, ErrorCode.NOT_LEADER);
      assert.equal(read.partitions[0]?.leaderHint, `1@${host}:${port}`);
    }
  });

  test('P9, P12: after a change of leader everything acknowledged is there, and the old leader takes no more', async () => {
    const { topicId } = fleet.controller.createTopic('moving', [1, 2, 3]);
    await untilLed(fleet, 1, 'moving');
    await produce(fleet, 1, 'moving', ['a', 'b', 'c']);
    fleet.controller.elect(topicId, 2);
    await untilLed(fleet, 2, 'moving');
    assert.deepEqual(await readAll(fleet, 2, 'moving'), ['a', 'b', 'c']);
    const answer = await produce(fleet, 2, 'moving', ['d']);
    assert.equal(answer.offset, 3n);
    await until('the old leader knows', () => replicaOf(fleet, 1, 'moving')?.state.role === 'follower');
    assert.equal((await produce(fleet, 1, 'moving', ['e'])).errorCode, ErrorCode.NOT_LEADER);
    await until('the old leader follows', () => replicaOf(fleet, 1, 'moving')?.log?.durableEndOffset === 4);
  });

  test('P4, P10: a follower that is gone leaves the ISR; below min.insync.replicas writes are refused', async () => {
    const { topicId } = fleet.controller.createTopic('shrinking', [1, 2, 3]);
    await untilLed(fleet, 1, 'shrinking');
    await produce(fleet, 1, 'shrinking', ['a']);
    await fleet.stopBroker(3, { handOver: false });
    const pending = produce(fleet, 1, 'shrinking', ['b']);
    const answer = await pending;
    assert.equal(answer.errorCode, ErrorCode.OK, answer.errorMessage);
    assert.deepEqual([...fleet.controller.partition(topicId).inSyncReplicas], [1, 2]);
    await fleet.stopBroker(2, { handOver: false });
    // A write that was appended before the ISR shrank is told that it may survive.
    const late = await produce(fleet, 1, 'shrinking', ['c']);
    assert.equal(late.errorCode, ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND, late.errorMessage);
    const refused = await produce(fleet, 1, 'shrinking', ['d']);
    assert.equal(refused.errorCode, ErrorCode.NOT_ENOUGH_REPLICAS, refused.errorMessage);
    assert.equal(replicaOf(fleet, 1, 'shrinking')?.log?.endOffset, 3);
    assert.equal(replicaOf(fleet, 1, 'shrinking')?.state.highWatermark, 2);
    const relaxed = await produce(fleet, 1, 'shrinking', ['e'], ACK_LEADER);
    assert.equal(relaxed.errorCode, ErrorCode.OK, relaxed.errorMessage);
    assert.deepEqual(await readAll(fleet, 1, 'shrinking'), ['a', 'b']);
    await fleet.startBroker(2);
    await fleet.startBroker(3);
    await until('all are back in sync', () => fleet.controller.partition(topicId).inSyncReplicas.length === 3);
    await until('the tail is committed', () => replicaOf(fleet, 1, 'shrinking')?.state.highWatermark === 4);
    assert.deepEqual(await readAll(fleet, 1, 'shrinking'), ['a', 'b', 'c', 'e']);
  });

  test('P6, P13: a tail that no in-sync replica has is cut, and the follower ends with the log of its leader', async () => {
    const { topicId } = fleet.controller.createTopic('diverging', [1, 2, 3]);
    await untilLed(fleet, 1, 'diverging');
    await produce(fleet, 1, 'diverging', ['a', 'b']);
    // Broker 1 alone takes records that nobody else gets, and dies before the ISR has changed.
    await fleet.stopBroker(2);
    await fleet.stopBroker(3);
    await produce(fleet, 1, 'diverging', ['lost-1', 'lost-2', 'lost-3'], ACK_LEADER);
    await fleet.stopBroker(1, { handOver: false });
    fleet.controller.elect(topicId, 2, [2, 3]);
    await fleet.startBroker(2);
    await fleet.startBroker(3);
    await untilLed(fleet, 2, 'diverging');
    await produce(fleet, 2, 'diverging', ['c']);
    await fleet.startBroker(1);
    await until('all are in sync', () => fleet.controller.partition(topicId).inSyncReplicas.length === 3);
    for (const id of [1, 2, 3])
      assert.equal(replicaOf(fleet, id, 'diverging')?.log?.durableEndOffset, 3, `broker ${id}`);
    fleet.controller.elect(topicId, 1);
    await untilLed(fleet, 1, 'diverging');
    assert.deepEqual(await readAll(fleet, 1, 'diverging'), ['a', 'b', 'c']);
  });

  test('P7: a lost answer to an ISR change keeps both sets counting until it is known', async () => {
    const { topicId } = fleet.controller.createTopic('uncertain', [1, 2, 3]);
    await untilLed(fleet, 1, 'uncertain');
    await produce(fleet, 1, 'uncertain', ['a']);
    let attempts = 0;
    fleet.controller.change(topicId, { inSyncReplicas: fleet.controller.partition(topicId).replicas.slice(0, 2) });
    fleet.controller.onUpdateIsr = (request) => {
      if (request.topicId !== topicId) return;
      attempts++;
      if (attempts === 1) {
        // Carried out, but its answer is lost.
        fleet.controller.change(topicId, { inSyncReplicas: fleet.controller.partition(topicId).replicas });
        throw new Error('the answer is lost');
      }
    };
    await until(
      'the change is known',
      () => replicaOf(fleet, 1, 'uncertain')?.state.leader?.isr.committed.length === 3,
    );
    fleet.controller.onUpdateIsr = undefined;
    assert.equal((await produce(fleet, 1, 'uncertain', ['b'])).errorCode, ErrorCode.OK);
  });

  test('ack levels with three replicas', async () => {
    fleet.controller.createTopic('levels', [1, 2, 3]);
    await untilLed(fleet, 1, 'levels');
    const { producer } = fleet.clients(1);
    const topicPartition = { topic: 'levels', partition: 0 };
    for (const [acks, customAckCount, code] of [
      [ACK_MAJORITY, 0, ErrorCode.OK],
      [ACK_CUSTOM, 1, ErrorCode.OK],
      [ACK_CUSTOM, 3, ErrorCode.OK],
      [ACK_CUSTOM, 4, ErrorCode.INVALID_ACKS],
      [ACK_CUSTOM, 0, ErrorCode.INVALID_ACKS],
      [99 as AcknowledgmentLevel, 0, ErrorCode.INVALID_ACKS],
    ] as const) {
      const answer = await producer.produce({ topicPartition, records: [record('x')], acks, customAckCount });
      assert.equal(answer.errorCode, code, `${acks}/${customAckCount}: ${answer.errorMessage}`);
    }
    assert.equal(replicaOf(fleet, 1, 'levels')?.log?.endOffset, 3);
  });

  test('a deleted topic takes its logs with it, and a topic of the same name begins anew', async () => {
    const { topicId } = fleet.controller.createTopic('short-lived', [1, 2]);
    await untilLed(fleet, 1, 'short-lived');
    await produce(fleet, 1, 'short-lived', ['a']);
    fleet.controller.deleteTopic(topicId as TopicId);
    await until('the folders are gone', async () => {
      const names = await Promise.all([1, 2].map((id) => readdir(`${fleet.folderOf(id)}/partitions`)));
      return names.flat().every((name) => !name.startsWith(topicId));
    });
    assert.equal((await produce(fleet, 1, 'short-lived', ['b'])).errorCode, ErrorCode.TOPIC_NOT_FOUND);
  });

  test('DeleteRecords moves the log start on the leader and on its followers', async () => {
    fleet.controller.createTopic('trimmed', [1, 2, 3]);
    await untilLed(fleet, 1, 'trimmed');
    await produce(fleet, 1, 'trimmed', ['a', 'b']);
    await produce(fleet, 1, 'trimmed', ['c']);
    const { consumer } = fleet.clients(1);
    const topicPartition = { topic: 'trimmed', partition: 0 };
    const answer = await consumer.deleteRecords({ partitions: [{ topicPartition, beforeOffset: 2n }] });
    assert.equal(answer.partitions[0]?.logStartOffset, 2n, answer.partitions[0]?.errorMessage);
    await until('followers follow', () =>
      [2, 3].every((id) => replicaOf(fleet, id, 'trimmed')?.log?.startOffset === 2),
    );
    const tooHigh = await consumer.deleteRecords({ partitions: [{ topicPartition, beforeOffset: 4n }] });
    assert.equal(tooHigh.partitions[0]?.errorCode, ErrorCode.OFFSET_OUT_OF_RANGE);
    const gone = await consumer.fetch({ partitions: [{ topicPartition, fetchOffset: 1n }] });
    assert.equal(gone.partitions[0]?.errorCode, ErrorCode.OFFSET_OUT_OF_RANGE);
  });

  test('GetLeaderEpoch says where an epoch ends, SendHeartbeat who is there; both refuse who is not meant or behind', async () => {
    const { topicId } = fleet.controller.createTopic('epochs', [1, 2, 3]);
    await untilLed(fleet, 1, 'epochs');
    await produce(fleet, 1, 'epochs', ['a', 'b']);
    fleet.controller.elect(topicId, 2);
    await untilLed(fleet, 2, 'epochs');
    await produce(fleet, 2, 'epochs', ['c']);
    const { replication } = fleet.clients(3, 'internal');
    for (const [leaderEpoch, answer] of [
      [1, { epoch: 1, end: 2n }],
      [2, { epoch: 2, end: 3n }],
      [9, { epoch: 2, end: 3n }],
      [0, { epoch: 0, end: 0n }],
    ] as const) {
      const { leaderEpoch: epoch, endOffset: end } = await replication.getLeaderEpoch({ topicId, leaderEpoch });
      assert.deepEqual({ epoch, end }, answer, `epoch ${leaderEpoch}`);
    }
    const asks = { topicId, leaderEpoch: 1, currentLeaderEpoch: 1 };
    await assert.rejects(replication.getLeaderEpoch(asks), { code: 'STALE_EPOCH' });
    await assert.rejects(replication.getLeaderEpoch({ topicId, partition: 7 }), { code: 'PARTITION_NOT_FOUND' });

    const epochOf = (id: number) => BigInt(fleet.broker(id).brokerEpoch);
    const beat = { clusterId: 'c'.repeat(32), brokerId: 1, brokerEpoch: epochOf(1), targetId: 3 };
    assert.equal((await replication.sendHeartbeat(beat)).brokerEpoch, epochOf(3));
    await assert.rejects(replication.sendHeartbeat({ ...beat, targetId: 2 }), { code: 'WRONG_TARGET' });
    await assert.rejects(replication.sendHeartbeat({ ...beat, clusterId: 'd' }), { code: 'WRONG_CLUSTER' });
    const earlier = { ...beat, brokerEpoch: epochOf(1) - 1n };
    await assert.rejects(replication.sendHeartbeat(earlier), { code: 'STALE_BROKER_EPOCH' });
  });
});
