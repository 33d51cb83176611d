/**
 * What the leader knows of one member's log, and whether it may send to it. All flow control lives here.
 *
 * States. Probe: the end of the follower's log is a guess; one append with entries per heartbeat interval, until one is
 * accepted or a rejection moves `next`. Replicate: the logs match up to `match`; appends are pipelined, `next` runs ahead,
 * within the window of `inflights`. Snapshot: the entries that the follower needs are compacted; nothing is sent until it
 * reports an index that the log still reaches, or the host reports how the transfer ended.
 * Invariants: 0 <= match < next; pendingSnapshot is zero outside Snapshot, where `next` starts behind it.
 * Source: dissertation sections 3.5 and 10.2; etcd's tracker.Progress.
 */
import type { LogIndex } from '@fleetmq/shared';
import { Inflights } from './inflights.ts';
import { higherIndex, lowerIndex, noIndex, shift } from './messages.ts';

export type ProgressState = 'StateProbe' | 'StateReplicate' | 'StateSnapshot';

export interface ProgressOptions {
  readonly match: LogIndex;
  readonly next: LogIndex;
  readonly isLearner: boolean;
  readonly recentActive: boolean;
  readonly maxInflightMsgs: number;
  readonly maxInflightBytes: number;
}

export class Progress {
  /** The follower's log is known to match the leader's up to here. */
  match: LogIndex;
  /** The next entry to send; those between `match` and here are in flight. */
  next: LogIndex;
  state: ProgressState = 'StateProbe';
  /** In StateSnapshot: index of the snapshot that was sent. */
  pendingSnapshot: LogIndex = noIndex;
  /** Something was heard of it since the last check of the quorum. */
  recentActive: boolean;
  /** No append until an answer or the next heartbeat answer comes. */
  appendsPaused = false;
  isLearner: boolean;
  readonly inflights: Inflights;
  /** Highest commit index on its way to the follower; falls back when messages are known to be lost. */
  #sentCommit: LogIndex = noIndex;

  constructor(options: ProgressOptions, inflights?: Inflights) {
    this.match = options.match;
    this.next = options.next;
    this.isLearner = options.isLearner;
    this.recentActive = options.recentActive;
    this.inflights = inflights ?? new Inflights(options.maxInflightMsgs, options.maxInflightBytes);
  }

  #enter(state: ProgressState): void {
    this.appendsPaused = false;
    this.pendingSnapshot = noIndex;
    this.state = state;
    this.inflights.reset();
  }

  /** Starts probing behind what is known to match, or behind the snapshot if one was sent and not reported as failed. */
  becomeProbe(): void {
    const behindSnapshot = this.state === 'StateSnapshot' ? shift(this.pendingSnapshot, 1) : noIndex;
    this.#enter('StateProbe');
    this.next = higherIndex(shift(this.match, 1), behindSnapshot);
    this.#regressSentCommit();
  }

  becomeReplicate(): void {
    this.#enter('StateReplicate');
    this.next = shift(this.match, 1);
  }

  becomeSnapshot(index: LogIndex): void {
    this.#enter('StateSnapshot');
    this.pendingSnapshot = index;
    this.next = shift(index, 1);
    this.#sentCommit = index;
  }

  /** An append with `count` entries of `bytes` payload was sent. Never in StateSnapshot. */
  sentEntries(count: number, bytes: number): void {
    if (this.state === 'StateReplicate') {
      if (count > 0) {
        this.next = shift(this.next, count);
        this.inflights.add(this.next - 1, bytes);
      }
      // What fills the window, or goes out while it is full, counts as a probe: the next one waits for an answer.
      this.appendsPaused = this.inflights.isFull;
    } else if (count > 0) {
      this.appendsPaused = true;
    }
  }

  sentCommit(commit: LogIndex): void {
    this.#sentCommit = commit;
  }

  /** Whether sending `commit` may move the follower's commit index; it never goes beyond the entries sent. */
  canBumpCommit(commit: LogIndex): boolean {
    return commit > this.#sentCommit && this.#sentCommit < this.next - 1;
  }

  /** The follower acknowledged `index`. False for an outdated answer, which changes nothing. */
  maybeUpdate(index: LogIndex): boolean {
    if (index <= this.match) return false;
    this.match = index;
    this.next = higherIndex(this.next, shift(index, 1));
    this.appendsPaused = false;
    return true;
  }

  /**
   * The follower rejected the append behind `rejected` and suggests that the logs may match at `matchHint`.
   * False for a rejection that is stale, because it was reordered or doubled: nothing changes.
   */
  maybeDecrease(rejected: LogIndex, matchHint: LogIndex): boolean {
    if (this.state === 'StateReplicate') {
      if (rejected <= this.match) return false;
      this.next = shift(this.match, 1);
      this.#regressSentCommit();
      return true;
    }
    // Probes go out one at a time, so a genuine rejection is about the last one.
    if (this.next - 1 !== rejected) return false;
    this.next = higherIndex(lowerIndex(rejected, shift(matchHint, 1)), shift(this.match, 1));
    this.#regressSentCommit();
    this.appendsPaused = false;
    return true;
  }

  get isPaused(): boolean {
    return this.state === 'StateSnapshot' || this.appendsPaused;
  }

  /** A copy that shares nothing: for status, and for a configuration that is being tried. */
  clone(): Progress {
    const copy = new Progress(
      {
        match: this.match,
        next: this.next,
        isLearner: this.isLearner,
        recentActive: this.recentActive,
        maxInflightMsgs: 0,
        maxInflightBytes: 0,
      },
      this.inflights.clone(),
    );
    copy.state = this.state;
    copy.pendingSnapshot = this.pendingSnapshot;
    copy.appendsPaused = this.appendsPaused;
    copy.#sentCommit = this.#sentCommit;
    return copy;
  }

  #regressSentCommit(): void {
    this.#sentCommit = lowerIndex(this.#sentCommit, shift(this.next, -1));
  }
}
