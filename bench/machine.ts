/** What the figures were measured on, and how busy it was with other things meanwhile. */
import { readFileSync, statfsSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { ticksPerSecond } from './processes.ts';

export function describeMachine(): string {
  return `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB`;
}

export function describeKernel(): string {
  return `Linux ${release()}`;
}

/** Runnable processes, on average of the last minute: how quiet it was. */
export function loadNow(): number {
  return loadavg()[0] ?? 0;
}

/** A file system in memory makes every fsync free, and every figure that rests on one a lie. */
export function refuseMemoryFolder(folder: string): void {
  const memoryFileSystems = [0x0102_1994, 0x8584_58f6];
  if (memoryFileSystems.includes(statfsSync(folder).type)) {
    throw new Error(`${folder} lies in memory: name a folder on a disk with --folder`);
  }
}

/** Processor time of the whole machine since its start, in seconds. */
export interface MachineTime {
  readonly total: number;
  /** Of processes. */
  readonly busy: number;
  /** That the hypervisor gave to other machines. */
  readonly steal: number;
}

/** NaN where /proc is not. */
export function machineTime(): MachineTime {
  try {
    const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n');
    const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0] = line
      .split(/\s+/)
      .slice(1)
      .map((ticks) => Number(ticks) / ticksPerSecond);
    const busy = user + nice + system;
    return { total: busy + idle + iowait + irq + softirq + steal, busy, steal };
  } catch {
    return { total: Number.NaN, busy: Number.NaN, steal: Number.NaN };
  }
}

/** Shares of the machine's processors, 0 to 1. */
export interface Disturbance {
  /** Used by processes that have no part in the measurement. */
  readonly others: number;
  readonly steal: number;
}

/** `ownSeconds`: processor time of all that takes part, in the same span. */
export function disturbance(before: MachineTime, after: MachineTime, ownSeconds: number): Disturbance {
  const total = after.total - before.total;
  const others = Math.max(0, after.busy - before.busy - ownSeconds) / total;
  return { others, steal: (after.steal - before.steal) / total };
}

/** Above this a figure is marked: what else ran has cost more than runs differ by anyway. */
const disturbedShare = 0.1;

export function isDisturbed({ others, steal }: Disturbance): boolean {
  return others + steal > disturbedShare;
}
