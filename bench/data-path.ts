/**
 * The suite `data`: what one Node client gets out of one broker, on this machine, now. One partition, replication 1, every
 * acknowledgment after fdatasync; straight to the broker. Each figure stands beside the same work done by a bare HTTP/2 +
 * fdatasync loop in the same run, because only ratios travel between machines.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Client, connect } from '@fleetmq/client/node';
import { startTestFleet } from '@fleetmq/testkit';
import { runBareLoop } from './bare-loop.ts';
import { measureLatency } from './latency.ts';
import { describeMachine } from './machine.ts';
import { type BenchReport, printReport, type ThroughputRow } from './report.ts';
import { median } from './statistics.ts';
import type { SuiteOptions } from './suite.ts';
import { measureConsume, measureProduce } from './throughput.ts';

/** Sizes in bytes, and how many records make a run of some seconds. */
const workloads = [
  { size: 1024, count: 400_000 },
  { size: 100, count: 2_000_000 },
] as const;

interface Workload {
  readonly folder: string;
  readonly runs: number;
  readonly size: number;
  readonly count: number;
}

async function measureThroughput(mq: Client, admin: Client, workload: Workload): Promise<ThroughputRow> {
  const { folder, runs, size, count } = workload;
  const bareProduce: number[] = [];
  const bareConsume: number[] = [];
  const produce: number[] = [];
  const consume: number[] = [];
  for (let run = 0; run < runs; run++) {
    process.stderr.write(`${size} B, run ${run + 1} of ${runs}\n`);
    const bare = await runBareLoop(folder, size, count);
    bareProduce.push(bare.producePerSecond);
    bareConsume.push(bare.consumePerSecond);
    const topic = `bench-${size}-${run}`;
    await admin.admin.createTopic(topic, { partitions: 1, replicationFactor: 1 });
    produce.push(count / (await measureProduce(mq, topic, size, count)));
    consume.push(count / (await measureConsume(mq, topic, count)));
    await admin.admin.deleteTopic(topic);
  }
  return { size, count, produce, consume, bareProduce, bareConsume };
}

export async function benchDataPath({ folder, runs, scale, out }: SuiteOptions): Promise<void> {
  await using fleet = await startTestFleet({ controllers: 1, brokers: 1, dataFolder: join(folder, 'fleet') });
  await using mq = await connect({ brokers: fleet.brokers });
  await using admin = await connect({ url: fleet.url });
  const throughput: ThroughputRow[] = [];
  for (const { size, count } of workloads) {
    throughput.push(await measureThroughput(mq, admin, { folder, runs, size, count: Math.round(count * scale) }));
  }
  process.stderr.write('latency at 500 records/s\n');
  await admin.admin.createTopic('bench-latency', { partitions: 1, replicationFactor: 1 });
  const latency = await measureLatency(mq, 'bench-latency', {
    perSecond: 500,
    seconds: Math.max(2, 15 * scale),
    size: 100,
  });
  const report: BenchReport = {
    at: new Date().toISOString(),
    machine: describeMachine(),
    node: process.version,
    runs,
    throughput,
    latency,
  };
  printReport(report);
  await mkdir(out, { recursive: true });
  await writeFile(join(out, 'latest.json'), `${JSON.stringify(summarise(report), undefined, 2)}\n`);
}

function summarise(report: BenchReport): unknown {
  const throughput = report.throughput.map((row) => ({
    ...row,
    produceToBare: median(row.produce) / median(row.bareProduce),
    consumeToBare: median(row.consume) / median(row.bareConsume),
  }));
  return { ...report, throughput };
}
