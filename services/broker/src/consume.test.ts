import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { FetchRequestSchema, FetchResponseSchema } from '@fleetmq/gen/client/consumer';
import { ProduceRequestSchema, ProduceResponseSchema, ProducerService } from '@fleetmq/gen/client/producer';
import { ErrorCode } from '@fleetmq/gen/common/errors';
import { AcknowledgmentLevel, CompressionType } from '@fleetmq/gen/common/types';
import { batchOfFrame, openBatch, viewRecords } from '@fleetmq/record';
import { lz4 } from '@fleetmq/record/codecs/node';
import { nodeChecksum } from '@fleetmq/shared/runtime';
import { TestFleet, until } from './testing/fleet.fuzz.ts';
import { builtBatch, record, textsOf, topicOf } from './testing/one-broker.fuzz.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const { ACK_ALL, ACK_LEADER } = AcknowledgmentLevel;

describe('consuming from one broker', () => {
  let fleet: TestFleet;
  before(async () => {
    fleet = await TestFleet.start([1]);
  });
  after(() => fleet[Symbol.asyncDispose]());

  test('loose records keep keys, headers, tombstones and times, and are found by time', async () => {
    const { producer, consumer } = fleet.clients(1);
    const topicPartition = await topicOf(fleet, 'times');
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

  test('what lies outside of the log is OFFSET_OUT_OF_RANGE', async () => {
    const { producer, consumer } = fleet.clients(1);
    const topicPartition = await topicOf(fleet, 'range');
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
    const topicPartition = await topicOf(fleet, 'polled');
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
    const topicPartition = await topicOf(fleet, 'bounded');
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
    const topicPartition = await topicOf(fleet, 'compressed');
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
    const topicPartition = await topicOf(fleet, 'inflated');
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
    const topicPartition = await topicOf(fleet, 'raw');
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

  test('Subscribe sends what is there, what comes, heartbeats, and a cursor to resume from', async () => {
    const { producer, consumer } = fleet.clients(1);
    const topicPartition = await topicOf(fleet, 'subscribed');
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
    const topicPartition = await topicOf(fleet, 'aged');
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
});
