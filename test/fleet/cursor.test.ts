/**
 * A reader may change its door between two calls: the cursor of a broker goes on at the gateway and the other way round, by
 * FetchBatch and by Subscribe, without a record lost or read twice.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Client, createClient } from '@connectrpc/connect';
import { ConsumerService } from '@fleetmq/gen/client/consumer';
import { ProducerService } from '@fleetmq/gen/client/producer';
import { ErrorCode } from '@fleetmq/gen/common/errors';
import { AcknowledgmentLevel, type RecordBatch } from '@fleetmq/gen/common/types';
import { AdminService } from '@fleetmq/gen/controller/admin';
import { errorName } from '@fleetmq/shared';
import { createLaneTransport, type LaneTransport } from '@fleetmq/shared/runtime';
import { startTestFleet, type TestFleet } from '@fleetmq/testkit';
import { waitFor } from './wait.ts';

type Door = 'gateway' | 'broker';
type Cursor = Uint8Array<ArrayBuffer>;

interface Answer {
  readonly partitions: readonly { readonly batches: readonly RecordBatch[] }[];
  readonly cursor: Uint8Array;
}

const partitionCount = 3;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

const textsOf = (answer: Answer): string[] =>
  answer.partitions.flatMap(({ batches }) =>
    batches.flatMap(({ records }) => records.map(({ value }) => decoder.decode(value))),
  );

const partitionsOf = (topic: string) =>
  Array.from({ length: partitionCount }, (_, partition) => ({ topicPartition: { topic, partition } }));

describe('the cursor of a reader', () => {
  let fleet: TestFleet;
  const transports = new Map<Door, LaneTransport>();

  before(async () => {
    fleet = await startTestFleet({ controllers: 1, brokers: 1 });
    transports.set('gateway', createLaneTransport({ baseUrl: fleet.url }));
    transports.set('broker', createLaneTransport({ baseUrl: `http://${fleet.brokers[0]}` }));
  });

  after(async () => {
    for (const transport of transports.values()) await transport.close();
    await fleet[Symbol.asyncDispose]();
  });

  function transportOf(door: Door): LaneTransport {
    const transport = transports.get(door);
    assert.ok(transport);
    return transport;
  }

  /** Waits until both doors answer so for every partition of the topic. */
  async function untilBothSay(code: ErrorCode, topic: string): Promise<void> {
    for (const door of transports.keys()) {
      const consumer = createClient(ConsumerService, transportOf(door));
      await waitFor(
        `${errorName(code)} for ${topic} at the ${door}`,
        async () => {
          const { partitions } = await consumer.listOffsets({ partitions: partitionsOf(topic) });
          return partitions.every(({ errorCode }) => errorCode === code);
        },
        10_000,
      );
    }
  }

  async function createTopic(name: string): Promise<void> {
    await createClient(AdminService, transportOf('gateway')).createTopic({
      name,
      partitionCount,
      replicationFactor: 1,
    });
    await untilBothSay(ErrorCode.OK, name);
  }

  /** One record into each partition, with these texts. */
  async function write(topic: string, word: string): Promise<string[]> {
    const producer = createClient(ProducerService, transportOf('gateway'));
    const texts = Array.from({ length: partitionCount }, (_, partition) => `${word}-${partition}`);
    for (const [partition, value] of texts.entries()) {
      const { errorCode, errorMessage } = await producer.produce({
        topicPartition: { topic, partition },
        records: [{ value: encoder.encode(value) }],
        acks: AcknowledgmentLevel.ACK_ALL,
      });
      assert.equal(errorCode, ErrorCode.OK, errorMessage);
    }
    return texts;
  }

  const ways: Readonly<
    Record<string, (consumer: Client<typeof ConsumerService>, topic: string, cursor: Cursor) => AsyncIterable<Answer>>
  > = {
    async *FetchBatch(consumer, topic, cursor) {
      let from = cursor;
      for (;;) {
        const answer = await consumer.fetchBatch({ topics: [topic], cursor: from, maxWait: { seconds: 1n } });
        from = new Uint8Array(answer.cursor);
        yield answer;
      }
    },
    Subscribe(consumer, topic, cursor) {
      return consumer.subscribe({ partitions: partitionsOf(topic), cursor });
    },
  };

  /** Reads on from the cursor until as many records have come as there are partitions. */
  async function read(door: Door, way: string, topic: string, cursor: Cursor): Promise<[string[], Cursor]> {
    const texts: string[] = [];
    const answers = ways[way]?.(createClient(ConsumerService, transportOf(door)), topic, cursor);
    assert.ok(answers);
    for await (const answer of answers) {
      texts.push(...textsOf(answer));
      if (texts.length >= partitionCount) return [texts.sort(), new Uint8Array(answer.cursor)];
    }
    return assert.fail(`${way} ended after ${texts.length} records`);
  }

  for (const [first, second] of [
    ['broker', 'gateway'],
    ['gateway', 'broker'],
  ] as const) {
    for (const way of Object.keys(ways)) {
      for (const next of Object.keys(ways)) {
        test(`of ${way} at the ${first} goes on with ${next} at the ${second}`, async () => {
          const topic = `${first}-${way}-${next}`;
          await createTopic(topic);
          const early = await write(topic, 'early');
          const [begun, cursor] = await read(first, way, topic, new Uint8Array());
          assert.deepEqual(begun, early);
          const late = await write(topic, 'late');
          const [resumed] = await read(second, next, topic, cursor);
          assert.deepEqual(resumed, late);
        });
      }
    }
  }

  test('means nothing for a topic that was made anew, at either door', async () => {
    const topic = 'anew';
    await createTopic(topic);
    await write(topic, 'old');
    const [, cursor] = await read('broker', 'FetchBatch', topic, new Uint8Array());
    await createClient(AdminService, transportOf('gateway')).deleteTopic({ name: topic });
    await untilBothSay(ErrorCode.TOPIC_NOT_FOUND, topic);
    await createTopic(topic);
    const fresh = await write(topic, 'fresh');
    for (const door of ['broker', 'gateway'] as const) {
      const [texts] = await read(door, 'FetchBatch', topic, cursor);
      assert.deepEqual(texts, fresh, door);
    }
  });
});
