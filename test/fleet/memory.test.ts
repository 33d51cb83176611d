/**
 * Memory: a broker under an endless producer and consumers that never read stays under its stated bound (docs/operations.md).
 * FLEETMQ_MEMORY_SECONDS sets how long (20 by default).
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http2 from 'node:http2';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { create, toBinary } from '@bufbuild/protobuf';
import { type Client, connect } from '@fleetmq/client/node';
import { SubscribeRequestSchema } from '@fleetmq/gen/client/consumer';
import { startTestFleet, type TestFleet } from '@fleetmq/testkit';

const boundMb = 400;
const seconds = Number(process.env['FLEETMQ_MEMORY_SECONDS'] ?? 20);
const topic = 'endless';

function residentMb(pid: number): number {
  const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1] ?? 0) / 1024;
}

/** Opens a Subscribe and never reads a byte of what comes: windows are full after the first megabytes. */
function subscribeAndNeverRead(address: string): http2.ClientHttp2Session {
  const session = http2.connect(`http://${address}`);
  session.on('error', () => session.destroy());
  const message = toBinary(
    SubscribeRequestSchema,
    create(SubscribeRequestSchema, { partitions: [{ topicPartition: { topic, partition: 0 } }] }),
  );
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  for (let i = 0; i < 10; i++) {
    const stream = session.request({
      ':method': 'POST',
      ':path': '/rustmq.client.ConsumerService/Subscribe',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', () => stream.close());
    stream.end(Buffer.concat([head, message]));
  }
  return session;
}

describe('memory of a broker', { skip: process.platform === 'linux' ? false : 'reads /proc' }, () => {
  let fleet: TestFleet;
  let mq: Client;

  before(async () => {
    fleet = await startTestFleet({ controllers: 1, brokers: 1 });
    mq = await connect({ brokers: fleet.brokers });
    await using admin = await connect({ url: fleet.url });
    await admin.admin.createTopic(topic, {
      partitions: 1,
      replicationFactor: 1,
      config: { 'retention.bytes': '200000000', 'segment.bytes': '50000000' },
    });
  });

  after(async () => {
    await mq[Symbol.asyncDispose]();
    await fleet[Symbol.asyncDispose]();
  });

  test(`stays under ${boundMb} MB for ${seconds} s of an endless producer and 40 readers that never read`, async (t) => {
    const { pid } = fleet.processes.member('broker');
    const readers = Array.from({ length: 4 }, () => subscribeAndNeverRead(fleet.brokers[0] ?? ''));
    let peakMb = 0;
    let sent = 0;
    const value = new Uint8Array(1024).fill(97);
    const end = performance.now() + seconds * 1000;
    {
      await using producer = mq.producer({ acks: 'leader' });
      while (performance.now() < end) {
        for (let i = 0; i < 1000 && producer.trySend(topic, value); i++) sent++;
        await delay(0);
        peakMb = Math.max(peakMb, residentMb(pid));
      }
    }
    for (const session of readers) session.destroy();
    t.diagnostic(`${sent} records of 1 KiB offered, peak RSS ${peakMb.toFixed(0)} MB`);
    assert.ok(peakMb < boundMb, `peak RSS ${peakMb.toFixed(0)} MB`);
  });
});
