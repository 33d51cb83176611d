/**
 * Frames that are appended but not yet durable, in log order: what the writer takes from, and what replication reads before
 * the leader's own sync is done. It holds the callers' bytes and copies none of them, except into the answer of a read: so
 * nobody but the writer looks at them, and their memory is free once they are durable.
 *
 * Invariant: each frame begins where the one before it ends. The caller bounds the bytes (`maxPendingBytes`).
 */
import type { BufferPool, LeaderEpoch, Lease, Offset } from '@fleetmq/shared';
import type { ReadAnswer, ReadRequest } from './reader.ts';
import type { IndexedFrame } from './sparse-index.ts';

export interface PendingFrame extends IndexedFrame {
  readonly baseOffset: Offset;
  readonly endOffset: Offset;
  readonly leaderEpoch: LeaderEpoch;
  /** The frame's bytes, in order. */
  readonly pieces: readonly Uint8Array[];
  /** A use of the memory of `pieces`, let go when the frame is durable. A frame that is dropped lets go of nothing. */
  readonly lease?: Lease | undefined;
}

/** Used slots at the front are given back once there are so many of them. */
const compactAt = 1024;

export class PendingFrames {
  /** Slots before `#head` are empty: a frame that is durable must not keep its memory. */
  #frames: (PendingFrame | undefined)[] = [];
  #head = 0;
  bytes = 0;

  get count(): number {
    return this.#frames.length - this.#head;
  }

  push(frame: PendingFrame): void {
    this.#frames.push(frame);
    this.bytes += frame.byteLength;
  }

  first(): PendingFrame | undefined {
    return this.#frames[this.#head];
  }

  /** The frames for one write: as many from the front as `fits` takes, and at least the first. They stay in the queue. */
  front(fits: (frame: PendingFrame) => boolean): PendingFrame[] {
    let end = this.#head + 1;
    while (end < this.#frames.length && fits(this.#frames[end] as PendingFrame)) end++;
    return this.#frames.slice(this.#head, end) as PendingFrame[];
  }

  /** Lets go of the first `count` frames, which are durable. */
  release(count: number): void {
    for (let i = 0; i < count; i++, this.#head++) {
      const frame = this.#frames[this.#head] as PendingFrame;
      this.bytes -= frame.byteLength;
      this.#frames[this.#head] = undefined;
      frame.lease?.release();
    }
    if (this.#head < compactAt && this.#head < this.#frames.length) return;
    this.#frames.splice(0, this.#head);
    this.#head = 0;
  }

  clear(): void {
    this.#frames = [];
    this.#head = 0;
    this.bytes = 0;
  }

  /** As a read of the disk would answer; undefined when the queue does not hold `from`. */
  read(request: ReadRequest, buffers?: BufferPool): ReadAnswer | undefined {
    const start = this.#find(request.from);
    const first = this.#frames[start];
    if (first === undefined || first.endOffset > request.upTo) return undefined;
    let end = start + 1;
    let total = first.byteLength;
    for (; end < this.#frames.length; end++) {
      const frame = this.#frames[end] as PendingFrame;
      if (frame.endOffset > request.upTo || total + frame.byteLength > request.maxBytes) break;
      total += frame.byteLength;
    }
    const last = this.#frames[end - 1] as PendingFrame;
    const lease = buffers?.take(total);
    const bytes = lease?.bytes ?? new Uint8Array(total);
    this.#copy(start, end, bytes);
    return { bytes, baseOffset: first.baseOffset, nextOffset: last.endOffset, lease };
  }

  /** The first frame whose time is `timeMs` or later. */
  firstOfTime(timeMs: number, upTo: Offset): PendingFrame | undefined {
    for (let i = this.#head; i < this.#frames.length; i++) {
      const frame = this.#frames[i] as PendingFrame;
      if (frame.endOffset > upTo) return undefined;
      if (frame.timeMs >= timeMs) return frame;
    }
    return undefined;
  }

  #copy(start: number, end: number, target: Uint8Array): void {
    let at = 0;
    for (let i = start; i < end; i++) {
      for (const piece of (this.#frames[i] as PendingFrame).pieces) {
        target.set(piece, at);
        at += piece.length;
      }
    }
  }

  /** Index of the frame that holds `offset`; the length of the array when none does. */
  #find(offset: number): number {
    let low = this.#head;
    let high = this.#frames.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#frames[middle] as PendingFrame).endOffset <= offset) low = middle + 1;
      else high = middle;
    }
    const found = this.#frames[low];
    return found === undefined || found.baseOffset > offset ? this.#frames.length : low;
  }
}
