import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ErrorCode } from '@fleetmq/gen/common/errors';
import { AcknowledgmentLevel } from '@fleetmq/gen/common/types';
import { TestFleet, until } from './testing/fleet.fuzz.ts';

const record = (text: string) => ({ value: new TextEncoder().encode(text) });
const { ACK_ALL } = AcknowledgmentLevel;

describe('one broker', () => {
  let fleet: TestFleet;
  before(async () => {
    fleet = await TestFleet.start([1]);
    fleet.controller.createTopic('plain', [1]);
    await until('the partition is led', () => fleet.broker(1).partitions.byName('plain', 0)?.state.role === 'leader');
  });
  after(() => fleet[Symbol.asyncDispose]());

  test('what is produced is fetched, in order and byte for byte', async () => {
    const { producer, consumer } = fleet.clients(1);
    const topicPartition = { topic: 'plain', partition: 0 };
    const records = ['a', 'b', 'c'].map(record);
    const first = await producer.produce({ topicPartition, records, acks: ACK_ALL });
    assert.equal(first.errorCode, ErrorCode.OK, first.errorMessage);
    const second = await producer.produce({ topicPartition, records: [record('d')], acks: ACK_ALL });
    assert.equal(second.offset, first.offset + 3n);
    const answer = await consumer.fetch({ partitions: [{ topicPartition, fetchOffset: first.offset }] });
    const [partition] = answer.partitions;
    assert.equal(partition?.highWatermark, second.offset + 1n);
    const texts = partition?.batches.flatMap(({ records: held }) =>
      held.map(({ value }) => new TextDecoder().decode(value)),
    );
    assert.deepEqual(texts, ['a', 'b', 'c', 'd']);
  });
});
