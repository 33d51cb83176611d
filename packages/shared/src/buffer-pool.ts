/**
 * Memory for large messages that is used again: fresh memory costs page faults and makes the garbage collector run for every
 * few megabytes that pass through. A buffer is lent with a count of its users and comes back when the last one lets go.
 *
 * Coming back is never needed for correctness: a lease that nobody releases is collected like any other memory, so whoever
 * is not certain that the bytes are no longer used (a failed write, a stream that was reset) just drops it.
 * Invariants: a buffer is lent to one lease at a time; idle buffers take at most `idleBytesMax`.
 */
import { assert } from './assert.ts';

/** A right to some bytes that is shared. Made with one user. */
export interface Lease {
  readonly bytes: Uint8Array;
  /** One user more. */
  retain(): void;
  /** One user less. After the last one the bytes belong to somebody else. */
  release(): void;
}

export interface BufferPoolOptions {
  /** Bytes of buffers that wait for their next use; beyond, those of the size that was not used for the longest time are left to the collector. Default 32 MiB. */
  readonly idleBytesMax?: number;
  /** Makes a buffer; its content does not matter. Default: zeroed. */
  readonly allocate?: ((length: number) => Uint8Array) | undefined;
  /** For tests: what comes back is overwritten, so that bytes which somebody still uses are seen to be wrong. Default false. */
  readonly poison?: boolean | undefined;
}

/** No tag, length or text of ours is made of it. */
export const poisonByte = 0xdb;

/** Shorter ones are cheaper to make than to keep. */
const sharedFrom = 32 * 1024;
/** Longer ones are rare, and would fill the pool with a few. */
const sharedTo = 16 * 1024 * 1024;

export class BufferPool {
  readonly #idleBytesMax: number;
  readonly #allocate: (length: number) => Uint8Array;
  readonly #poison: boolean;
  /**
   * Idle buffers by their size, last in first out: what was used just now is in the processor's cache. Sizes in the order of their
   * last use: those of a load that is over must not keep out those of the load that is there.
   */
  readonly #idle = new Map<number, Uint8Array[]>();
  readonly #leases = new WeakMap<Uint8Array, Lease>();
  #idleBytes = 0;

  constructor(options: BufferPoolOptions = {}) {
    this.#idleBytesMax = options.idleBytesMax ?? 32 * 1024 * 1024;
    this.#allocate = options.allocate ?? ((length) => new Uint8Array(length));
    this.#poison = options.poison ?? false;
  }

  get idleBytes(): number {
    return this.#idleBytes;
  }

  /** `length` bytes with any content. Undefined when the length is not one that is shared: make them otherwise. */
  take(length: number): Lease | undefined {
    if (length < sharedFrom || length > sharedTo) return undefined;
    const size = sizeFor(length);
    const idle = this.#use(size).pop();
    if (idle !== undefined) this.#idleBytes -= size;
    const buffer = idle ?? this.#allocate(size);
    const lease = new PoolLease(buffer.subarray(0, length), () => this.#giveBack(buffer));
    this.#leases.set(lease.bytes, lease);
    return lease;
  }

  /** The lease of bytes that were handed on alone; undefined for any other memory, and for views of lent bytes. */
  leaseOf(bytes: Uint8Array): Lease | undefined {
    return this.#leases.get(bytes);
  }

  #giveBack(buffer: Uint8Array): void {
    const size = buffer.length;
    if (this.#poison) buffer.fill(poisonByte);
    if (size > this.#idleBytesMax) return;
    const same = this.#use(size);
    this.#makeRoom(size);
    if (this.#idleBytes + size > this.#idleBytesMax) return;
    this.#idleBytes += size;
    same.push(buffer);
  }

  /** The idle buffers of this size, which is the last used one from now on. */
  #use(size: number): Uint8Array[] {
    const same = this.#idle.get(size) ?? [];
    this.#idle.delete(size);
    this.#idle.set(size, same);
    return same;
  }

  /** Drops idle buffers of other sizes, those of the longest unused one first. */
  #makeRoom(size: number): void {
    for (const [other, buffers] of this.#idle) {
      while (this.#idleBytes + size > this.#idleBytesMax && other !== size && buffers.length > 0) {
        buffers.pop();
        this.#idleBytes -= other;
      }
      if (this.#idleBytes + size <= this.#idleBytesMax) return;
      if (buffers.length === 0 && other !== size) this.#idle.delete(other);
    }
  }
}

class PoolLease implements Lease {
  readonly bytes: Uint8Array;
  readonly #onFree: () => void;
  #users = 1;

  constructor(bytes: Uint8Array, onFree: () => void) {
    this.bytes = bytes;
    this.#onFree = onFree;
  }

  retain(): void {
    assert(this.#users > 0, 'bytes that were given back are used again');
    this.#users++;
  }

  release(): void {
    assert(this.#users > 0, 'bytes are given back twice');
    if (--this.#users === 0) this.#onFree();
  }
}

/** The next of 1, 1.25, 1.5 and 1.75 times a power of two: at most a fifth of a buffer is unused. */
function sizeFor(length: number): number {
  const step = 2 ** (Math.floor(Math.log2(length)) - 2);
  return Math.ceil(length / step) * step;
}
