/**
 * The ports: everything that a pure core may want from the world. Production implements them in `@fleetmq/shared/runtime`,
 * the simulator in `@fleetmq/testkit`. A core receives them as arguments and imports nothing that does I/O.
 */

/** Two clocks. No safety property may read `wallMs`. */
export interface Clock {
  /** Milliseconds since some fixed moment; never goes back. For timeouts and intervals. */
  monotonicMs(): number;
  /** Milliseconds since 1970-01-01 UTC; may jump. For record times, retention and people. */
  wallMs(): number;
}

export interface Timer {
  /** Idempotent; after it the callback does not run. */
  cancel(): void;
}

export interface Timers {
  /** Runs `callback` once, not before `delayMs` have passed. */
  after(delayMs: number, callback: () => void): Timer;
  /** Runs `callback` every `periodMs`, first after one period; calls never overlap because callbacks are synchronous. */
  every(periodMs: number, callback: () => void): Timer;
}

export interface Random {
  /** A uniform float of [0, 1). */
  next(): number;
  /** `length` random bytes, for ids. */
  bytes(length: number): Uint8Array;
}

export interface Checksum {
  /** CRC-32 (IEEE 802.3, as zlib's) of `bytes`, continued from `seed` (default 0). Unsigned. */
  crc32(bytes: Uint8Array, seed?: number): number;
}

/**
 * A file that is open for reading and writing. Positions and lengths are bytes.
 * Failures are DomainErrors: DISK_FULL for ENOSPC and EDQUOT, STORAGE_FAILED for everything else, with the cause.
 */
export interface DiskFile {
  readonly path: string;
  /** Each write is durable when it resolves, as if `sync` had come with it. Absent: it is not. */
  readonly writesAreDurable?: boolean;
  /**
   * Writes all buffers one behind the other at `position`. Short writes are continued. On failure an unknown part of the
   * range may have been written. The caller must not touch the buffers until the promise settles.
   */
  write(buffers: readonly Uint8Array[], position: number): Promise<void>;
  /**
   * Up to `length` bytes; fewer only at the end of the file. The result is owned by the caller. It may lie in `into`, which
   * has room for it and must not be touched until the promise settles; after a rejection `into` is lost.
   */
  read(position: number, length: number, into?: Uint8Array): Promise<Uint8Array>;
  /** fdatasync: when it resolves, everything that was written before the call is durable. After a rejection nothing is known. */
  sync(): Promise<void>;
  truncate(size: number): Promise<void>;
  /** Reserves space up to `size` without changing the file's logical size where the platform can; otherwise does nothing. */
  preallocate(size: number): Promise<void>;
  size(): Promise<number>;
  close(): Promise<void>;
}

export type OpenMode = 'read' | 'read-write' | 'create';

export interface OpenOptions {
  /** Asks for `writesAreDurable`, which not every platform has. Default false. */
  readonly durableWrites?: boolean;
}

/** A tree of files below one root folder. Paths use `/`, are relative to the root, and never contain `..`. */
export interface Disk {
  /** `create` makes the file when it is absent and opens it otherwise; its name is durable only after `syncFolder`. */
  open(path: string, mode: OpenMode, options?: OpenOptions): Promise<DiskFile>;
  /** Names in the folder, sorted; an absent folder is an empty list. */
  list(folder: string): Promise<readonly string[]>;
  /** Undefined when there is no such file. */
  readFile(path: string): Promise<Uint8Array | undefined>;
  /** Replaces the file whole: temporary file, fsync, rename, fsync of the folder. Old or new after a crash, never half. */
  writeFileAtomic(path: string, bytes: Uint8Array): Promise<void>;
  /** Makes the folder and its parents, durable in their parents. */
  makeFolder(path: string): Promise<void>;
  rename(source: string, target: string): Promise<void>;
  /** Removes a file or a folder with all it holds; an absent path is no error. */
  remove(path: string): Promise<void>;
  /** Makes creations, renames and removals in this folder durable. */
  syncFolder(path: string): Promise<void>;
  /** Free bytes for this process on the file system. */
  freeBytes(): Promise<number>;
}

export interface Logger {
  debug(fields: Record<string, unknown>, message: string): void;
  info(fields: Record<string, unknown>, message: string): void;
  warn(fields: Record<string, unknown>, message: string): void;
  error(fields: Record<string, unknown>, message: string): void;
  child(fields: Record<string, unknown>): Logger;
}

/** Logs nothing: the default of libraries and most tests. */
export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLogger,
};
