/** The table of the data path's figures. */
import type { LatencyResult } from './latency.ts';
import { median } from './statistics.ts';

/** Records per second of each run. */
export interface ThroughputRow {
  readonly size: number;
  readonly count: number;
  readonly produce: readonly number[];
  readonly consume: readonly number[];
  readonly bareProduce: readonly number[];
  readonly bareConsume: readonly number[];
}

export interface BenchReport {
  readonly at: string;
  readonly machine: string;
  readonly node: string;
  readonly runs: number;
  readonly throughput: readonly ThroughputRow[];
  readonly latency: LatencyResult;
}

const rate = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

function line(work: string, size: number, ours: readonly number[], bare: readonly number[]): string {
  const spread = ((Math.max(...ours) - Math.min(...ours)) / median(ours)) * 100;
  const cells = [
    work.padEnd(9),
    `${size} B`.padStart(7),
    rate.format(median(ours)).padStart(12),
    ((median(ours) * size) / 1e6).toFixed(0).padStart(7),
    `${spread.toFixed(0)} %`.padStart(8),
    rate.format(median(bare)).padStart(12),
    (median(ours) / median(bare)).toFixed(2).padStart(7),
  ];
  return cells.join('');
}

export function printReport(report: BenchReport): void {
  const { p50, p99, p999, max, perSecond } = report.latency;
  const lines = [
    `${report.machine}, Node ${report.node}, medians of ${report.runs} runs; one partition, replication 1, fdatasync before every ack`,
    '',
    'work        size   records/s   MB/s  spread   bare loop  ratio',
    ...report.throughput.flatMap((row) => [
      line('produce', row.size, row.produce, row.bareProduce),
      line('consume', row.size, row.consume, row.bareConsume),
    ]),
    '',
    `publish to receive at ${perSecond}/s: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms, p99.9 ${p999.toFixed(2)} ms, max ${max.toFixed(1)} ms`,
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}
