/**
 * How the leader feeds one follower of one partition. Two states, as in etcd's raft (tracker/progress.go): `probe`, where one
 * message without batches at a time finds the place at which the two logs part, and `replicate`, where batches stream ahead
 * of the answers up to a window.
 *
 * A divergence answer names the follower's largest epoch that is not above the one that was asked, and its end; the leader
 * goes to the end of that epoch in its own log or to the follower's, whichever is lower (KIP-101, KIP-279). Each round goes
 * down in epochs, so the search ends. When the place is before the leader's log start, the follower is reset.
 * Invariants: `nextOffset` lies in the leader's log; `inFlightBytes` is the sum over the unanswered messages; an answer to a
 * message that was sent before the last realignment changes nothing.
 */
import { Ring } from '@fleetmq/shared';

export interface ProgressLimits {
  /** Batch bytes that may be unanswered for one follower of one partition. Default 4 MiB. */
  readonly windowBytes: number;
  /** Messages that may be unanswered. Default 64. */
  readonly windowMessages: number;
}

const defaultProgressLimits: ProgressLimits = { windowBytes: 4 * 1024 * 1024, windowMessages: 64 };

/** The leader's log, as far as the search needs it. */
export interface LeaderLog {
  readonly startOffset: number;
  /** End of what may be sent. */
  readonly sendableEnd: number;
  /** Epoch of the batch that holds `offset`; 0 outside of the log. */
  epochAt(offset: number): number;
  endOffsetForEpoch(epoch: number): { readonly epoch: number; readonly endOffset: number };
}

/** What every message carries beside its batches. */
export interface Watermarks {
  readonly highWatermark: number;
  /** First offset of the leader's log. */
  readonly startOffset: number;
}

interface InFlight {
  readonly correlationId: number;
  readonly bytes: number;
  readonly endOffset: number;
  readonly startOffset: number;
}

export type ProgressState = 'probe' | 'replicate';

export class Progress {
  readonly #limits: ProgressLimits;
  readonly #inFlight: Ring<InFlight>;
  #inFlightBytes = 0;
  #state: ProgressState = 'probe';
  #nextOffset: number;
  /** Epoch of the last batch that was sent, which lies before `nextOffset`; 0: none was, since the last realignment. */
  #sentEpoch = 0;
  /** Answers to older messages are not looked at. */
  #firstCorrelationId = 0;
  #reset = false;
  /** Watermark and log start of the last message. */
  #sentHighWatermark = -1;
  #sentStartOffset = 0;
  /** Log start of the last message that was answered. */
  #answeredStartOffset = 0;
  #answeredBytes = 0;
  #pausedUntilMs = 0;
  #failures = 0;

  constructor(nextOffset: number, limits: ProgressLimits = defaultProgressLimits) {
    this.#nextOffset = nextOffset;
    this.#limits = limits;
    this.#inFlight = new Ring(limits.windowMessages);
  }

  get state(): ProgressState {
    return this.#state;
  }

  get nextOffset(): number {
    return this.#nextOffset;
  }

  get inFlightBytes(): number {
    return this.#inFlightBytes;
  }

  /** The next message has to tell the follower to begin anew, at the first batch that the leader still has. */
  get needsReset(): boolean {
    return this.#reset;
  }

  /** Epoch before `nextOffset`, by the log, or as it was sent if retention has taken the log that far; 0: not known. */
  previousEpoch(log: LeaderLog): number {
    return this.#nextOffset > log.startOffset ? log.epochAt(this.#nextOffset - 1) : this.#sentEpoch;
  }

  /**
   * Batch bytes that the next message may carry; 0: it may carry none (a probe, or the window is full). A reset carries the
   * first batches, so that a follower that has them can tell that it needs no reset.
   */
  get roomBytes(): number {
    if (this.#state === 'probe' && !this.#reset) return 0;
    return Math.max(0, this.#limits.windowBytes - this.#inFlightBytes);
  }

  /** Whether a message may be sent at all. */
  maySend(nowMs: number): boolean {
    if (nowMs < this.#pausedUntilMs) return false;
    const { size } = this.#inFlight;
    return this.#state === 'probe' ? size === 0 : size < this.#limits.windowMessages;
  }

  /** Whether there is a reason to send: a place to find, batches, or a watermark or log start that the follower does not know. */
  wantsToSend(leader: Watermarks & { readonly sendableEnd: number }): boolean {
    if (this.#state === 'probe') return true;
    if (this.#nextOffset < leader.sendableEnd && this.roomBytes > 0) return true;
    return leader.highWatermark > this.#sentHighWatermark || leader.startOffset > this.#sentStartOffset;
  }

  /** A message went out that ends at `endOffset`: behind its batches, or at `nextOffset` if it had none. */
  onSent(sent: InFlight & Watermarks & { readonly lastEpoch: number }): void {
    const { correlationId, bytes, endOffset, startOffset } = sent;
    this.#inFlight.push({ correlationId, bytes, endOffset, startOffset });
    this.#inFlightBytes += bytes;
    this.#nextOffset = endOffset;
    if (bytes > 0) this.#sentEpoch = sent.lastEpoch;
    this.#sentHighWatermark = sent.highWatermark;
    this.#sentStartOffset = startOffset;
  }

  /** The follower's log equals the leader's up to what this message had carried. False for an answer that is not awaited. */
  onMatch(correlationId: number): boolean {
    if (!this.#answered(correlationId)) return false;
    this.#state = 'replicate';
    this.#reset = false;
    this.#failures = 0;
    return true;
  }

  /**
   * The follower could not place the message. Moves to where the search goes on; false for an answer that is not awaited.
   * A probe that leads to itself (the follower's log begins behind the leader's end) waits until `retryAtMs` before it is repeated.
   */
  onDiverged(
    correlationId: number,
    follower: { readonly epoch: number; readonly endOffset: number },
    log: LeaderLog,
    retryAtMs: number,
  ): boolean {
    const probed = this.#state === 'probe' ? this.#nextOffset : undefined;
    if (!this.#answered(correlationId)) return false;
    const place = commonEnd(follower, log);
    this.#realign(correlationId, Math.max(place, log.startOffset), place < log.startOffset);
    if (this.#nextOffset === probed && !this.#reset) {
      this.#pausedUntilMs = retryAtMs;
      this.#failures++;
    }
    return true;
  }

  /** The follower refused or is not ready. Probes at `place` again, not before `retryAtMs`. */
  onRefused(correlationId: number, place: number, retryAtMs: number): boolean {
    if (!this.#answered(correlationId)) return false;
    this.#realign(correlationId, place, this.#reset);
    this.#pausedUntilMs = retryAtMs;
    this.#failures++;
    return true;
  }

  /** The follower's log has failed. Probes at `place`, not before `retryAtMs`; answers to what was sent before change nothing. */
  onFailed(place: number, nextCorrelationId: number, retryAtMs: number): void {
    this.#realign(nextCorrelationId - 1, place, false);
    this.#pausedUntilMs = retryAtMs;
    this.#failures++;
  }

  /** Sends nothing before `untilMs`. */
  pause(untilMs: number): void {
    this.#pausedUntilMs = untilMs;
  }

  /** Nothing is sent before, by the monotonic clock. */
  get pausedUntilMs(): number {
    return this.#pausedUntilMs;
  }

  /** Log start of the last message that was answered: a follower that has matched up to there begins there, too. */
  get answeredStartOffset(): number {
    return this.#answeredStartOffset;
  }

  /** Batch bytes of all messages that were answered. */
  get answeredBytes(): number {
    return this.#answeredBytes;
  }

  /** How often in a row the follower has refused. */
  get failures(): number {
    return this.#failures;
  }

  /** The stream is gone: what was in flight may or may not have arrived. `place` is where to probe first. */
  onDisconnected(place: number, nextCorrelationId: number): void {
    this.#realign(nextCorrelationId - 1, place, false);
    this.#sentHighWatermark = -1;
  }

  /** The leader's log start has passed the place: what the follower lacks is gone. */
  onLogStartPassed(startOffset: number, nextCorrelationId: number): void {
    this.#realign(nextCorrelationId - 1, startOffset, true);
  }

  #realign(lastCorrelationId: number, nextOffset: number, reset: boolean): void {
    while (this.#inFlight.size > 0) {
      const dropped = this.#inFlight.shift();
      this.#firstCorrelationId = Math.max(this.#firstCorrelationId, (dropped?.correlationId ?? 0) + 1);
    }
    this.#firstCorrelationId = Math.max(this.#firstCorrelationId, lastCorrelationId + 1);
    this.#inFlightBytes = 0;
    this.#sentEpoch = 0;
    this.#state = 'probe';
    this.#nextOffset = nextOffset;
    this.#reset = reset;
  }

  #answered(correlationId: number): boolean {
    if (correlationId < this.#firstCorrelationId) return false;
    const oldest = this.#inFlight.peek();
    if (oldest === undefined || oldest.correlationId > correlationId) return false;
    // Answers of one partition come in order; one that is missing was for a message that the follower dropped.
    for (let sent = this.#inFlight.peek(); sent !== undefined && sent.correlationId <= correlationId; ) {
      this.#inFlight.shift();
      this.#inFlightBytes -= sent.bytes;
      this.#answeredBytes += sent.bytes;
      this.#answeredStartOffset = sent.startOffset;
      sent = this.#inFlight.peek();
    }
    return true;
  }
}

/** The last place at which the two logs can be equal, by what the follower says of its largest epoch not above the asked one. */
function commonEnd(follower: { readonly epoch: number; readonly endOffset: number }, log: LeaderLog): number {
  // No such epoch: all that the follower can offer is its log start, before which everything is committed.
  if (follower.epoch === 0) return Math.min(follower.endOffset, log.sendableEnd);
  const own = log.endOffsetForEpoch(follower.epoch);
  const place = own.epoch === follower.epoch ? Math.min(own.endOffset, follower.endOffset) : own.endOffset;
  return Math.min(place, log.sendableEnd);
}
