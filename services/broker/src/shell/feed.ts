/**
 * One partition as it is fed to one follower: the replica, and its place in the follower's log (domain/progress.ts). It
 * says what comes next and whether that is still so; the link (follower-link.ts) reads, sends, and takes the answers.
 * A feed lives as long as one leader epoch: another one begins anew.
 */
import type { PartitionLog, ReadAnswer, ReadRequest } from '@fleetmq/log';
import { FrameCursor } from '@fleetmq/record';
import type { Offset } from '@fleetmq/shared';
import { copiedBytes } from '../domain/copied-bytes.ts';
import { unconfirmed } from '../domain/high-watermark.ts';
import { Progress, type ProgressLimits } from '../domain/progress.ts';
import { leaderView } from './log-view.ts';
import type { Replica } from './replica.ts';

/** What a feed sends next. */
export interface NextPart {
  /** Where it begins. */
  readonly from: Offset;
  /** The follower is to begin anew with it. */
  readonly reset: boolean;
  /** Its batches; undefined: it carries none. */
  readonly request: ReadRequest | undefined;
}

/** What a message says of the partition, beside its names. */
export interface FeedPart extends Pick<ReadAnswer, 'bytes' | 'baseOffset' | 'nextOffset'> {
  readonly reset: boolean;
}

export class Feed {
  readonly replica: Replica;
  readonly progress: Progress;
  readonly leaderEpoch: number;
  readonly #followerId: number;
  /** What the follower had when it first matched, less what was answered before; undefined: it has not matched yet. */
  #bytesBefore: number | undefined;
  /** It waits for its turn on the link. */
  isReady = false;
  /** It stands with those that catch up (send-turns.ts). */
  isCatchUp = false;
  isRemoved = false;

  constructor(
    replica: Replica,
    place: { followerId: number; leaderEpoch: number; endOffset: number },
    limits: ProgressLimits,
  ) {
    this.replica = replica;
    this.progress = new Progress(place.endOffset, limits);
    this.leaderEpoch = place.leaderEpoch;
    this.#followerId = place.followerId;
  }

  get isCurrent(): boolean {
    return !this.isRemoved && this.replica.state.leader?.leaderEpoch === this.leaderEpoch;
  }

  /** Whether the watermark waits for the follower, or soon will. */
  get isInSync(): boolean {
    return this.replica.state.leader?.isr.maximal.includes(this.#followerId) === true;
  }

  /** What the follower has of the log, in bytes: what it had at first is estimated, the rest was counted. */
  get copiedBytes(): number {
    const { log, state } = this.replica;
    const end = state.leader?.durableEndOf(this.#followerId) ?? unconfirmed;
    if (log === undefined || end === unconfirmed) return 0;
    if (end >= log.endOffset) return log.sizeBytes;
    return Math.min(log.sizeBytes, Math.max(0, (this.#bytesBefore ?? 0) + this.progress.answeredBytes));
  }

  /** The follower is durable up to `end`. */
  onMatched(log: PartitionLog, end: number): void {
    this.#bytesBefore ??= copiedBytes(log, end) - this.progress.answeredBytes;
  }

  /** The follower's log has failed: it will have another one. */
  onFailed(nextCorrelationId: number, retryAtMs: number): void {
    this.#bytesBefore = undefined;
    this.progress.onFailed(this.likelyPlace, nextCorrelationId, retryAtMs);
  }

  /** Where to look for the follower first: at what it has confirmed, or else at the end. */
  get likelyPlace(): number {
    const { state, log } = this.replica;
    const confirmed = state.leader?.durableEndOf(this.#followerId) ?? unconfirmed;
    return confirmed === unconfirmed ? (log?.endOffset ?? 0) : confirmed;
  }

  hasWork(nowMs: number): boolean {
    const { progress, replica } = this;
    if (!progress.maySend(nowMs)) return false;
    const startOffset = replica.log?.startOffset ?? 0;
    const { highWatermark } = replica.state;
    return progress.wantsToSend({ sendableEnd: replica.sendableEnd, highWatermark, startOffset });
  }

  next(log: PartitionLog, messageBytes: number): NextPart {
    const { progress, replica } = this;
    const reset = progress.needsReset;
    const from = (reset ? log.startOffset : progress.nextOffset) as Offset;
    const upTo = Math.max(from, replica.sendableEnd) as Offset;
    const maxBytes = Math.min(progress.roomBytes, messageBytes);
    return { from, reset, request: maxBytes > 0 && from < upTo ? { from, upTo, maxBytes } : undefined };
  }

  /** Whether it would still begin there: the world may move while the disk is read. */
  isStillAt({ from, reset }: NextPart): boolean {
    const { progress } = this;
    return this.isCurrent && reset === progress.needsReset && (reset || progress.nextOffset === from);
  }

  /** Epoch of what lies before that part, as far as the follower may be asked for it. */
  previousEpoch(log: PartitionLog, { reset }: FeedPart): number {
    return reset ? 0 : this.progress.previousEpoch(leaderView(log, this.replica.sendableEnd));
  }

  sent(log: PartitionLog, { bytes, nextOffset }: FeedPart, correlationId: number): void {
    this.progress.onSent({
      correlationId,
      bytes: bytes.length,
      endOffset: nextOffset,
      highWatermark: this.replica.state.highWatermark,
      startOffset: log.startOffset,
      lastEpoch: lastEpochOf(bytes),
    });
  }
}

function lastEpochOf(batches: Uint8Array): number {
  const cursor = new FrameCursor(batches);
  let epoch = 0;
  while (cursor.next() === 'frame') epoch = cursor.trailer.leaderEpoch;
  return epoch;
}
