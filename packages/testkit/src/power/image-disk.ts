/** A disk that can lose its power: an ext4 file system of its own in a file, mounted through a loop device. It goes with its slot. */
import * as fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { DomainError } from '@fleetmq/shared';
import { run } from '../chaos/command.ts';
import { loopsOn } from '../chaos/slot.ts';

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
    // As long as anybody holds the file system that was cut off, a mount would be of that one.
    await insist(async () => {
      if (loopsOn(this.#image).length > 0) throw new DomainError('NOT_AVAILABLE', `${this.#image} is still in use`);
    });
    await mountImage(this.#image, this.folder);
  }
}

/** Whoever gets a copy of this machine's mounts (a new mount namespace does) lets go of those below the folder when they go here. */
export async function shareMounts(folder: string): Promise<void> {
  await run('mount', ['--bind', folder, folder]);
  await run('mount', ['--make-shared', folder]);
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
