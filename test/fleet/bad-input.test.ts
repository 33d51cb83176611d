/**
 * Bad input at the doors of a running fleet: each case gets its own clear error, and the log it was aimed at ends where it
 * ended before. Every case runs through the gateway and straight at the broker that leads the partition.
 */
import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { createClient } from '@connectrpc/connect';
import { ConsumerService } from '@fleetmq/gen/client/consumer';
import { type ProducePartitionResponse, ProducerService } from '@fleetmq/gen/client/producer';
import { ErrorCode } from '@fleetmq/gen/common/errors';
import { AcknowledgmentLevel, CompressionType, type RecordBatchSchema } from '@fleetmq/gen/common/types';
import { AdminService } from '@fleetmq/gen/controller/admin';
import { isDomainError } from '@fleetmq/shared';
import { createLaneTransport, type LaneTransport } from '@fleetmq/shared/runtime';
import { startTestFleet, type TestFleet } from '@fleetmq/testkit';

type BatchInit = MessageInitShape<typeof RecordBatchSchema>;

const topic = 'bad-input';
const place = { topic, partition: 0 };
const record = { value: new TextEncoder().encode('x') };
const records = (count: number, bytes: number) =>
  Array.from({ length: count }, () => ({ value: new Uint8Array(bytes) }));

interface BatchCase {
  readonly name: string;
  readonly batch: BatchInit;
  readonly code: ErrorCode;
  readonly says: RegExp;
}

const badBatches: readonly BatchCase[] = [
  {
    name: 'a wrong checksum',
    batch: { records: [record], crc32: 12345 },
    code: ErrorCode.CORRUPT_BATCH,
    says: /crc|checksum/i,
  },
  {
    name: 'a record count that lies',
    batch: { records: [record], recordCount: 7 },
    code: ErrorCode.CORRUPT_BATCH,
    says: /7/,
  },
  {
    name: 'an offset delta that lies',
    batch: { records: [record, record], lastOffsetDelta: 5n },
    code: ErrorCode.CORRUPT_BATCH,
    says: /5/,
  },
  { name: 'no records', batch: {}, code: ErrorCode.INVALID_REQUEST, says: /empty/ },
  {
    name: 'an unknown codec',
    batch: { compressionType: 9, compressedRecords: new Uint8Array(10), recordCount: 1 },
    code: ErrorCode.UNSUPPORTED_CODEC,
    says: /9/,
  },
  {
    name: 'both forms of records',
    batch: {
      compressionType: CompressionType.COMPRESSION_LZ4,
      records: [record],
      compressedRecords: new Uint8Array(9),
      recordCount: 1,
    },
    code: ErrorCode.INVALID_REQUEST,
    says: /both|records/i,
  },
  {
    name: 'a batch over the limit',
    batch: { records: records(3, 500_000) },
    code: ErrorCode.RECORD_TOO_LARGE,
    says: /\d{7}/,
  },
  {
    name: 'fields that only a leader sets',
    batch: { records: [record], leaderEpoch: 3 },
    code: ErrorCode.INVALID_REQUEST,
    says: /leader/i,
  },
  {
    name: 'a control batch',
    batch: { records: [record], attributes: 2 },
    code: ErrorCode.INVALID_REQUEST,
    says: /control/i,
  },
  { name: 'an unknown format', batch: { records: [record], magic: 9 }, code: ErrorCode.UNSUPPORTED_VERSION, says: /9/ },
];

describe('bad input', () => {
  let fleet: TestFleet;
  const doors = new Map<string, { url: string; transport: LaneTransport }>();

  before(async () => {
    fleet = await startTestFleet({ controllers: 1, brokers: 1 });
    for (const [name, url] of [
      ['gateway', fleet.url],
      ['broker', `http://${fleet.brokers[0]}`],
    ] as const) {
      doors.set(name, { url, transport: createLaneTransport({ baseUrl: url }) });
    }
    const admin = createClient(AdminService, doorOf('gateway').transport);
    await admin.createTopic({ name: topic, partitionCount: 1, replicationFactor: 1 });
    const producer = createClient(ProducerService, doorOf('gateway').transport);
    const first = await producer.produce({
      topicPartition: place,
      records: [record],
      acks: AcknowledgmentLevel.ACK_ALL,
    });
    assert.equal(first.errorCode, ErrorCode.OK, first.errorMessage);
  });

  after(async () => {
    for (const door of doors.values()) await door.transport.close();
    await fleet[Symbol.asyncDispose]();
  });

  function doorOf(name: string): { url: string; transport: LaneTransport } {
    const door = doors.get(name);
    assert.ok(door);
    return door;
  }

  async function endOffset(): Promise<bigint> {
    const consumer = createClient(ConsumerService, doorOf('broker').transport);
    const position = { position: { case: 'boundary', value: 2 } } as const;
    const answer = await consumer.listOffsets({ partitions: [{ topicPartition: place, position }] });
    return answer.partitions[0]?.offset ?? -1n;
  }

  /** Runs a case and checks that the log ends where it ended before. */
  async function untouched(run: () => Promise<void>): Promise<void> {
    const end = await endOffset();
    await run();
    assert.equal(await endOffset(), end, 'the log is untouched');
  }

  async function assertStatus(call: Promise<unknown>, code: string, says: RegExp): Promise<void> {
    const error = await call.then(
      () => assert.fail('the call should have failed'),
      (failure: unknown) => failure,
    );
    assert.ok(isDomainError(error), `${error}`);
    assert.equal(error.code, code, error.message);
    assert.match(error.message, says);
  }

  for (const door of ['gateway', 'broker']) {
    describe(`through the ${door}`, () => {
      const produceBatch = async (
        batch: BatchInit,
        acks = AcknowledgmentLevel.ACK_ALL,
      ): Promise<ProducePartitionResponse> => {
        const producer = createClient(ProducerService, doorOf(door).transport);
        const answer = await producer.produceBatch({ partitions: [{ topicPartition: place, batch }], acks });
        assert.equal(answer.partitions.length, 1);
        return answer.partitions[0] as ProducePartitionResponse;
      };

      for (const { name, batch, code, says } of badBatches) {
        test(name, () =>
          untouched(async () => {
            const answer = await produceBatch(batch);
            assert.equal(answer.errorCode, code, answer.errorMessage);
            assert.match(answer.errorMessage, says);
            assert.equal(answer.retriable, false);
          }),
        );
      }

      test('an unknown topic, an unknown partition, a name that is none', () =>
        untouched(async () => {
          const producer = createClient(ProducerService, doorOf(door).transport);
          for (const [topicPartition, code] of [
            [{ topic: 'nobody-made-this', partition: 0 }, ErrorCode.TOPIC_NOT_FOUND],
            [{ topic, partition: 99 }, ErrorCode.PARTITION_NOT_FOUND],
            [{ topic: '../etc', partition: 0 }, ErrorCode.INVALID_REQUEST],
          ] as const) {
            const answer = await producer.produce({
              topicPartition,
              records: [record],
              acks: AcknowledgmentLevel.ACK_ALL,
            });
            assert.equal(answer.errorCode, code, answer.errorMessage);
          }
        }));

      test('acks out of range', () =>
        untouched(async () => {
          const producer = createClient(ProducerService, doorOf(door).transport);
          for (const [acks, customAckCount] of [
            [AcknowledgmentLevel.ACK_CUSTOM, 0],
            [AcknowledgmentLevel.ACK_CUSTOM, 2],
            [77 as AcknowledgmentLevel, 0],
          ] as const) {
            const answer = await producer.produce({ topicPartition: place, records: [record], acks, customAckCount });
            assert.equal(answer.errorCode, ErrorCode.INVALID_ACKS, answer.errorMessage);
          }
        }));

      test('an offset out of range', async () => {
        const consumer = createClient(ConsumerService, doorOf(door).transport);
        const answer = await consumer.fetch({ partitions: [{ topicPartition: place, fetchOffset: 1_000_000n }] });
        assert.equal(answer.partitions[0]?.errorCode, ErrorCode.OFFSET_OUT_OF_RANGE);
        assert.match(answer.partitions[0]?.errorMessage ?? '', /1000000/);
      });

      test('a reader that poses as a replica', async () => {
        const consumer = createClient(ConsumerService, doorOf(door).transport);
        const call = consumer.fetch({ replicaId: 2, partitions: [{ topicPartition: place, fetchOffset: 0n }] });
        await assertStatus(call, 'UNAUTHORIZED', /replica/);
      });

      test('a version from the future', async () => {
        const producer = createClient(ProducerService, doorOf(door).transport);
        const call = producer.produce({ version: { major: 9 }, topicPartition: place, records: [record] });
        await assertStatus(call, 'UNSUPPORTED_VERSION', /1\.0\.0/);
      });

      test('a request over the size limit', () =>
        untouched(async () => {
          const producer = createClient(ProducerService, doorOf(door).transport);
          const call = producer.produce({ topicPartition: place, records: records(5, 1_000_000) });
          await assertStatus(call, 'REQUEST_TOO_LARGE', /4194304|4 MiB|4\.0 MiB/);
        }));

      test('garbage instead of a frame, garbage instead of a message', () =>
        untouched(async () => {
          const method = ProducerService.method.produceBatch;
          const { transport } = doorOf(door);
          await assertStatus(
            transport.rawUnary(method, new Uint8Array(64).fill(0xff), { timeoutMs: 5000 }),
            'INVALID_REQUEST',
            /./,
          );
          const { hostname, port } = new URL(doorOf(door).url);
          for (const garbage of [
            '\x16\x03\x01garbage',
            'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnot a frame at all, really',
            '\0\0\0\0\0\0\0\0\0\0',
          ]) {
            await new Promise<void>((resolve, reject) => {
              const socket = net.connect(Number(port), hostname, () => socket.end(garbage));
              socket.on('error', () => resolve());
              socket.on('close', () => resolve());
              socket.on('data', () => undefined);
              socket.setTimeout(15_000, () => reject(new Error('the server neither answered nor hung up')));
            });
          }
        }));

      test('HTTP/1.1 on the gRPC path', async () => {
        const status = await new Promise<number | undefined>((resolve, reject) => {
          const request = http.request(
            `${doorOf(door).url}/rustmq.client.ProducerService/Produce`,
            { method: 'POST', headers: { 'content-type': 'application/grpc' } },
            (response) => {
              response.resume();
              response.on('end', () => resolve(response.statusCode));
            },
          );
          request.on('error', reject);
          request.end(Buffer.from([0, 0, 0, 0, 0]));
        });
        assert.ok(status === 415 || status === 505, `status ${status}`);
      });

      test('a form post from a foreign page', async () => {
        const response = await fetch(`${doorOf(door).url}/rustmq.client.ProducerService/Produce`, {
          method: 'POST',
          headers: { 'content-type': 'text/plain' },
          body: '{}',
        });
        assert.equal(response.status, 415);
      });
    });
  }

  test('what was written before is still there, and the log takes writes', async () => {
    const producer = createClient(ProducerService, doorOf('gateway').transport);
    const answer = await producer.produce({
      topicPartition: place,
      records: [record],
      acks: AcknowledgmentLevel.ACK_ALL,
    });
    assert.equal(answer.errorCode, ErrorCode.OK, answer.errorMessage);
    assert.equal(answer.offset, 1n);
  });
});
