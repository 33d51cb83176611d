/** Many of everything that costs nothing while nobody uses it: partitions of one broker, subscriptions through one gateway. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http2 from 'node:http2';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { create, toBinary } from '@bufbuild/protobuf';
import { connect } from '@fleetmq/client/node';
import { OffsetBoundary, SubscribeRequestSchema } from '@fleetmq/gen/client/consumer';
import { startTestFleet, type TestFleet } from '@fleetmq/testkit';

/** The bounds of docs/operations.md. */
const bounds = { brokerMb: 500, gatewayMb: 800 };
const topics = 10;
const partitionsPerTopic = 1_000;
/** The others stay empty: a record in each takes as many syncs. */
const topicsWritten = 2;
const sessions = 100;
const subscriptionsPerSession = 100;

function residentMb(pid: number): number {
  const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1] ?? 0) / 1024;
}

/** A gRPC call of Subscribe, from the end of one partition on. */
function subscribe(session: http2.ClientHttp2Session, topic: string, partition: number): http2.ClientHttp2Stream {
  const start = { position: { case: 'boundary' as const, value: OffsetBoundary.LATEST } };
  const message = toBinary(
    SubscribeRequestSchema,
    create(SubscribeRequestSchema, { partitions: [{ topicPartition: { topic, partition }, start }] }),
  );
  const frame = Buffer.alloc(5 + message.length);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, 5);
  const stream = session.request({
    ':method': 'POST',
    ':path': '/rustmq.client.ConsumerService/Subscribe',
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.on('error', () => stream.close());
  stream.end(frame);
  return stream;
}

describe('scale', { skip: process.platform === 'linux' ? false : 'reads /proc' }, () => {
  let fleet: TestFleet;
  before(async () => {
    fleet = await startTestFleet({ controllers: 1, brokers: 1 });
    for (let topic = 0; topic < topics; topic++) {
      await fleet.client.admin.createTopic(`t${topic}`, { partitions: partitionsPerTopic, replicationFactor: 1 });
    }
  });
  after(() => fleet[Symbol.asyncDispose]());

  test('10,000 partitions, of which 2,000 have a record, stay within the bound', async (t) => {
    await using mq = await connect({ brokers: fleet.brokers });
    await using producer = mq.producer();
    for (let topic = 0; topic < topicsWritten; topic++) {
      const records = Array.from({ length: partitionsPerTopic }, (_, partition) => ({
        topic: `t${topic}`,
        value: new Uint8Array(100),
        partition,
      }));
      const receipts = await producer.send(records);
      assert.ok(receipts.every(({ offset }) => Number(offset) === 0));
    }
    const usedMb = residentMb(fleet.processes.member('broker').pid);
    t.diagnostic(`broker: ${usedMb.toFixed(0)} MB`);
    assert.ok(usedMb < bounds.brokerMb, `${usedMb.toFixed(0)} MB`);
  });

  test('10,000 idle subscriptions through the gateway stay within the bound, and hear of a new record', async (t) => {
    const { origin } = new URL(fleet.url);
    const open: http2.ClientHttp2Session[] = [];
    let answered = 0;
    let received = 0;
    for (let i = 0; i < sessions; i++) {
      const session = http2.connect(origin);
      session.on('error', () => session.destroy());
      open.push(session);
      for (let k = 0; k < subscriptionsPerSession; k++) {
        const stream = subscribe(session, `t${i % topics}`, Math.floor(i / topics) * subscriptionsPerSession + k);
        stream.once('response', () => answered++);
        stream.on('data', (chunk: Buffer) => {
          if (chunk.includes('news')) received++;
        });
      }
      await delay(0);
    }
    try {
      await untilTrue(
        () => answered === sessions * subscriptionsPerSession,
        () => `${answered} answered`,
      );
      const usedMb = residentMb(fleet.processes.member('gateway').pid);
      t.diagnostic(`gateway: ${usedMb.toFixed(0)} MB`);
      assert.ok(usedMb < bounds.gatewayMb, `${usedMb.toFixed(0)} MB`);
      await using producer = fleet.client.producer();
      await producer.send([{ topic: 't1', value: 'news', partition: 42 }]);
      await untilTrue(
        () => received === 1,
        () => `${received} received`,
      );
    } finally {
      for (const session of open) session.destroy();
    }
  });
});

async function untilTrue(condition: () => boolean, what: () => string): Promise<void> {
  const endsAtMs = performance.now() + 60_000;
  while (!condition()) {
    if (performance.now() > endsAtMs) throw new Error(`gave up: ${what()}`);
    await delay(20);
  }
}
