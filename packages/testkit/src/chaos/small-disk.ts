/** A small disk of its own (tmpfs) for a data folder, so that it can be filled. */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { run } from './command.ts';
import type { Slot } from './slot.ts';

const ballast = 'ballast';

/** It goes with the slot. `target` is made. */
export async function mountSmallDisk(slot: Slot, target: string, sizeMiB: number): Promise<void> {
  fs.mkdirSync(target, { recursive: true });
  await run('mount', ['-t', 'tmpfs', '-o', `size=${sizeMiB}m`, `${slot.prefix}-disk`, target]);
}

/** Until so many bytes are left. */
export function fillDisk(target: string, leaveBytes: number): void {
  const file = fs.openSync(path.join(target, ballast), 'w');
  const chunk = Buffer.alloc(64 * 1024, 1);
  try {
    for (;;) {
      const { bavail, bsize } = fs.statfsSync(target);
      const freeBytes = bavail * bsize - leaveBytes;
      if (freeBytes <= 0) return;
      fs.writeSync(file, chunk, 0, Math.min(chunk.length, freeBytes));
    }
  } catch (error) {
    // Others write here, too: somebody has taken the rest.
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  } finally {
    fs.closeSync(file);
  }
}

export function freeDisk(target: string): void {
  fs.rmSync(path.join(target, ballast), { force: true });
}
