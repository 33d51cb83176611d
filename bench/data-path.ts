/**
 * `npm run bench`: what one Node client gets out of one broker, on this machine, now. One partition, replication 1, every
 * acknowledgment after fdatasync; straight to the broker. Each figure stands beside the same work done by a bare HTTP/2 +
 * fdatasync loop in the same run, because only ratios travel between machines.
 *
 *   npm run bench -- [--runs 3] [--scale 1] [--out bench/results]
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Client, connect } from '@fleetmq/client/node';
import { startTestFleet } from '@fleetmq/testkit';
import { runBareLoop } from './bare-loop.ts';
import { measureLatency } from './latency.ts';
import { type BenchReport, median, printReport, type ThroughputRow } from './report.ts';
import { measureConsume, measureProduce } from './throughput.ts';

const { values: flags } = parseArgs({
  options: {
    runs: { type: 'string', default: '3' },
    scale: { type: 'string', default: '1' },
    out: { type: 'string', default: 'bench/results' },
  },
});
const runs = Number(flags.runs);
const scale = Number(flags.scale);

/** Sizes in bytes, and how many records make a run of some seconds. */
const workloads = [
  { size: 1024, count: Math.round(400_000 * scale) },
  { size: 100, count: Math.round(2_000_000 * scale) },
] as const;

async function measureThroughput(
  folder: string,
  mq: Client,
  admin: Client,
  size: number,
  count: number,
): Promise<ThroughputRow> {
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

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'fleetmq-bench-'));
  try {
    await using fleet = await startTestFleet({ controllers: 1, brokers: 1, dataFolder: join(folder, 'fleet') });
    await using mq = await connect({ brokers: fleet.brokers });
    await using admin = await connect({ url: fleet.url });
    const throughput: ThroughputRow[] = [];
    for (const { size, count } of workloads) throughput.push(await measureThroughput(folder, mq, admin, size, count));
    process.stderr.write('latency at 500 records/s\n');
    await admin.admin.createTopic('bench-latency', { partitions: 1, replicationFactor: 1 });
    const latency = await measureLatency(mq, 'bench-latency', {
      perSecond: 500,
      seconds: Math.max(2, 15 * scale),
      size: 100,
    });
    const report: BenchReport = {
      at: new Date().toISOString(),
      machine: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
      node: process.version,
      runs,
      throughput,
      latency,
    };
    printReport(report);
    await mkdir(flags.out, { recursive: true });
    await writeFile(join(flags.out, 'latest.json'), `${JSON.stringify(summarise(report), undefined, 2)}\n`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function summarise(report: BenchReport): unknown {
  const throughput = report.throughput.map((row) => ({
    ...row,
    produceToBare: median(row.produce) / median(row.bareProduce),
    consumeToBare: median(row.consume) / median(row.bareConsume),
  }));
  return { ...report, throughput };
}

await main();
