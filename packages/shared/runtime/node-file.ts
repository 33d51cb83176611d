/**
 * One open file of the Disk port, on `node:fs` with callbacks: no FileHandle and no stream on the data path.
 * - A write is whole or rejected: short writes are continued.
 * - After a sync has failed, the kernel may have dropped the dirty pages and forgotten it (Rebello et al., "Can
 *   Applications Recover from fsync Failures?", ATC 2020). So from then on writes and syncs of this file are refused.
 * - Where each write is a sync, too, a failure of the one is a failure of the other, but for a full disk: whoever then cuts the
 *   file back to what was durable before drops every page of which nothing is known.
 * - `close` waits for the calls that run, because the system gives the number of a closed file to the next one opened.
 */
import { close, fdatasync, fstat, ftruncate, read, write, writev } from 'node:fs';
import { assert, type DiskFile, DomainError, isDomainError } from '@fleetmq/shared';
import { diskError } from './disk-errors.ts';

export interface NodeFileOptions {
  /** The longest read that is answered. */
  readonly readBytesMax: number;
  /** The file is open with O_DSYNC. Default false. */
  readonly writesAreDurable?: boolean;
}

export class NodeFile implements DiskFile {
  readonly path: string;
  readonly writesAreDurable: boolean;
  readonly #fd: number;
  readonly #options: NodeFileOptions;
  #running = 0;
  #closing: Promise<void> | undefined;
  #whenIdle: (() => void) | undefined;
  #syncFailure: unknown;

  constructor(path: string, fd: number, options: NodeFileOptions) {
    this.path = path;
    this.writesAreDurable = options.writesAreDurable ?? false;
    this.#fd = fd;
    this.#options = options;
  }

  async write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    assert(Number.isSafeInteger(position) && position >= 0, `position ${position} of a write to ${this.path}`);
    this.#refuseAfterFailedSync('write');
    let rest = buffers;
    let at = position;
    for (let left = totalLength(buffers); left > 0; ) {
      const written = await this.#writeSome(rest, at);
      if (written === 0) throw new DomainError('STORAGE_FAILED', `cannot write ${this.path}: the system wrote no byte`);
      left -= written;
      at += written;
      if (left > 0) rest = skipBytes(rest, written);
    }
  }

  async read(position: number, length: number, into?: Uint8Array): Promise<Uint8Array> {
    assert(Number.isSafeInteger(position) && position >= 0, `position ${position} of a read of ${this.path}`);
    assert(Number.isSafeInteger(length) && length >= 0, `length ${length} of a read of ${this.path}`);
    if (length > this.#options.readBytesMax) {
      const limit = `${length} bytes at once, the limit is ${this.#options.readBytesMax}`;
      throw new DomainError('REQUEST_TOO_LARGE', `cannot read ${this.path}: ${limit}`);
    }
    assert(into === undefined || into.length >= length, `no room for ${length} bytes of ${this.path}`);
    const buffer = into ?? Buffer.allocUnsafeSlow(length);
    let filled = 0;
    while (filled < length) {
      const from = filled;
      const count = await this.#run<number>('read', (done) =>
        read(this.#fd, buffer, from, length - from, position + from, done),
      );
      if (count === 0) break;
      filled += count;
    }
    return new Uint8Array(buffer.buffer, buffer.byteOffset, filled);
  }

  async sync(): Promise<void> {
    this.#refuseAfterFailedSync('sync');
    try {
      await this.#run<void>('sync', (done) => fdatasync(this.#fd, done));
    } catch (error) {
      this.#syncFailure = error;
      throw error;
    }
  }

  async truncate(size: number): Promise<void> {
    assert(Number.isSafeInteger(size) && size >= 0, `size ${size} of ${this.path}`);
    await this.#run<void>('truncate', (done) => ftruncate(this.#fd, size, done));
  }

  /** Node has no fallocate, and zeroes written ahead would change the size: so this does nothing. */
  async preallocate(_size: number): Promise<void> {}

  async size(): Promise<number> {
    const stats = await this.#run<{ size: number }>('stat', (done) => fstat(this.#fd, done));
    return stats.size;
  }

  close(): Promise<void> {
    this.#closing ??= this.#closeWhenIdle();
    return this.#closing;
  }

  async #closeWhenIdle(): Promise<void> {
    if (this.#running > 0) {
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve;
      });
    }
    await new Promise<void>((resolve, reject) => {
      close(this.#fd, (error) => (error ? reject(diskError('close', this.path, error)) : resolve()));
    });
  }

  async #writeSome(buffers: readonly Uint8Array[], position: number): Promise<number> {
    const first = buffers[0] as Uint8Array;
    try {
      return await this.#run<number>('write', (done) => {
        if (buffers.length === 1) write(this.#fd, first, 0, first.length, position, done);
        else writev(this.#fd, buffers, position, done);
      });
    } catch (error) {
      if (this.writesAreDurable && isDomainError(error) && error.code !== 'DISK_FULL') this.#syncFailure ??= error;
      throw error;
    }
  }

  #run<Result>(operation: string, call: (done: Done<Result>) => void): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (this.#closing !== undefined) {
        reject(new DomainError('STORAGE_FAILED', `cannot ${operation} ${this.path}: the file is closed`));
        return;
      }
      this.#running++;
      call((error, result) => {
        if (--this.#running === 0) this.#whenIdle?.();
        if (error) reject(diskError(operation, this.path, error));
        else resolve(result as Result);
      });
    });
  }

  #refuseAfterFailedSync(operation: string): void {
    if (this.#syncFailure === undefined) return;
    throw new DomainError('STORAGE_FAILED', `cannot ${operation} ${this.path}: an earlier sync of it failed`, {
      cause: this.#syncFailure,
    });
  }
}

type Done<Result> = (error: NodeJS.ErrnoException | null, result?: Result) => void;

function totalLength(buffers: readonly Uint8Array[]): number {
  let total = 0;
  for (const buffer of buffers) total += buffer.length;
  return total;
}

/** What is left of `buffers` behind their first `count` bytes. */
export function skipBytes(buffers: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  let skipped = 0;
  for (let i = 0; i < buffers.length; i++) {
    const buffer = buffers[i] as Uint8Array;
    if (skipped + buffer.length > count) return [buffer.subarray(count - skipped), ...buffers.slice(i + 1)];
    skipped += buffer.length;
  }
  return [];
}
