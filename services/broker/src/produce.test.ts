import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { ProducerService } from '@fleetmq/gen/client/producer';
import { ErrorCode } from '@fleetmq/gen/common/errors';
import { AcknowledgmentLevel, type RecordBatch, RecordBatchSchema } from '@fleetmq/gen/common/types';
import { TestFleet, until } from './testing/fleet.fuzz.ts';
import { builtBatch, endOf, record, textsOf, topicOf } from './testing/one-broker.fuzz.ts';

const { ACK_ALL, ACK_LEADER, ACK_NONE } = AcknowledgmentLevel;

describe('producing to one broker', () => {
  let fleet: TestFleet;
  before(async () => {
    fleet = await TestFleet.start([1]);
  });
  after(() => fleet[Symbol.asyncDispose]());

  test('what is produced is fetched, in order and byte for byte', async () => {
    const { producer, consumer } = fleet.clients(1);
    const topicPartition = await topicOf(fleet, 'plain');
    const records = ['a', 'b', 'c'].map(record);
    const first = await producer.produce({ topicPartition, records, acks: ACK_ALL });
    assert.equal(first.errorCode, ErrorCode.OK, first.errorMessage);
    assert.equal(first.leaderId, '1');
    assert.ok(first.logAppendTime > 0n && first.timestamp !== undefined);
    const second = await producer.produce({ topicPartition, records: [record('d')], acks: ACK_ALL });
    assert.equal(second.offset, first.offset + 3n);
    const answer = await consumer.fetch({ partitions: [{ topicPartition, fetchOffset: first.offset }] });
    const [partition] = answer.partitions;
    assert.equal(partition?.highWatermark, second.offset + 1n);
    assert.equal(partition?.nextOffset, 4n);
    assert.deepEqual(textsOf(partition?.batches ?? []), ['a', 'b', 'c', 'd']);
  });

  test('ProduceBatch answers each partition in the order of the request', async () => {
    const { producer } = fleet.clients(1);
    const topicPartition = await topicOf(fleet, 'batched');
    const answer = await producer.produceBatch({
      acks: ACK_ALL,
      partitions: [
        { topicPartition, batch: builtBatch(['a', 'b']) },
        { topicPartition: { topic: 'nowhere', partition: 0 }, batch: builtBatch(['x']) },
        { topicPartition, batch: builtBatch(['c']) },
        { topicPartition: { topic: 'batched', partition: 7 }, batch: builtBatch(['x']) },
      ],
    });
    assert.deepEqual(
      answer.partitions.map(({ errorCode, offset }) => [errorCode, offset]),
      [
        [ErrorCode.OK, 0n],
        [ErrorCode.TOPIC_NOT_FOUND, 0n],
        [ErrorCode.OK, 2n],
        [ErrorCode.PARTITION_NOT_FOUND, 0n],
      ],
    );
  });

  test('P15: a repeated batch gets the first answer again, a gap is refused', async () => {
    const { producer } = fleet.clients(1);
    const topicPartition = await topicOf(fleet, 'idempotent');
    const { producerId } = await producer.initTransaction({});
    const next = await producer.initTransaction({});
    assert.notEqual(next.producerId, producerId);
    const send = (baseSequence: number) =>
      producer.produce({
        topicPartition,
        records: [record('x'), record('y')],
        acks: ACK_ALL,
        producerId,
        baseSequence,
      });
    assert.equal((await send(0)).offset, 0n);
    assert.equal((await send(2)).offset, 2n);
    assert.equal((await send(0)).offset, 0n);
    assert.equal((await send(8)).errorCode, ErrorCode.OUT_OF_ORDER_SEQUENCE);
    assert.equal(endOf(fleet, 'idempotent'), 4);
    const bumped = await producer.initTransaction({ producerId, producerEpoch: 0 });
    assert.equal(bumped.producerEpoch, 1);
  });

  test('an idempotency key gives the first answer again, and refuses other content', async () => {
    const { producer } = fleet.clients(1);
    const topicPartition = await topicOf(fleet, 'keyed');
    const send = (text: string) =>
      producer.produce({ topicPartition, records: [record(text)], acks: ACK_ALL, idempotencyKey: 'order-1' });
    assert.equal((await send('a')).offset, 0n);
    const again = await send('a');
    assert.equal(again.offset, 0n, again.errorMessage);
    assert.equal((await send('b')).errorCode, ErrorCode.DUPLICATE_REQUEST);
  });

  test('bad input is refused with its own error, and the log is untouched', async () => {
    const { producer } = fleet.clients(1);
    const topicPartition = await topicOf(fleet, 'strict', { 'max.message.bytes': '2000' });
    const cases: readonly (readonly [string, Partial<RecordBatch>, ErrorCode])[] = [
      ['wrong checksum', { records: builtBatch(['a']).records, crc32: 7 }, ErrorCode.CORRUPT_BATCH],
      ['lying count', { records: builtBatch(['a']).records, recordCount: 7 }, ErrorCode.CORRUPT_BATCH],
      [
        'unknown codec',
        { compressionType: 9, compressedRecords: new Uint8Array(9), recordCount: 1 },
        ErrorCode.UNSUPPORTED_CODEC,
      ],
      ['too large', { records: builtBatch(['a'.repeat(3_000)]).records }, ErrorCode.RECORD_TOO_LARGE],
      ['leader fields', { records: builtBatch(['a']).records, leaderEpoch: 1 }, ErrorCode.INVALID_REQUEST],
      ['transactional', { records: builtBatch(['a']).records, attributes: 1, producerId: 5n }, ErrorCode.UNIMPLEMENTED],
    ];
    for (const [name, fields, code] of cases) {
      const batch = create(RecordBatchSchema, fields as RecordBatch);
      const answer = await producer.produceBatch({ acks: ACK_ALL, partitions: [{ topicPartition, batch }] });
      assert.equal(answer.partitions[0]?.errorCode, code, `${name}: ${answer.partitions[0]?.errorMessage}`);
    }
    const loose = await producer.produce({ topicPartition, records: [record('a'.repeat(3_000))], acks: ACK_ALL });
    assert.equal(loose.errorCode, ErrorCode.RECORD_TOO_LARGE);
    const future = { seconds: BigInt(Math.floor(Date.now() / 1000) + 86_400), nanos: 0 };
    const ahead = await producer.produce({ topicPartition, records: [{ timestamp: future }], acks: ACK_ALL });
    assert.equal(ahead.errorCode, ErrorCode.INVALID_REQUEST, ahead.errorMessage);
    assert.equal(endOf(fleet, 'strict'), 0);
  });

  test('requests that are no requests end with a status', async () => {
    const { producer, consumer, transport } = fleet.clients(1);
    const topicPartition = await topicOf(fleet, 'status');
    await assert.rejects(producer.produce({ version: { major: 2 }, topicPartition }), { code: 'UNSUPPORTED_VERSION' });
    await assert.rejects(consumer.fetch({ replicaId: 2, partitions: [{ topicPartition }] }), { code: 'UNAUTHORIZED' });
    await assert.rejects(consumer.fetch({ partitions: [] }), { code: 'INVALID_REQUEST' });
    await assert.rejects(producer.produceBatch({ partitions: [] }), { code: 'INVALID_REQUEST' });
    await assert.rejects(producer.initTransaction({ transactionalId: 't' }), { code: 'UNIMPLEMENTED' });
    await assert.rejects(consumer.joinGroup({ groupId: 'g' }), { code: 'UNIMPLEMENTED' });
    const garbage = new Uint8Array(64).fill(0xff);
    for (const method of [ProducerService.method.produce, ProducerService.method.produceBatch]) {
      await assert.rejects(transport.rawUnary(method, garbage), { code: 'INVALID_REQUEST' });
    }
    assert.equal(endOf(fleet, 'status'), 0);
  });

  test('ProduceStream answers in order per partition, with correlation ids, refusals included', async () => {
    const { producer } = fleet.clients(1);
    const topicPartition = await topicOf(fleet, 'streamed');
    const levels = [ACK_ALL, ACK_NONE, ACK_LEADER];
    const answers = [];
    const requests = async function* () {
      for (let i = 0; i < 300; i++) {
        const bad = i % 50 === 49;
        const acks = bad ? (99 as AcknowledgmentLevel) : (levels[i % 3] as AcknowledgmentLevel);
        yield { topicPartition, records: [record(`r${i}`)], acks, correlationId: BigInt(i) };
      }
    };
    for await (const answer of producer.produceStream(requests())) answers.push(answer);
    assert.deepEqual(
      answers.map(({ correlationId }) => Number(correlationId)),
      Array.from({ length: 300 }, (_, i) => i),
    );
    assert.equal(answers.filter(({ errorCode }) => errorCode === ErrorCode.INVALID_ACKS).length, 6);
    assert.equal(endOf(fleet, 'streamed'), 294);
  });

  test('a topic whose settings change keeps to the new ones', async () => {
    const { producer } = fleet.clients(1);
    const topicPartition = await topicOf(fleet, 'tuned');
    const topic = fleet.controller.image.topicByName('tuned');
    assert.ok(topic);
    fleet.controller.setConfig(topic, { 'max.message.bytes': '1024' });
    await until(
      'the setting is known',
      () => fleet.broker(1).partitions.byName('tuned', 0)?.config.maxMessageBytes === 1024,
    );
    const answer = await producer.produce({ topicPartition, records: [record('x'.repeat(2_000))], acks: ACK_ALL });
    assert.equal(answer.errorCode, ErrorCode.RECORD_TOO_LARGE);
  });

  test('a fenced broker takes no records, and goes on when it is back', async () => {
    const { producer } = fleet.clients(1);
    const topicPartition = await topicOf(fleet, 'fenced');
    fleet.controller.keptFenced.add(1);
    const send = () => producer.produce({ topicPartition, records: [record('x')], acks: ACK_ALL });
    await until('it is refused', async () => (await send()).errorCode === ErrorCode.NOT_AVAILABLE);
    const end = endOf(fleet, 'fenced');
    fleet.controller.keptFenced.delete(1);
    await until('it is taken', async () => (await send()).errorCode === ErrorCode.OK);
    assert.equal(endOf(fleet, 'fenced'), end + 1);
  });
});
