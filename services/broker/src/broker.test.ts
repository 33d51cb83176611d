import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { FetchRequestSchema, FetchResponseSchema } from '@fleetmq/gen/client/consumer';
import { ProduceRequestSchema, ProduceResponseSchema, ProducerService } from '@fleetmq/gen/client/producer';
import { ErrorCode } from '@fleetmq/gen/common/errors';
import { AcknowledgmentLevel, CompressionType, type RecordBatch, RecordBatchSchema } from '@fleetmq/gen/common/types';
import { BatchBuilder, batchOfFrame, openBatch, viewRecords } from '@fleetmq/record';
import { lz4 } from '@fleetmq/record/codecs/node';
import { nodeChecksum } from '@fleetmq/shared/runtime';
import { TestFleet, until } from './testing/fleet.fuzz.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const record = (text: string) => ({ value: encoder.encode(text) });
const { ACK_ALL, ACK_LEADER, ACK_NONE } = AcknowledgmentLevel;

function builtBatch(texts: readonly string[], options: Parameters<BatchBuilder['build']>[0] = {}): RecordBatch {
  const builder = new BatchBuilder();
  for (const text of texts) builder.append(undefined, encoder.encode(text));
  return fromBinary(RecordBatchSchema, builder.build(options, nodeChecksum).bytes);
}

const textsOf = (batches: readonly RecordBatch[]): string[] =>
  batches.flatMap(({ records }) => records.map(({ value }) => decoder.decode(value)));

describe('one broker', () => {
  let fleet: TestFleet;
  before(async () => {
    fleet = await TestFleet.start([1]);
  });
  after(() => fleet[Symbol.asyncDispose]());

  /** A topic of one partition on this broker. */
  async function topicOf(name: string, config: Record<string, string> = {}) {
    fleet.controller.createTopic(name, [1], { config });
    await until(`${name} is led`, () => fleet.broker(1).partitions.byName(name, 0)?.state.leader?.servable === true);
    return { topic: name, partition: 0 };
  }

  const endOf = (topic: string): number => fleet.broker(1).partitions.byName(topic, 0)?.log?.endOffset ?? -1;

  test('what is produced is fetched, in order and byte for byte', async () => {
    const { producer, consumer } = fleet.clients(1);
    const topicPartition = await topicOf('plain');
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

  test('loose records keep keys, headers, tombstones and times, and are found by time', async () => {
    const { producer, consumer } = fleet.clients(1);
    const topicPartition = await topicOf('times');
    const at = (seconds: number) => ({ seconds: BigInt(seconds), nanos: 0 });
    const headers = [{ key: 'h', value: encoder.encode('v') }];
    await producer.produce({
      topicPartition,
      acks: ACK_ALL,
      records: [
        { key: encoder.encode('k'), timestamp: at(1_000_000), headers },
        { value: encoder.encode('later'), timestamp: at(1_000_100) },
      ],
    });
    const { partitions } = await consumer.fetch({ partitions: [{ topicPartition }] });
    const [batch] = partitions[0]?.batches ?? [];
    assert.equal(batch?.records[0]?.value, undefined);
    assert.equal(decoder.decode(batch?.records[0]?.key), 'k');
    assert.equal(batch?.records[0]?.headers[0]?.key, 'h');
    assert.equal(batch?.maxTimestamp?.seconds, 1_000_100n);
    const position = { position: { case: 'timestamp' as const, value: at(1_000_050) } };
    const found = await consumer.listOffsets({ partitions: [{ topicPartition, position }] });
    assert.equal(found.partitions[0]?.offset, 1n);
    assert.equal(found.partitions[0]?.timestamp?.seconds, 1_000_100n);
  });

  test('ProduceBatch answers each partition in the order of the request', async () => {
    const { producer } = fleet.clients(1);
    const topicPartition = await topicOf('batched');
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
    const topicPartition = await topicOf('idempotent');
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
    assert.equal(endOf('idempotent'), 4);
    const bumped = await producer.initTransaction({ producerId, producerEpoch: 0 });
    assert.equal(bumped.producerEpoch, 1);
  });

  test('an idempotency key gives the first answer again, and refuses other content', async () => {
    const { producer } = fleet.clients(1);
    const topicPartition = await topicOf('keyed');
    const send = (text: string) =>
      producer.produce({ topicPartition, records: [record(text)], acks: ACK_ALL, idempotencyKey: 'order-1' });
    assert.equal((await send('a')).offset, 0n);
    const again = await send('a');
    assert.equal(again.offset, 0n, again.errorMessage);
    assert.equal((await send('b')).errorCode, ErrorCode.DUPLICATE_REQUEST);
  });

  test('bad input is refused with its own error, and the log is untouched', async () => {
    const { producer } = fleet.clients(1);
    const topicPartition = await topicOf('strict', { 'max.message.bytes': '2000' });
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
    assert.equal(endOf('strict'), 0);
  });

  test('requests that are no requests end with a status', async () => {
    const { producer, consumer, transport } = fleet.clients(1);
    const topicPartition = await topicOf('status');
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
    assert.equal(endOf('status'), 0);
  });

  test('what lies outside of the log is OFFSET_OUT_OF_RANGE', async () => {
    const { producer, consumer } = fleet.clients(1);
    const topicPartition = await topicOf('range');
    await producer.produce({ topicPartition, records: [record('a')], acks: ACK_ALL });
    const above = await consumer.fetch({ partitions: [{ topicPartition, fetchOffset: 2n }] });
    assert.equal(above.partitions[0]?.errorCode, ErrorCode.OFFSET_OUT_OF_RANGE);
    const atEnd = await consumer.fetch({ partitions: [{ topicPartition, fetchOffset: 1n }] });
    assert.equal(atEnd.partitions[0]?.errorCode, ErrorCode.OK);
    const newer = await consumer.fetch({ partitions: [{ topicPartition, currentLeaderEpoch: 9 }] });
    assert.equal(newer.partitions[0]?.errorCode, ErrorCode.STALE_EPOCH);
  });

  test('a fetch waits for records, and for no longer than it said', async () => {
    const { producer, consumer } = fleet.clients(1);
    const topicPartition = await topicOf('polled');
    const wait = { seconds: 5n, nanos: 0 };
    const started = performance.now();
    const polling = consumer.fetch({ maxWait: wait, partitions: [{ topicPartition }] });
    await until('the reader is parked', () => fleet.broker(1).partitions.byName('polled', 0)?.readerCount === 1);
    await producer.produce({ topicPartition, records: [record('a')], acks: ACK_LEADER });
    assert.deepEqual(textsOf((await polling).partitions[0]?.batches ?? []), ['a']);
    assert.ok(performance.now() - started < 4_000);
    const short = await consumer.fetch({
      maxWait: { nanos: 30_000_000 },
      partitions: [{ topicPartition, fetchOffset: 1n }],
    });
    assert.equal(short.partitions[0]?.batches.length, 0);
    assert.equal(fleet.broker(1).partitions.byName('polled', 0)?.readerCount, 0);
  });

  test('an answer keeps to max_bytes, but for its first batch', async () => {
    const { producer, consumer } = fleet.clients(1);
    const topicPartition = await topicOf('bounded');
    for (let i = 0; i < 4; i++) {
      await producer.produce({ topicPartition, records: [record('x'.repeat(10_000))], acks: ACK_LEADER });
    }
    const first = await consumer.fetch({ maxBytes: 100, partitions: [{ topicPartition }] });
    assert.equal(first.partitions[0]?.batches.length, 1);
    const two = await consumer.fetch({ maxBytes: 25_000, partitions: [{ topicPartition }] });
    assert.equal(two.partitions[0]?.batches.length, 2);
    assert.equal(two.partitions[0]?.nextOffset, 2n);
    const partitions = [
      { topicPartition, partitionMaxBytes: 1 },
      { topicPartition, fetchOffset: 2n },
    ];
    const both = await consumer.fetch({ maxBytes: 15_000, partitions });
    assert.deepEqual(
      both.partitions.map(({ batches }) => batches.length),
      [1, 0],
    );
  });

  test('a batch in a codec is sent as it lies to those who take it, and inflated to others', async () => {
    const { producer, consumer } = fleet.clients(1);
    const topicPartition = await topicOf('compressed');
    const batch = builtBatch(['a', 'b', 'c'], { codec: lz4 });
    assert.equal(batch.records.length, 0);
    const written = await producer.produceBatch({ acks: ACK_ALL, partitions: [{ topicPartition, batch }] });
    assert.equal(written.partitions[0]?.errorCode, ErrorCode.OK, written.partitions[0]?.errorMessage);
    const plain = await consumer.fetch({ partitions: [{ topicPartition }] });
    assert.deepEqual(textsOf(plain.partitions[0]?.batches ?? []), ['a', 'b', 'c']);
    const taken = await consumer.fetch({
      acceptedCodecs: [
        CompressionType.COMPRESSION_LZ4,
        CompressionType.COMPRESSION_ZSTD,
        CompressionType.COMPRESSION_SNAPPY,
      ],
      partitions: [{ topicPartition }],
    });
    const [stored] = taken.partitions[0]?.batches ?? [];
    assert.ok(Buffer.from(stored?.compressedRecords ?? []).equals(batch.compressedRecords));
    assert.equal(stored?.recordCount, 3);
  });

  test('long and short batches are inflated for many readers at once, each in the order of the log', async () => {
    const { producer, consumer } = fleet.clients(1);
    const topicPartition = await topicOf('inflated');
    const noise = (length: number): string => randomBytes(length / 2).toString('hex');
    const texts = [60_000, 10, 80_000, 2_000, 2_000, 100_000].map(noise);
    for (const text of texts) {
      const batch = builtBatch([text, 'end'], { codec: lz4 });
      await producer.produceBatch({ acks: ACK_ALL, partitions: [{ topicPartition, batch }] });
    }
    const readers = Array.from({ length: 8 }, () => consumer.fetch({ partitions: [{ topicPartition }] }));
    for (const { partitions } of await Promise.all(readers)) {
      assert.deepEqual(
        textsOf(partitions[0]?.batches ?? []),
        texts.flatMap((text) => [text, 'end']),
      );
      assert.equal(partitions[0]?.nextOffset, 12n);
    }
  });

  test('the stored bytes are the answer: a raw fetch holds the very frames of the log', async () => {
    const { producer, transport } = fleet.clients(1);
    const topicPartition = await topicOf('raw');
    const request = toBinary(
      ProduceRequestSchema,
      create(ProduceRequestSchema, { topicPartition, records: [record('raw')], acks: ACK_ALL, correlationId: 77n }),
    );
    const { method } = ProducerService;
    const produced = fromBinary(ProduceResponseSchema, await transport.rawUnary(method.produce, request));
    assert.equal(produced.correlationId, 77n);
    const { ConsumerService } = await import('@fleetmq/gen/client/consumer');
    const fetched = await transport.rawUnary(
      ConsumerService.method.fetch,
      toBinary(FetchRequestSchema, create(FetchRequestSchema, { partitions: [{ topicPartition }] })),
    );
    const log = fleet.broker(1).partitions.byName('raw', 0)?.log;
    const read = await log?.read({ from: log.startOffset, upTo: log.endOffset, maxBytes: 1e6 });
    assert.ok(read !== undefined && Buffer.from(fetched).includes(Buffer.from(read.bytes)));
    const batch = openBatch(batchOfFrame(read.bytes, nodeChecksum));
    assert.deepEqual(
      [...viewRecords(batch)].map(({ value }) => decoder.decode(value)),
      ['raw'],
    );
    const answer = fromBinary(FetchResponseSchema, fetched);
    assert.equal(answer.partitions[0]?.batches.length, 1);
    assert.ok(producer !== undefined);
  });

  test('ProduceStream answers in order per partition, with correlation ids, refusals included', async () => {
    const { producer } = fleet.clients(1);
    const topicPartition = await topicOf('streamed');
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
    assert.equal(endOf('streamed'), 294);
  });

  test('Subscribe sends what is there, what comes, heartbeats, and a cursor to resume from', async () => {
    const { producer, consumer } = fleet.clients(1);
    const topicPartition = await topicOf('subscribed');
    await producer.produce({ topicPartition, records: ['a', 'b'].map(record), acks: ACK_ALL });
    const stop = new AbortController();
    const stream = consumer.subscribe(
      { partitions: [{ topicPartition }], heartbeatInterval: { nanos: 100_000_000 } },
      { signal: stop.signal },
    );
    const seen: string[] = [];
    let cursor = new Uint8Array(0);
    let heartbeats = 0;
    for await (const answer of stream) {
      seen.push(...answer.partitions.flatMap(({ batches }) => textsOf(batches)));
      cursor = answer.cursor as Uint8Array<ArrayBuffer>;
      if (answer.partitions.length === 0) heartbeats++;
      if (seen.length === 2 && heartbeats === 1) {
        await producer.produce({ topicPartition, records: [record('c')], acks: ACK_ALL });
      }
      if (seen.length === 3) break;
    }
    stop.abort();
    assert.deepEqual(seen, ['a', 'b', 'c']);
    await until(
      'the subscription is closed',
      () => fleet.broker(1).partitions.byName('subscribed', 0)?.readerCount === 0,
    );
    await producer.produce({ topicPartition, records: [record('d')], acks: ACK_ALL });
    for await (const answer of consumer.subscribe({ partitions: [{ topicPartition }], cursor })) {
      const texts = answer.partitions.flatMap(({ batches }) => textsOf(batches));
      if (texts.length === 0) continue;
      assert.deepEqual(texts, ['d']);
      break;
    }
  });

  test('Subscribe ends at its age, and tells of partitions that it cannot read', async () => {
    const { consumer } = fleet.clients(1);
    const topicPartition = await topicOf('aged');
    const answers = [];
    const request = {
      partitions: [{ topicPartition }, { topicPartition: { topic: 'nowhere', partition: 0 } }],
      maxAge: { nanos: 50_000_000 },
    };
    for await (const answer of consumer.subscribe(request)) answers.push(answer);
    assert.equal(answers[0]?.partitions[0]?.errorCode, ErrorCode.TOPIC_NOT_FOUND);
    await assert.rejects(
      async () => {
        for await (const _ of consumer.subscribe({ partitions: [{ topicPartition }], cursor: new Uint8Array(20) }));
      },
      { code: 'INVALID_REQUEST' },
    );
  });

  test('FetchBatch reads whole topics and goes on from its cursor', async () => {
    const { producer, consumer } = fleet.clients(1);
    fleet.controller.createTopic('wide', [1], { partitions: 3 });
    await until('led', () =>
      [0, 1, 2].every((n) => fleet.broker(1).partitions.byName('wide', n)?.state.role === 'leader'),
    );
    const write = (partition: number, text: string) =>
      producer.produce({ topicPartition: { topic: 'wide', partition }, records: [record(text)], acks: ACK_ALL });
    for (const partition of [0, 1, 2]) await write(partition, `first-${partition}`);
    const first = await consumer.fetchBatch({ topics: ['wide'] });
    const texts = first.partitions.flatMap(({ batches }) => textsOf(batches)).sort();
    assert.deepEqual(texts, ['first-0', 'first-1', 'first-2']);
    await write(1, 'second');
    const second = await consumer.fetchBatch({ topics: ['wide'], cursor: first.cursor });
    assert.deepEqual(
      second.partitions.flatMap(({ batches }) => textsOf(batches)),
      ['second'],
    );
    const missing = await consumer.fetchBatch({ topics: ['nowhere'] });
    assert.equal(missing.partitions[0]?.errorCode, ErrorCode.TOPIC_NOT_FOUND);
  });

  test('metadata, state and health of the broker', async () => {
    const { metadata, partitions, health } = fleet.clients(1, 'internal');
    await topicOf('described');
    const { topics, brokers } = await metadata.getTopicMetadata({ topics: ['described'] });
    assert.equal(topics[0]?.topic?.partitions[0]?.leaderId, 1);
    assert.equal(brokers[0]?.endpoints[0]?.listener, 'internal');
    const state = await partitions.getPartitionState({ topicPartition: { topic: 'described', partition: 0 } });
    assert.equal(state.role, 'leader');
    assert.equal((await health.getHealth({})).state, 'ready');
    const { metrics } = await health.getMetrics({ metricNames: ['fleetmq_broker_leaders'] });
    assert.ok((metrics[0]?.value ?? 0) >= 1);
    const version = fleet.controller.image.version;
    const command = { topicId: topics[0]?.topic?.topicId ?? '', partition: { partition: 0 }, controllerEpoch: 1n };
    const applied = await partitions.assignPartition({ ...command, metadataVersion: BigInt(version) });
    assert.equal(applied.metadataVersion, BigInt(version));
    await assert.rejects(partitions.assignPartition({ ...command, metadataVersion: 1n }), { code: 'STALE_EPOCH' });
    await assert.rejects(
      partitions.assignPartition({ ...command, controllerEpoch: 0n, metadataVersion: BigInt(version) }),
      { code: 'STALE_EPOCH' },
    );
  });

  test('a caller that speaks Connect with JSON is served by the same handlers', async () => {
    await topicOf('json');
    const { host, port } = fleet.broker(1).listeners.client;
    const post = async (method: string, body: unknown) => {
      const response = await fetch(`http://${host}:${port}/${method}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'connect-protocol-version': '1' },
        body: JSON.stringify(body),
      });
      return { status: response.status, body: (await response.json()) as Record<string, unknown> };
    };
    const produced = await post('rustmq.client.ProducerService/Produce', {
      topicPartition: { topic: 'json' },
      records: [{ value: btoa('from a page') }],
      acks: 'ACK_ALL',
    });
    assert.equal(produced.status, 200, JSON.stringify(produced.body));
    const fetched = await post('rustmq.client.ConsumerService/Fetch', {
      partitions: [{ topicPartition: { topic: 'json' } }],
    });
    assert.ok(JSON.stringify(fetched.body).includes(btoa('from a page')));
  });

  test('a topic whose settings change keeps to the new ones', async () => {
    const { producer } = fleet.clients(1);
    const topicPartition = await topicOf('tuned');
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
    const topicPartition = await topicOf('fenced');
    fleet.controller.keptFenced.add(1);
    const send = () => producer.produce({ topicPartition, records: [record('x')], acks: ACK_ALL });
    await until('it is refused', async () => (await send()).errorCode === ErrorCode.NOT_AVAILABLE);
    const end = endOf('fenced');
    fleet.controller.keptFenced.delete(1);
    await until('it is taken', async () => (await send()).errorCode === ErrorCode.OK);
    assert.equal(endOf('fenced'), end + 1);
  });
});

test('P14, P9: a restart keeps what was acknowledged, says how it ended, and serves at once', async () => {
  await using fleet = await TestFleet.start([1]);
  fleet.controller.createTopic('kept', [1]);
  const topicPartition = { topic: 'kept', partition: 0 };
  const isLed = () => fleet.broker(1).partitions.byName('kept', 0)?.state.leader?.servable === true;
  for (const [round, handOver] of [true, false, true].entries()) {
    await until('it leads', isLed);
    const { producer } = fleet.clients(1);
    const answer = await producer.produce({ topicPartition, records: [record(`round-${round}`)], acks: ACK_ALL });
    assert.equal(answer.offset, BigInt(round));
    await fleet.stopBroker(1, { handOver });
    await fleet.startBroker(1);
  }
  await until('it leads', isLed);
  const { partitions } = await fleet.clients(1).consumer.fetch({ partitions: [{ topicPartition }] });
  assert.deepEqual(textsOf(partitions[0]?.batches ?? []), ['round-0', 'round-1', 'round-2']);
  assert.deepEqual(
    fleet.controller.registrations.map(({ clean }) => clean),
    [false, true, false, true],
  );
});

test('J7: a log that the metadata does not know is put aside, not deleted', async () => {
  await using fleet = await TestFleet.start([1]);
  await fleet.stopBroker(1);
  const stray = `${'ab'.repeat(16)}-3`;
  await mkdir(`${fleet.folderOf(1)}/partitions/${stray}`, { recursive: true });
  await fleet.startBroker(1);
  assert.deepEqual(await readdir(`${fleet.folderOf(1)}/partitions`), []);
  const [kept] = await readdir(`${fleet.folderOf(1)}/strays`);
  assert.ok(kept?.startsWith(`${stray}.`), kept);
});

test('a request that waits when the broker stops gets an answer', async () => {
  await using fleet = await TestFleet.start([1]);
  fleet.controller.createTopic('ending', [1]);
  await until('it leads', () => fleet.broker(1).partitions.byName('ending', 0)?.state.leader?.servable === true);
  const { consumer } = fleet.clients(1);
  const topicPartition = { topic: 'ending', partition: 0 };
  const polling = consumer.fetch({ maxWait: { seconds: 20n }, partitions: [{ topicPartition }] });
  await until('the reader is parked', () => fleet.broker(1).partitions.byName('ending', 0)?.readerCount === 1);
  const started = performance.now();
  await Promise.all([polling.catch(() => undefined), fleet.stopBroker(1)]);
  assert.ok(performance.now() - started < 4_000);
  await delay(0);
});
