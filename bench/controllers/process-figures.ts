/** What a process costs, seen from outside: its metrics page, and the processor time that the system has counted. */
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServiceProcess } from '@fleetmq/shared/runtime/fleet';

/** `name` or `name{label="value"}` -> value. */
export type Metrics = ReadonlyMap<string, number>;

const ticksPerSecond = 100;
const stallMetric = 'fleetmq_event_loop_lag_seconds{quantile="1"}';
/** Each reading of a page makes the process forget its stalls: what was read on the way is kept here. */
const stallsMs = new WeakMap<ServiceProcess, number>();

export async function readMetrics(process: ServiceProcess): Promise<Metrics> {
  const response = await fetch(`http://127.0.0.1:${process.listeners['ops']?.port}/metrics`);
  const metrics = new Map<string, number>();
  for (const line of (await response.text()).split('\n')) {
    const end = line.lastIndexOf(' ');
    if (end > 0 && !line.startsWith('#')) metrics.set(line.slice(0, end), Number(line.slice(end + 1)));
  }
  stallsMs.set(process, Math.max(stallsMs.get(process) ?? 0, (metrics.get(stallMetric) ?? 0) * 1000));
  return metrics;
}

export async function readMetric(process: ServiceProcess, name: string): Promise<number> {
  const value = (await readMetrics(process)).get(name);
  if (value === undefined) throw new Error(`${process.name} has no metric ${name}`);
  return value;
}

/** Seconds of processor time since the process started, user and system. */
export function cpuSeconds({ pid }: ServiceProcess): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/** Seconds of processor time that anybody has used since the machine started. */
export function machineSeconds(): number {
  let ms = 0;
  for (const { times } of cpus()) ms += times.user + times.nice + times.sys + times.irq;
  return ms / 1000;
}

/** The longest time that the event loop stood still, in milliseconds, since this was asked for last. */
export async function longestStallMs(process: ServiceProcess): Promise<number> {
  await readMetrics(process);
  const longest = stallsMs.get(process) ?? 0;
  stallsMs.delete(process);
  return longest;
}

export interface Memory {
  readonly rssMb: number;
  readonly heapUsedMb: number;
}

/** The least of some seconds: what is in use, with as little garbage as the collector happened to leave. */
export async function memoryOf(process: ServiceProcess, seconds: number): Promise<Memory> {
  let rssMb = Number.POSITIVE_INFINITY;
  let heapUsedMb = Number.POSITIVE_INFINITY;
  for (let left = seconds * 4; left > 0; left--) {
    const metrics = await readMetrics(process);
    rssMb = Math.min(rssMb, (metrics.get('fleetmq_memory_bytes{kind="rss"}') ?? Number.NaN) / 1e6);
    heapUsedMb = Math.min(heapUsedMb, (metrics.get('fleetmq_memory_bytes{kind="heapUsed"}') ?? Number.NaN) / 1e6);
    await sleep(250);
  }
  return { rssMb, heapUsedMb };
}
