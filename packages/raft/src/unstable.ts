/**
 * The tail of the log that storage does not have yet: entries, and at most one snapshot that is being installed.
 *
 * Two stages. Work that no Ready has carried yet is "next"; work that was handed out and not yet acknowledged is "in
 * progress". Both stay here, so that the log reads the same throughout, and leave only once storage is known to have them.
 * Position: entries[i] has index offset + i. Entries up to `offsetInProgress` (without it) are in progress.
 * Invariants: offset <= offsetInProgress <= offset + entries.length, and the snapshot's index is below offset.
 * `offset` may lie before the end of storage: the next write then cuts storage off there.
 * Source: etcd's log_unstable.go.
 */
import { assert, type LogIndex, type Term } from '@fleetmq/shared';
import type { RaftLogger } from './logger.ts';
import { type Entry, type EntryId, higherIndex, lastIndexOf, lowerIndex, type Snapshot, shift } from './messages.ts';

export class Unstable {
  /** Grows in place; nobody else ever holds this array. */
  #entries: Entry[] = [];
  #offset: LogIndex;
  #offsetInProgress: LogIndex;
  #snapshot: Snapshot | undefined;
  #isSnapshotInProgress = false;
  readonly #logger: RaftLogger;

  /** `offset`: one behind the last index of storage. */
  constructor(offset: LogIndex, logger: RaftLogger) {
    this.#offset = offset;
    this.#offsetInProgress = offset;
    this.#logger = logger;
  }

  get offset(): LogIndex {
    return this.#offset;
  }

  get offsetInProgress(): LogIndex {
    return this.#offsetInProgress;
  }

  /** Number of entries, next and in progress. */
  get length(): number {
    return this.#entries.length;
  }

  /** Next or in progress. */
  get snapshot(): Snapshot | undefined {
    return this.#snapshot;
  }

  /** Undefined when only storage knows. */
  firstIndex(): LogIndex | undefined {
    return this.#snapshot === undefined ? undefined : shift(this.#snapshot.index, 1);
  }

  /** Undefined when only storage knows. */
  lastIndex(): LogIndex | undefined {
    if (this.#entries.length > 0) return lastIndexOf(this.#entries);
    return this.#snapshot?.index;
  }

  /** Undefined when the index is not here. */
  term(index: LogIndex): Term | undefined {
    if (index < this.#offset) return this.#snapshot?.index === index ? this.#snapshot.term : undefined;
    return this.#entries[index - this.#offset]?.term;
  }

  nextEntries(): readonly Entry[] {
    return this.#entries.slice(this.#offsetInProgress - this.#offset);
  }

  nextSnapshot(): Snapshot | undefined {
    return this.#isSnapshotInProgress ? undefined : this.#snapshot;
  }

  /** All that is next becomes in progress: a Ready took it. */
  acceptInProgress(): void {
    if (this.#entries.length > 0) this.#offsetInProgress = shift(lastIndexOf(this.#entries), 1);
    if (this.#snapshot !== undefined) this.#isSnapshotInProgress = true;
  }

  /**
   * Storage has the log up to this entry. The caller vouches that no write in progress will overwrite it; an entry that
   * is not here, or was replaced meanwhile, is ignored.
   */
  stableTo(id: EntryId): void {
    const term = this.term(id.index);
    if (term === undefined) {
      this.#logger.info(`entry at index ${id.index} missing from unstable log; ignoring`);
      return;
    }
    if (id.index < this.#offset) {
      this.#logger.info(`entry at index ${id.index} matched unstable snapshot; ignoring`);
      return;
    }
    if (term !== id.term) {
      this.#logger.info(
        `entry at (index,term)=(${id.index},${id.term}) mismatched with entry at (${id.index},${term}) in unstable log; ignoring`,
      );
      return;
    }
    this.#entries = this.#entries.slice(id.index + 1 - this.#offset);
    this.#offset = shift(id.index, 1);
    this.#offsetInProgress = higherIndex(this.#offsetInProgress, this.#offset);
  }

  /** Storage has the snapshot at this index; another one is left alone. */
  stableSnapshotTo(index: LogIndex): void {
    if (this.#snapshot?.index !== index) return;
    this.#snapshot = undefined;
    this.#isSnapshotInProgress = false;
  }

  /** The log becomes this snapshot with nothing behind it. */
  restore(snapshot: Snapshot): void {
    this.#offset = shift(snapshot.index, 1);
    this.#offsetInProgress = this.#offset;
    this.#entries = [];
    this.#snapshot = snapshot;
    this.#isSnapshotInProgress = false;
  }

  /** Puts `entries` (not empty) at their indexes; what was there or behind is dropped. */
  truncateAndAppend(entries: readonly Entry[]): void {
    const from = (entries[0] as Entry).index;
    assert(from <= this.#offset + this.#entries.length, `entries from ${from} leave a gap in the unstable log`);
    if (from === this.#offset + this.#entries.length) {
      for (const entry of entries) this.#entries.push(entry);
    } else if (from <= this.#offset) {
      this.#logger.info(`replace the unstable entries from index ${from}`);
      this.#entries = [...entries];
      this.#offset = from;
      this.#offsetInProgress = from;
    } else {
      this.#logger.info(`truncate the unstable entries before index ${from}`);
      this.#entries = [...this.slice(this.#offset, from), ...entries];
      this.#offsetInProgress = lowerIndex(this.#offsetInProgress, from);
    }
  }

  /** Entries from `low` up to and without `high`, all of which must be here. */
  slice(low: LogIndex, high: LogIndex): readonly Entry[] {
    assert(low <= high, `invalid unstable.slice ${low} > ${high}`);
    const upper = this.#offset + this.#entries.length;
    assert(
      low >= this.#offset && high <= upper,
      `unstable.slice[${low},${high}) out of bound [${this.#offset},${upper}]`,
    );
    return this.#entries.slice(low - this.#offset, high - this.#offset);
  }
}
