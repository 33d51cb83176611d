/**
 * Publish-to-receive latency at a fixed rate: open loop, and each latency counts from the moment at which the record was due,
 * not from when it was sent, so that a stall is charged to every record that it delays (coordinated omission).
 */
import type { Client } from '@fleetmq/client/node';
import { build, type Histogram } from 'hdr-histogram-js';

export interface LatencyOptions {
  readonly perSecond: number;
  readonly seconds: number;
  readonly size: number;
}

/** Milliseconds. */
export interface LatencyResult {
  readonly perSecond: number;
  readonly records: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

export async function measureLatency(mq: Client, topic: string, options: LatencyOptions): Promise<LatencyResult> {
  const count = Math.round(options.perSecond * options.seconds);
  const warmUp = Math.min(count, options.perSecond);
  const histogram = build({ lowestDiscernibleValue: 1, highestTrackableValue: 60_000_000 });
  const consumer = mq.consumer({ topic, from: 'earliest', until: count + warmUp });
  await consumer.start();
  const reading = receive(consumer, histogram, warmUp);
  await send(mq, topic, count + warmUp, options);
  await reading;
  const ms = (percentile: number): number => histogram.getValueAtPercentile(percentile) / 1000;
  return {
    perSecond: options.perSecond,
    records: count,
    p50: ms(50),
    p99: ms(99),
    p999: ms(99.9),
    max: histogram.maxValue / 1000,
  };
}

async function send(mq: Client, topic: string, count: number, { perSecond, size }: LatencyOptions): Promise<void> {
  await using producer = mq.producer({ lingerMs: 0 });
  const start = performance.now();
  for (let next = 0; next < count; ) {
    const now = performance.now();
    for (; next < count && start + (next * 1000) / perSecond <= now; next++) {
      const value = new Uint8Array(size);
      new DataView(value.buffer).setFloat64(0, start + (next * 1000) / perSecond);
      producer.trySend(topic, value);
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await producer.flush();
}

async function receive(consumer: ReturnType<Client['consumer']>, histogram: Histogram, warmUp: number): Promise<void> {
  let seen = 0;
  for await (const record of consumer) {
    const value = record.valueBytes;
    if (value === undefined || ++seen <= warmUp) continue;
    const dueMs = new DataView(value.buffer, value.byteOffset).getFloat64(0);
    histogram.recordValue(Math.max(1, Math.round((performance.now() - dueMs) * 1000)));
  }
}
