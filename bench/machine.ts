/** What the figures were measured on. */
import { statfsSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';

export function describeMachine(): string {
  return `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB`;
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
