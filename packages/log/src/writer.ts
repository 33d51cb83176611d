/**
 * The one writer of a log. It takes everything that is queued, writes it with one vectored write, syncs once, and only then
 * says that it is durable (group commit): while one sync runs, the next group gathers. Where a file makes its writes durable, the
 * write is the sync: a step less, each of which waits for a busy event loop.
 *
 * States: idle -> running -> idle, and dead, which is for ever. A failed sync, or any failure but a full disk, is death (P21):
 * after a failed fdatasync the kernel may call clean what never reached the disk, so no later sync of that file proves
 * anything. A full disk is undone: the file is cut back to its durable end, synced, and the queue is dropped (P22); all pages
 * that the failed write has touched go with it, or are written again.
 * Never two writes at once, never a write behind an unsynced one.
 */
import { assert, DomainError, isDomainError, type Offset } from '@fleetmq/shared';
import type { LogConfig } from './config.ts';
import type { PendingFrame, PendingFrames } from './pending.ts';
import type { Segment } from './segment.ts';
import type { Segments } from './segments.ts';

export interface WriterEvents {
  /** Before each group; the first time it records that the log is not clean. */
  beforeWrite(): Promise<void>;
  /** Everything below `end` is durable, `bytes` of it since the last call. */
  durable(end: Offset, bytes: number): void;
  /** A segment was sealed. */
  sealed(segment: Segment): void;
  /** The queue could not be written and is about to be dropped: put everything back to the durable end. */
  rollBack(error: DomainError): void;
  /** The writer is dead. */
  failed(error: DomainError): void;
}

interface RollRequest {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class Writer {
  readonly #segments: Segments;
  readonly #pending: PendingFrames;
  readonly #events: WriterEvents;
  #config: LogConfig;
  #running = false;
  #dead = false;
  #rolls: RollRequest[] = [];
  #idle: (() => void)[] = [];

  constructor(segments: Segments, pending: PendingFrames, config: LogConfig, events: WriterEvents) {
    this.#segments = segments;
    this.#pending = pending;
    this.#config = config;
    this.#events = events;
  }

  configure(config: LogConfig): void {
    this.#config = config;
  }

  /** Starts the loop if it does not run. Call it after something was queued. */
  kick(): void {
    if (this.#running || this.#dead) return;
    this.#running = true;
    // A rejection here is a broken invariant, and ends the process: failures of the disk are handled inside.
    void this.#run();
  }

  /** Seals the active segment, if it holds anything, and begins a new one. */
  roll(): Promise<void> {
    if (this.#dead) return Promise.reject(deadLog());
    const rolled = new Promise<void>((resolve, reject) => {
      this.#rolls.push({ resolve, reject });
    });
    this.kick();
    return rolled;
  }

  /** Resolves once nothing is queued or written; at once when that is so, or when the writer is dead. */
  idle(): Promise<void> {
    if (!this.#running) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** No more writes, for a failure that was seen elsewhere. */
  stop(): void {
    this.#dead = true;
  }

  async #run(): Promise<void> {
    // What is appended in one go of the event loop becomes one group.
    await Promise.resolve();
    while (!this.#dead && (this.#pending.count > 0 || this.#rolls.length > 0)) {
      try {
        await this.#step();
      } catch (error) {
        await this.#handle(error);
      }
    }
    this.#running = false;
    for (const { reject } of this.#rolls.splice(0)) reject(deadLog());
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  async #step(): Promise<void> {
    // A failure seen elsewhere may drop the queue at each await; then nothing counts any more.
    await this.#events.beforeWrite();
    if (this.#dead) return;
    const first = this.#pending.first();
    const segment = await this.#segmentFor(first);
    if (first === undefined || this.#dead) return;
    const group = this.#groupFor(segment);
    const file = await segment.file();
    await file.write(buffersOf(group), segment.size);
    if (this.#config.flushPolicy === 'fsync' && file.writesAreDurable !== true) await segment.sync();
    if (!this.#dead) this.#account(segment, group);
  }

  /** The active segment, or a new one where the first frame (or a request) asks for it. */
  async #segmentFor(first: PendingFrame | undefined): Promise<Segment> {
    const active = this.#segments.active;
    if (active === undefined) {
      assert(first !== undefined, 'an empty log is not rolled');
      return this.#segments.roll(first.baseOffset);
    }
    const asked = this.#rolls.splice(0);
    const wanted = asked.length > 0 || (first !== undefined && this.#isFull(active, first));
    try {
      const segment = wanted && active.size > 0 ? await this.#segments.roll(active.endOffset) : active;
      if (segment !== active) this.#events.sealed(active);
      for (const { resolve } of asked) resolve();
      return segment;
    } catch (error) {
      for (const { reject } of asked) reject(error);
      throw error;
    }
  }

  #isFull(active: Segment, frame: PendingFrame): boolean {
    const { segmentBytes, segmentMs } = this.#config;
    const age = frame.appendTimeMs - (active.index?.firstAppendMs ?? frame.appendTimeMs);
    return active.size + frame.byteLength > segmentBytes || age > segmentMs;
  }

  #groupFor(segment: Segment): PendingFrame[] {
    const first = this.#pending.first() as PendingFrame;
    let bytes = first.byteLength;
    const firstAppendMs = segment.size === 0 ? first.appendTimeMs : (segment.index?.firstAppendMs ?? 0);
    return this.#pending.front((frame) => {
      bytes += frame.byteLength;
      const fits = bytes <= this.#config.maxWriteBytes && segment.size + bytes <= this.#config.segmentBytes;
      return fits && frame.appendTimeMs - firstAppendMs <= this.#config.segmentMs;
    });
  }

  #account(segment: Segment, group: readonly PendingFrame[]): void {
    let bytes = 0;
    for (const frame of group) {
      segment.index?.note(frame, this.#config.indexIntervalBytes);
      bytes += frame.byteLength;
    }
    const last = group.at(-1) as PendingFrame;
    segment.size += bytes;
    segment.endOffset = last.endOffset;
    this.#pending.release(group.length);
    this.#events.durable(last.endOffset, bytes);
  }

  async #handle(error: unknown): Promise<void> {
    if (!isDomainError(error)) throw error;
    if (this.#dead) return;
    let cause = error;
    if (error.code === 'DISK_FULL') {
      try {
        await this.#cutBack();
        this.#events.rollBack(error);
        return;
      } catch (second) {
        if (!isDomainError(second)) throw second;
        cause = second;
      }
    }
    this.#dead = true;
    this.#events.failed(deadLog(cause));
  }

  /** Undoes a write that did not fit. What was written of it must not come back after a crash, hence the sync. */
  async #cutBack(): Promise<void> {
    const active = this.#segments.active;
    if (active === undefined) return;
    await (await active.file()).truncate(active.size);
    await active.sync();
  }
}

/** STORAGE_FAILED, with what came first. */
export function deadLog(cause?: DomainError): DomainError {
  const why = cause === undefined ? '' : `: ${cause.message}`;
  return new DomainError('STORAGE_FAILED', `the log takes no more writes${why}`, { cause });
}

/** One buffer for what lies together in memory, as the frames of a follower do. */
function buffersOf(group: readonly PendingFrame[]): Uint8Array[] {
  const buffers: Uint8Array[] = [];
  for (const frame of group) {
    for (const piece of frame.pieces) {
      const last = buffers.at(-1);
      const joins = last?.buffer === piece.buffer && last.byteOffset + last.byteLength === piece.byteOffset;
      if (joins)
        buffers[buffers.length - 1] = new Uint8Array(piece.buffer, last.byteOffset, last.length + piece.length);
      else if (piece.length > 0) buffers.push(piece);
    }
  }
  return buffers;
}
