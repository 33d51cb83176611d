/** What a process costs, as the kernel has counted it. Linux; elsewhere there are no such figures, and they are NaN. */
import { readFileSync, writeFileSync } from 'node:fs';

interface Process {
  readonly pid: number;
}

export const ticksPerSecond = 100;

/** Seconds of processor time since the process started, user and system, all threads; of programs that it has run and that have ended, too. */
export function cpuSeconds({ pid }: Process): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
    return ticks / ticksPerSecond;
  } catch {
    return Number.NaN;
  }
}

/** The most memory that the process had at a time (VmHWM), since its start or `forgetPeak`. */
export function peakMb({ pid }: Process): number {
  try {
    return (Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024) / 1e6;
  } catch {
    return Number.NaN;
  }
}

/** Begins to count the peak anew, from what is in use now. Does nothing where that is not allowed. */
export function forgetPeak({ pid }: Process): void {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, '5');
  } catch {
    // The peak is then that of the whole life of the process.
  }
}

const children = new Set<Process>();

/** It is ended with this process, however that ends; until `forgetChild`. */
export function rememberChild(child: Process): void {
  children.add(child);
}

export function forgetChild(child: Process): void {
  children.delete(child);
}

export function endChildren(): void {
  for (const { pid } of children) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  }
}
