/**
 * Publish-to-receive latency at a fixed rate, counted from when a record was due (open-loop.ts).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Workload } from '../workload.ts';
import type { Driver, Publisher } from './driver.ts';
import { OpenLoop } from './open-loop.ts';
import { Ticker } from './ticker.ts';

export interface LatencyJob {
  readonly topic: string;
  readonly workload: Workload;
  readonly perSecond: number;
  readonly seconds: number;
}

const warmUpSeconds = 3;
/** Until the thread that ticks has begun. */
const startDelayMs = 200;
/** What has not arrived so long after the last record was sent will not. */
const patienceMs = 20_000;

/** Microseconds of each record after the warm-up, in the order of arrival. */
export async function measureLatency(driver: Driver, job: LatencyJob): Promise<number[]> {
  const warmUp = Math.round(job.perSecond * warmUpSeconds);
  const count = warmUp + Math.round(job.perSecond * job.seconds);
  const latencies: number[] = [];
  let seen = 0;
  await using reading = await driver.subscribe(job.topic, job.workload, (value) => {
    if (++seen <= warmUp) return;
    const dueMs = new DataView(value.buffer, value.byteOffset).getFloat64(0);
    latencies.push(Math.max(1, Math.round((performance.now() - dueMs) * 1000)));
  });
  const publisher = await driver.publish(job.topic, job.workload);
  await send(publisher, count, job);
  await publisher.close();
  for (const sentMs = performance.now(); seen < count; await sleep(5)) {
    if (performance.now() - sentMs > patienceMs) throw new Error(`${seen} of ${count} records have arrived`);
  }
  void reading;
  return latencies;
}

async function send(publisher: Publisher, count: number, { perSecond, workload }: LatencyJob): Promise<void> {
  const startMs = performance.now() + startDelayMs;
  const loop = new OpenLoop({ startMs, perSecond, count });
  await using ticker = new Ticker({ startMs, perSecond });
  while (!loop.isDone) {
    await ticker.next();
    for (const dueMs of loop.take(performance.now())) {
      const value = Buffer.alloc(workload.size);
      value.writeDoubleBE(dueMs);
      publisher.send(value);
    }
  }
}
