/** A disk that can lose its power: an ext4 file system of its own in a file, mounted through a loop device. It goes with its slot. */
import * as fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { run } from '../chaos/command.ts';

const busyMaxMs = 10_000;

export class ImageDisk {
  /** Where it is mounted. */
  readonly folder: string;
  readonly #image: string;

  private constructor(folder: string) {
    this.folder = folder;
    this.#image = `${folder}.ext4`;
  }

  /** `folder` is made; the image lies beside it. */
  static async create(folder: string, sizeMiB: number): Promise<ImageDisk> {
    const disk = new ImageDisk(folder);
    await makeImage(disk.#image, sizeMiB);
    fs.mkdirSync(folder);
    await mountImage(disk.#image, folder);
    return disk;
  }

  /** After its power was cut and whoever used it is gone: mounted anew, from what had reached the image and by its journal. */
  async recover(): Promise<void> {
    await insist(() => run('umount', [this.folder]));
    await insist(() => mountImage(this.#image, this.folder));
  }
}

/** Sparse: it takes the room that is written. */
export async function makeImage(image: string, sizeMiB: number): Promise<void> {
  await run('truncate', ['-s', `${sizeMiB}M`, image]);
  // Nothing is left for a thread of the kernel to do later.
  await run('mkfs.ext4', ['-q', '-F', '-m', '0', '-E', 'lazy_itable_init=0,lazy_journal_init=0', image]);
}

export async function mountImage(image: string, folder: string): Promise<void> {
  await run('mount', ['-o', 'loop', image, folder]);
}

/** The last user of a file system, or of a loop device, may be gone a moment later than its process. */
async function insist(action: () => Promise<unknown>): Promise<void> {
  const deadlineMs = performance.now() + busyMaxMs;
  for (;;) {
    try {
      await action();
      return;
    } catch (error) {
      if (performance.now() > deadlineMs) throw error;
      await delay(20);
    }
  }
}
