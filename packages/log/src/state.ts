/**
 * What a log is at this moment: its offsets, its queue, why it refuses appends. The parts of the log share one of these; the
 * rules for changing it are here, so that its invariants are in one place.
 *
 * Invariants: start <= durable <= end; the queue holds exactly what lies between the last two; epochs stand for everything
 * below `end`, and so do the producers, unless `undone` says that they have to be computed anew. After a failure the queue
 * is empty and the log ends at its durable end.
 */
import { DomainError, type Offset } from '@fleetmq/shared';
import type { LogConfig } from './config.ts';
import type { LogParts } from './maintain.ts';
import type { LogOptions, RecoveryReport } from './partition-log.ts';
import { type PendingFrame, PendingFrames } from './pending.ts';
import { DurabilityWaiters } from './waiters.ts';

/** What opening has found or made. */
export interface OpenState {
  readonly parts: LogParts;
  readonly config: LogConfig;
  readonly startOffset: Offset;
  readonly endOffset: Offset;
  /** What a crash right after opening would have to scan again. */
  readonly unrecordedBytes: number;
  readonly recovery: RecoveryReport;
}

/** How long a producer waits before it asks a full queue again. */
const fullQueueRetryMs = 50;

export class LogState {
  readonly options: LogOptions;
  readonly parts: LogParts;
  readonly pending: PendingFrames = new PendingFrames();
  readonly waiters: DurabilityWaiters = new DurabilityWaiters();
  config: LogConfig;
  start: Offset;
  end: Offset;
  durable: Offset;
  /** The log takes no more writes, for ever. */
  failure: DomainError | undefined;
  isClosed = false;
  isTruncating = false;
  /** Appends were undone, and the producers still hold them. */
  undone: DomainError | undefined;
  /** The end of what was read before it was durable: replicas may hold it. */
  servedEnd = 0;
  /** Offsets that replicas may hold were undone in this epoch, so it may not give them out again. */
  spoiledEpoch = -1;

  constructor(options: LogOptions, opened: OpenState) {
    this.options = options;
    this.parts = opened.parts;
    this.config = opened.config;
    this.start = opened.startOffset;
    this.end = opened.endOffset;
    this.durable = opened.endOffset;
  }

  checkOpen(): void {
    if (this.isClosed) throw new DomainError('SHUTTING_DOWN', 'the log is closed');
  }

  /** Open, and not failed. */
  checkAlive(): void {
    this.checkOpen();
    if (this.failure !== undefined) throw this.failure;
  }

  checkWritable(): void {
    this.checkAlive();
    if (this.isTruncating) throw new DomainError('NOT_AVAILABLE', 'the log is being truncated');
    if (this.undone !== undefined) throw this.undone;
  }

  /** A leader must not give an offset to two batches in one epoch, not even when the first one was undone. */
  checkLeaderEpoch(leaderEpoch: number): void {
    const { last } = this.parts.epochs;
    if (leaderEpoch < last) {
      throw new DomainError('STALE_EPOCH', `the log has leader epoch ${last}, the append comes with ${leaderEpoch}`);
    }
    if (leaderEpoch <= this.spoiledEpoch) {
      throw new DomainError(
        'DISK_FULL',
        `batches that replicas may hold were undone in leader epoch ${leaderEpoch}: only a newer epoch may append`,
      );
    }
  }

  checkRoom(bytes: number): void {
    const { maxPendingBytes } = this.config;
    if (this.pending.bytes + bytes <= maxPendingBytes) return;
    throw new DomainError(
      'LIMIT_EXCEEDED',
      `${this.pending.bytes} of ${maxPendingBytes} bytes wait for the disk, no room for ${bytes}`,
      { retryAfterMs: fullQueueRetryMs },
    );
  }

  checkInRange(offset: Offset): void {
    if (offset >= this.start && offset <= this.end) return;
    throw new DomainError(
      'OFFSET_OUT_OF_RANGE',
      `offset ${offset} is outside of the log, ${this.start} to ${this.end}`,
    );
  }

  queue(frame: PendingFrame): void {
    this.pending.push(frame);
    this.parts.epochs.note(frame.leaderEpoch, frame.baseOffset);
    this.end = frame.endOffset;
  }

  /** Back to the durable end. What is done about the producers, and who is told, is the caller's. */
  dropQueue(): void {
    this.pending.clear();
    this.end = this.durable;
    this.parts.epochs.truncateTo(this.durable);
  }

  /** The log ends here now, durably. */
  setEnd(offset: Offset): void {
    this.end = offset;
    this.durable = offset;
    this.servedEnd = Math.min(this.servedEnd, offset);
    this.undone = undefined;
  }
}
