/**
 * The folders of the logs of this broker: one per partition, named by topic id and number. Jobs on one folder run one after
 * the other; folders that belong to no partition are put aside and removed after a while, never at once (J3, J7).
 */
import { type Clock, type Disk, isDomainError, type Logger } from '@fleetmq/shared';

export interface LogFoldersOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A folder that was put aside is removed after this. */
  readonly strayRetentionMs: number;
}

const logsFolder = 'partitions';
const straysFolder = 'strays';
const folderName = /^([0-9a-f]{32})-([0-9]{1,10})$/;

export class LogFolders {
  readonly #options: LogFoldersOptions;
  /** The last job of each folder that has one. */
  readonly #jobs = new Map<string, Promise<void>>();

  constructor(options: LogFoldersOptions) {
    this.#options = options;
  }

  /** Path of a folder, below the disk's root. */
  pathOf(folder: string): string {
    return `${logsFolder}/${folder}`;
  }

  /** The folder that holds all others. */
  async make(): Promise<void> {
    await this.#options.disk.makeFolder(logsFolder);
  }

  /** Puts every folder aside that `isHeld` does not want. Names that are none of ours are left alone. */
  async setAsideAllBut(isHeld: (topicId: string, partition: number) => boolean): Promise<void> {
    for (const name of await this.#options.disk.list(logsFolder)) {
      const match = folderName.exec(name);
      if (match === null || isHeld(match[1] as string, Number(match[2]))) continue;
      this.#options.logger.warn({ folder: name }, 'a log without a partition is put aside');
      await this.run(name, () => this.setAside(name));
    }
  }

  /** To be called as a job of this folder. */
  async setAside(folder: string): Promise<void> {
    const { disk, clock } = this.#options;
    await disk.makeFolder(straysFolder);
    await disk.rename(this.pathOf(folder), `${straysFolder}/${folder}.${Math.floor(clock.wallMs())}`);
    await disk.syncFolder(logsFolder);
    await disk.syncFolder(straysFolder);
  }

  async remove(folder: string): Promise<void> {
    await this.#options.disk.remove(this.pathOf(folder));
  }

  /** Removes what was put aside long enough ago. */
  async removeOldStrays(): Promise<void> {
    const { disk, clock, strayRetentionMs } = this.#options;
    for (const name of await disk.list(straysFolder)) {
      const since = Number(name.slice(name.lastIndexOf('.') + 1));
      if (clock.wallMs() - since < strayRetentionMs) continue;
      await disk.remove(`${straysFolder}/${name}`);
    }
  }

  /** Runs jobs on one folder one after the other. A failure of the disk is logged; any other is a bug and ends the process. */
  run<Result>(folder: string, job: () => Promise<Result>): Promise<Result | undefined> {
    const before = this.#jobs.get(folder) ?? Promise.resolve();
    const running = before.then(job).catch((error: unknown) => {
      if (!isDomainError(error)) throw error;
      this.#options.logger.error({ folder, code: error.code, reason: error.message }, 'a job on a log folder failed');
      return undefined;
    });
    const settled = running.then(() => {
      if (this.#jobs.get(folder) === settled) this.#jobs.delete(folder);
    });
    this.#jobs.set(folder, settled);
    return running;
  }
}

/** The folder of a partition's log. */
export function folderOf(partition: { readonly topicId: string; readonly partition: number }): string {
  return `${partition.topicId}-${partition.partition}`;
}
