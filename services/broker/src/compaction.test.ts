/** A compacted topic on brokers: what is read from the leader and from a replica that comes late, and what a restart leaves. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { ErrorCode } from '@fleetmq/gen/common/errors';
import { AcknowledgmentLevel } from '@fleetmq/gen/common/types';
import { batchOfFrame, decodeRecords, openBatch, splitFrames } from '@fleetmq/record';
import { type Offset, tableChecksum } from '@fleetmq/shared';
import { TestFleet, until } from './testing/fleet.fuzz.ts';

const text = new TextEncoder();
const decoder = new TextDecoder();
const settings = { broker: { 'drain-ms': 2_000, 'compaction-check-ms': 100 } };
const compacted = { 'cleanup.policy': 'compact', 'segment.bytes': '4096', 'delete.retention.ms': '0' };

describe('a compacted topic', () => {
  let fleet: TestFleet;
  const logOf = (id: number, topic: string) => fleet.broker(id).partitions.byName(topic, 0)?.log;

  before(async () => {
    fleet = await TestFleet.start([]);
    for (const id of [1, 2]) await fleet.startBroker(id, settings);
  });
  after(() => fleet[Symbol.asyncDispose]());

  /** Ten records at a time: `k<i % keys>`, of 200 bytes; a key in `deleted` gets a tombstone in the end. */
  async function write(topic: string, count: number, keys: number, deleted: readonly string[] = []): Promise<void> {
    const { producer } = fleet.clients(1);
    const topicPartition = { topic, partition: 0 };
    const records = Array.from({ length: count }, (_, i) => ({
      key: text.encode(`k${i % keys}`),
      value: text.encode(`${i}`.padEnd(200, '.')),
    }));
    const tombstones = deleted.map((key) => ({ key: text.encode(key) }));
    const all = [...records, ...tombstones];
    for (let at = 0; at < all.length; at += 10) {
      const acks = AcknowledgmentLevel.ACK_ALL;
      const answer = await producer.produce({ topicPartition, records: all.slice(at, at + 10), acks });
      assert.equal(answer.errorCode, ErrorCode.OK, answer.errorMessage);
    }
  }

  /** `offset:key=number` of each record of the log of one broker, whatever its role. */
  async function stored(id: number, topic: string): Promise<string[]> {
    const log = logOf(id, topic)!;
    const records: string[] = [];
    for (let from = log.startOffset; from < log.endOffset; ) {
      const { bytes, nextOffset } = await log.read({ from, upTo: log.endOffset, maxBytes: 1_000_000 });
      for (const frame of splitFrames(bytes, tableChecksum)) {
        for (const { offset, key, value } of decodeRecords(openBatch(batchOfFrame(frame, tableChecksum)))) {
          records.push(
            `${offset}:${decoder.decode(key)}=${value === undefined ? '' : parseInt(decoder.decode(value), 10)}`,
          );
        }
      }
      from = nextOffset as Offset;
    }
    return records;
  }

  const stateOf = (records: readonly string[]): Map<string, string> => {
    const state = new Map<string, string>();
    for (const record of records) {
      const [, key, value] = /^\d+:(.*)=(.*)$/.exec(record)! as unknown as [string, string, string];
      if (value === '') state.delete(key);
      else state.set(key, value);
    }
    return new Map([...state].sort());
  };

  test('leader and follower each keep the newest record of each key; a consumer finds every key, at its offset', async () => {
    fleet.controller.createTopic('accounts', [1, 2], { config: compacted });
    await until('it is led', () => fleet.broker(1).partitions.byName('accounts', 0)?.state.leader?.servable === true);
    await write('accounts', 200, 7, ['k3']);
    const before = await stored(1, 'accounts');
    const expected = stateOf(before);
    assert.equal(expected.size, 6);
    for (const id of [1, 2]) {
      await until(`broker ${id} has compacted`, async () => (await stored(id, 'accounts')).length < 60);
      assert.deepEqual(stateOf(await stored(id, 'accounts')), expected);
      assert.ok((await stored(id, 'accounts')).every((record) => before.includes(record)));
      assert.equal(logOf(id, 'accounts')?.endOffset, 201);
    }
    const { consumer } = fleet.clients(1);
    const seen: string[] = [];
    for (let fetchOffset = 0n; fetchOffset < 201n; ) {
      const topicPartition = { topic: 'accounts', partition: 0 };
      const { partitions } = await consumer.fetch({ partitions: [{ topicPartition, fetchOffset }] });
      const [answer] = partitions;
      assert.equal(answer?.errorCode, ErrorCode.OK);
      for (const batch of answer?.batches ?? []) {
        batch.records.forEach(({ key, value, offsetDelta }, i) => {
          const offset = Number(batch.baseOffset) + Number(offsetDelta ?? i);
          seen.push(
            `${offset}:${decoder.decode(key)}=${value === undefined ? '' : parseInt(decoder.decode(value), 10)}`,
          );
        });
      }
      fetchOffset = answer!.nextOffset;
    }
    assert.deepEqual(stateOf(seen), expected);
    const metrics = await (await fetch(`http://127.0.0.1:${fleet.broker(1).listeners.ops.port}/metrics`)).text();
    assert.match(metrics, /fleetmq_broker_compaction_removed_records(_total)? [1-9]/);
  });

  test('a replica that was away while the leader compacted what it lacks goes on in the middle of a gap', async () => {
    fleet.controller.createTopic('late', [1, 2], { config: { ...compacted, 'min.insync.replicas': '1' } });
    await until('it is led', () => fleet.broker(1).partitions.byName('late', 0)?.state.leader?.servable === true);
    await write('late', 95, 5);
    const end = logOf(2, 'late')!.endOffset;
    await fleet.stopBroker(2);
    await write('late', 400, 5, ['k1']);
    await until('the leader has compacted', async () => (await stored(1, 'late')).length < 60);
    assert.ok(
      (await stored(1, 'late')).every((record) => parseInt(record, 10) > end),
      'nothing of what the replica has is left',
    );
    const expected = stateOf(await stored(1, 'late'));
    await fleet.startBroker(2, settings);
    await until('the replica has caught up', () => logOf(2, 'late')?.durableEndOffset === logOf(1, 'late')?.endOffset);
    assert.ok(end < logOf(2, 'late')!.endOffset);
    assert.deepEqual(stateOf(await stored(2, 'late')), expected);
  });
});
