/** The yardstick: what the disk gives to a loop that does nothing but append 1 KiB and wait for fdatasync. */
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { quantile } from '../statistics.ts';

/** Latencies in milliseconds. */
export interface BareSyncResult {
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
}

export function measureBareSync(folder: string, seconds: number): BareSyncResult {
  const file = openSync(join(folder, 'bare-sync'), 'w');
  try {
    const piece = Buffer.alloc(1024, 97);
    const times: number[] = [];
    const startMs = performance.now();
    let lastMs = startMs;
    while (lastMs - startMs < seconds * 1000) {
      writeSync(file, piece);
      fdatasyncSync(file);
      const nowMs = performance.now();
      times.push(nowMs - lastMs);
      lastMs = nowMs;
    }
    const perSecond = (times.length * 1000) / (lastMs - startMs);
    return { perSecond, p50: quantile(times, 0.5), p99: quantile(times, 0.99) };
  } finally {
    closeSync(file);
  }
}
