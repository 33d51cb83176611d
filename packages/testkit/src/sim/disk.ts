/**
 * The disk of a simulated node: `MemoryDisk` (which keeps apart what was written and what is durable, in pieces of 512
 * bytes, and names apart from contents), with time and faults around it, and a process that may die in the middle.
 *
 * Reads and writes take place at once; what they wait for is the page cache. A sync takes virtual time and takes place at
 * its end, so that a crash in between loses or tears what it was to keep. A dead process gets no answer and changes nothing.
 * Faults are set from outside: slow syncs, failing writes and syncs, a disk that is full, and, for planted bugs, a disk that
 * lies about some of its syncs.
 */
import { MemoryDisk } from '@fleetmq/log/testing';
import { type Disk, type DiskFile, DomainError, type OpenMode, type OpenOptions, type Random } from '@fleetmq/shared';
import type { SimProcess } from './process.ts';

/** What can be wrong with a disk. One object per node; it outlives crashes. */
export interface DiskState {
  /** Of a sync, in milliseconds: the least, and what chance adds. */
  syncMs: number;
  syncSpreadMs: number;
  /** How often a write or sync fails, of 1. */
  failureRate: number;
  /** Files that ask for it have durable writes: each takes as long as a sync. */
  hasDurableWrites: boolean;
  /** Free bytes: what is reported, and what writes may use. Infinity: no bound. */
  freeBytes: number;
  /** Whether a write to this path lands elsewhere in its file: at this part of its length, from 0 to 1. Undefined: it does not. */
  misdirects: ((path: string) => number | undefined) | undefined;
  /** The next write to this path is durable at once. */
  mustKeep: string | undefined;
  /** Syncs of these paths do nothing although they say so: for planted bugs. */
  liesAbout: ((path: string) => boolean) | undefined;
}

export function healthyDisk(): DiskState {
  return {
    syncMs: 0.5,
    syncSpreadMs: 2,
    failureRate: 0,
    hasDurableWrites: false,
    freeBytes: Number.POSITIVE_INFINITY,
    misdirects: undefined,
    mustKeep: undefined,
    liesAbout: undefined,
  };
}

/** No fault of the disk is left. What it is, and the planted bugs in it, stay. */
export function repairDisk(disk: DiskState): void {
  const { liesAbout, hasDurableWrites } = disk;
  Object.assign(disk, healthyDisk(), { liesAbout, hasDurableWrites });
}

const pieceBytes = 512;

export type CrashKind = 'kill' | 'power-loss';

export interface DiskCounters {
  syncs: number;
  failures: number;
  full: number;
}

export interface SimDiskOptions {
  readonly memory: MemoryDisk;
  readonly process: SimProcess;
  readonly state: DiskState;
  readonly random: Random;
  readonly counters: DiskCounters;
}

export class SimDisk implements Disk {
  readonly #options: SimDiskOptions;

  constructor(options: SimDiskOptions) {
    this.#options = options;
  }

  async open(path: string, mode: OpenMode, { durableWrites = false }: OpenOptions = {}): Promise<DiskFile> {
    const { memory, state } = this.#options;
    await this.#enter();
    const file = await memory.open(path, mode);
    const writesAreDurable = durableWrites && state.hasDurableWrites;
    return {
      ...{ path, writesAreDurable },
      write: async (buffers, position) => {
        await this.#enter('write');
        await this.#write(file, buffers, position);
        if (writesAreDurable) await this.#sync(path, () => file.sync());
      },
      read: async (position, length) => {
        await this.#enter();
        return file.read(position, length);
      },
      sync: () => this.#sync(path, () => file.sync()),
      truncate: async (size) => {
        await this.#enter();
        await file.truncate(size);
      },
      preallocate: (size) => file.preallocate(size),
      size: () => file.size(),
      close: () => file.close(),
    };
  }

  async list(folder: string): Promise<readonly string[]> {
    await this.#enter();
    return this.#options.memory.list(folder);
  }

  async readFile(path: string): Promise<Uint8Array | undefined> {
    await this.#enter();
    return this.#options.memory.readFile(path);
  }

  async writeFileAtomic(path: string, bytes: Uint8Array): Promise<void> {
    const temporary = `${path}~`;
    const file = await this.open(temporary, 'create');
    await file.truncate(0);
    await file.write([bytes], 0);
    await file.sync();
    await file.close();
    await this.rename(temporary, path);
    await this.syncFolder(path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '');
  }

  async makeFolder(path: string): Promise<void> {
    await this.#enter();
    await this.#options.memory.makeFolder(path);
  }

  async rename(source: string, target: string): Promise<void> {
    await this.#enter();
    await this.#options.memory.rename(source, target);
  }

  async remove(path: string): Promise<void> {
    await this.#enter();
    await this.#options.memory.remove(path);
  }

  syncFolder(path: string): Promise<void> {
    return this.#sync(path, () => this.#options.memory.syncFolder(path));
  }

  async freeBytes(): Promise<number> {
    await this.#enter();
    return this.#options.state.freeBytes;
  }

  async #write(file: DiskFile, buffers: readonly Uint8Array[], position: number): Promise<void> {
    const { state } = this.#options;
    const elsewhere = state.misdirects?.(file.path);
    const isKept = state.mustKeep === file.path;
    const at = elsewhere === undefined ? position : Math.floor(elsewhere * ((await file.size()) + pieceBytes));
    await file.write(buffers, at);
    if (!isKept) return;
    state.mustKeep = undefined;
    await file.sync();
  }

  /** Never resolves in a dead process. */
  #enter(kind?: 'write' | 'sync'): Promise<void> | undefined {
    const { process, state, random, counters } = this.#options;
    if (!process.isAlive) return new Promise(() => undefined);
    if (kind === undefined) return undefined;
    if (kind === 'write' && state.freeBytes <= 0) {
      counters.full++;
      throw new DomainError('DISK_FULL', 'the simulated disk is full');
    }
    if (state.failureRate > 0 && random.next() < state.failureRate) {
      counters.failures++;
      throw new DomainError('STORAGE_FAILED', `a simulated ${kind} failed`);
    }
    return undefined;
  }

  async #sync(path: string, work: () => Promise<void>): Promise<void> {
    const { process, state, random, counters } = this.#options;
    await new Promise<void>((resolve) => {
      if (process.isAlive) process.after(state.syncMs + random.next() * state.syncSpreadMs, resolve);
    });
    await this.#enter('sync');
    counters.syncs++;
    if (state.liesAbout?.(path) !== true) await work();
  }
}

/** What the next process finds. After a power loss each unsynced piece is there or not; `kept` of 1 is how many are. */
export function diskAfterCrash(memory: MemoryDisk, kind: CrashKind, random: Random, kept: number): MemoryDisk {
  if (kind === 'kill') return memory.afterKill();
  return memory.afterPowerLoss(() => random.next() < kept);
}

export function emptyDisk(): MemoryDisk {
  return new MemoryDisk();
}
