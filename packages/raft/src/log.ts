/**
 * The log as the core sees it: storage below, the unstable tail above, and three marks that only rise.
 *
 * committed: known to be on a quorum's disks. applying: handed out to be applied. applied: acknowledged as applied.
 * Invariant: applied <= applying <= committed <= last index. Committed entries are never overwritten; an attempt is a
 * broken protocol or a lost disk and stops the process.
 * What is handed out for applying is bounded: `maxApplyingBytes` counts from hand-out to acknowledgement.
 */
import { assert, type LogIndex, type Term } from '@fleetmq/shared';
import { entriesSize, limitEntries } from './entry-size.ts';
import type { RaftLogger } from './logger.ts';
import {
  type Entry,
  type EntryId,
  higherIndex,
  lowerIndex,
  type NodeId,
  noIndex,
  noTerm,
  type Snapshot,
  shift,
} from './messages.ts';
import type { RaftStorage } from './storage.ts';
import { Unstable } from './unstable.ts';

/** A piece of log as an append carries it: entries that follow the entry `previous`. */
export interface LogSlice {
  readonly previous: EntryId;
  readonly entries: readonly Entry[];
}

export class RaftLog {
  readonly #storage: RaftStorage;
  readonly #logger: RaftLogger;
  readonly #maxApplyingBytes: number;
  readonly unstable: Unstable;
  #committed: LogIndex;
  #applying: LogIndex;
  #applied: LogIndex;
  #applyingBytes = 0;
  #isApplyingPaused = false;

  constructor(storage: RaftStorage, logger: RaftLogger, maxApplyingBytes: number) {
    this.#storage = storage;
    this.#logger = logger;
    this.#maxApplyingBytes = maxApplyingBytes;
    this.unstable = new Unstable(shift(storage.lastIndex(), 1), logger);
    // What is compacted was applied before.
    const compacted = shift(storage.firstIndex(), -1);
    this.#committed = compacted;
    this.#applying = compacted;
    this.#applied = compacted;
  }

  get committed(): LogIndex {
    return this.#committed;
  }

  get applied(): LogIndex {
    return this.#applied;
  }

  firstIndex(): LogIndex {
    return this.unstable.firstIndex() ?? this.#storage.firstIndex();
  }

  lastIndex(): LogIndex {
    return this.unstable.lastIndex() ?? this.#storage.lastIndex();
  }

  lastEntryId(): EntryId {
    const index = this.lastIndex();
    const term = this.term(index);
    assert(term !== undefined, `the term of the last entry ${index} is unknown`);
    return { index, term };
  }

  committedEntryId(): EntryId {
    return { index: this.#committed, term: this.term(this.#committed) ?? noTerm };
  }

  /** Undefined when the entry is compacted (but for the last compacted one) or not there yet. */
  term(index: LogIndex): Term | undefined {
    const term = this.unstable.term(index);
    if (term !== undefined) return term;
    if (index + 1 < this.firstIndex() || index > this.lastIndex()) return undefined;
    return this.#storage.term(index);
  }

  matches(id: EntryId): boolean {
    return this.term(id.index) === id.term;
  }

  /** Whether a log that ends with `last` holds all that is committed here: later term, or as long in the same term. */
  isUpToDate(last: EntryId): boolean {
    const own = this.lastEntryId();
    return last.term > own.term || (last.term === own.term && last.index >= own.index);
  }

  /**
   * Appends what a leader sent, if the logs agree at its previous entry; conflicting entries give way. Returns the index of
   * the slice's last entry, which then matches the leader's log, or undefined when the logs do not agree.
   */
  maybeAppend(slice: LogSlice, commit: LogIndex): LogIndex | undefined {
    if (!this.matches(slice.previous)) return undefined;
    const last = shift(slice.previous.index, slice.entries.length);
    const fresh = this.#findConflict(slice.entries);
    if (fresh !== undefined) {
      assert(fresh > this.#committed, `entry ${fresh} conflict with committed entry [committed(${this.#committed})]`);
      this.append(slice.entries.slice(fresh - slice.previous.index - 1));
    }
    this.commitTo(lowerIndex(commit, last));
    return last;
  }

  append(entries: readonly Entry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    assert(first.index > this.#committed, `after(${first.index - 1}) is out of range [committed(${this.#committed})]`);
    this.unstable.truncateAndAppend(entries);
  }

  /** Index of the first entry that is not in the log as it is given, whether it conflicts or is new. */
  #findConflict(entries: readonly Entry[]): LogIndex | undefined {
    for (const entry of entries) {
      if (this.matches(entry)) continue;
      if (entry.index <= this.lastIndex()) {
        this.#logger.info(
          `found conflict at index ${entry.index} [existing term: ${this.term(entry.index) ?? noTerm}, conflicting term: ${entry.term}]`,
        );
      }
      return entry.index;
    }
    return undefined;
  }

  /**
   * The best guess where this log and another one part, given that the other's entry at `index` has `term`: the highest
   * index up to `index` whose term is not above `term`, or is unknown (then with term 0). Skips a whole diverging tail at
   * once, since terms never fall along a log. Leader and follower both use it on each other's hints.
   */
  findConflictByTerm(index: LogIndex, term: Term): EntryId {
    for (let guess = index; guess > 0; guess = shift(guess, -1)) {
      const own = this.term(guess);
      if (own === undefined) return { index: guess, term: noTerm };
      if (own <= term) return { index: guess, term: own };
    }
    return { index: noIndex, term: noTerm };
  }

  /** Raises the commit index; never lowers it. */
  commitTo(index: LogIndex): void {
    if (index <= this.#committed) return;
    const last = this.lastIndex();
    assert(
      index <= last,
      `tocommit(${index}) is out of range [lastIndex(${last})]. Was the raft log corrupted, truncated, or lost?`,
    );
    this.#committed = index;
  }

  /** Commits up to `id` when it is new and the entry there has this term: older terms commit only along with their own. */
  maybeCommit(id: EntryId): boolean {
    if (id.index <= this.#committed || id.term === 0 || !this.matches(id)) return false;
    this.commitTo(id.index);
    return true;
  }

  /** Takes over the commit index of the hard state at the start, which may lag behind what was compacted. */
  loadCommit(index: LogIndex, id: NodeId): void {
    assert(
      index <= this.lastIndex(),
      `${id.toString(16)} state.commit ${index} is out of range [${this.#committed}, ${this.lastIndex()}]`,
    );
    this.#committed = higherIndex(this.#committed, index);
  }

  /** Entries `low` up to and without `high`, limited by encoded size, at least one. Undefined when `low` is compacted. */
  slice(low: LogIndex, high: LogIndex, maxBytes: number): readonly Entry[] | undefined {
    assert(low <= high, `invalid slice ${low} > ${high}`);
    if (low < this.firstIndex()) return undefined;
    assert(
      high <= this.lastIndex() + 1,
      `slice[${low},${high}) out of bound [${this.firstIndex()},${this.lastIndex()}]`,
    );
    if (low === high) return [];
    const offset = this.unstable.offset;
    if (low >= offset) return limitEntries(this.unstable.slice(low, high), maxBytes);

    const cut = lowerIndex(high, offset);
    const stored = this.#storage.entries(low, cut, maxBytes);
    if (stored === undefined) return undefined;
    assert(stored.length > 0, `entries[${low}:${cut}) is unavailable from storage`);
    if (high <= offset || stored.length < cut - low) return stored;
    const storedBytes = entriesSize(stored);
    if (storedBytes >= maxBytes) return stored;
    const tail = limitEntries(this.unstable.slice(offset, high), maxBytes - storedBytes);
    // The limit always lets one entry pass; here there are others already.
    if (tail.length === 1 && storedBytes + entriesSize(tail) > maxBytes) return stored;
    return [...stored, ...tail];
  }

  /** Entries from `index` to the end of the log. Undefined when `index` is compacted. */
  entries(index: LogIndex, maxBytes: number): readonly Entry[] | undefined {
    const last = this.lastIndex();
    return index > last ? [] : this.slice(index, shift(last, 1), maxBytes);
  }

  /** Whether some entry of those committed and not yet applied satisfies `test`. Reads page by page. */
  someUnapplied(test: (entry: Entry) => boolean): boolean {
    let low = shift(this.#applied, 1);
    const high = shift(this.#committed, 1);
    while (low < high) {
      const page = this.slice(low, high, this.#maxApplyingBytes);
      assert(page !== undefined && page.length > 0, `got 0 entries in [${low}, ${high})`);
      if (page.some(test)) return true;
      low = shift(low, page.length);
    }
    return false;
  }

  /** Undefined when the host has none at hand. */
  snapshot(): Snapshot | undefined {
    return this.unstable.snapshot ?? this.#storage.snapshot();
  }

  /** `allowUnstable`: entries may be applied before they are on this node's disk (their quorum has them). */
  hasNextCommitted(allowUnstable: boolean): boolean {
    // A snapshot comes first: what to apply before what would otherwise be a question.
    if (this.#isApplyingPaused || this.unstable.snapshot !== undefined) return false;
    return this.#applying < this.#maxAppliable(allowUnstable);
  }

  nextCommitted(allowUnstable: boolean): readonly Entry[] {
    if (!this.hasNextCommitted(allowUnstable)) return [];
    const maxBytes = this.#maxApplyingBytes - this.#applyingBytes;
    assert(
      maxBytes > 0,
      `applying entry size (${this.#maxApplyingBytes}-${this.#applyingBytes})=${maxBytes} not positive`,
    );
    const high = shift(this.#maxAppliable(allowUnstable), 1);
    const entries = this.slice(shift(this.#applying, 1), high, maxBytes);
    assert(entries !== undefined, `entries behind ${this.#applying} were compacted before they were applied`);
    return entries;
  }

  /** A Ready took committed entries up to `index`, of `bytes` encoded size. */
  acceptApplying(index: LogIndex, bytes: number, allowUnstable: boolean): void {
    assert(
      index <= this.#committed,
      `applying(${index}) is out of range [prevApplying(${this.#applying}), committed(${this.#committed})]`,
    );
    this.#applying = index;
    this.#applyingBytes += bytes;
    // Also paused when the next entry did not fit any more: the entries taken end before what could be applied.
    this.#isApplyingPaused = this.#applyingBytes >= this.#maxApplyingBytes || index < this.#maxAppliable(allowUnstable);
  }

  appliedTo(index: LogIndex, bytes: number): void {
    assert(
      index <= this.#committed && index >= this.#applied,
      `applied(${index}) is out of range [prevApplied(${this.#applied}), committed(${this.#committed})]`,
    );
    this.#applied = index;
    this.#applying = higherIndex(this.#applying, index);
    this.#applyingBytes = Math.max(0, this.#applyingBytes - bytes);
    this.#isApplyingPaused = this.#applyingBytes >= this.#maxApplyingBytes;
  }

  /** The log becomes the snapshot. */
  restore(snapshot: Snapshot): void {
    this.#logger.info(
      `log [${this.describe()}] starts to restore snapshot [index: ${snapshot.index}, term: ${snapshot.term}]`,
    );
    this.#committed = snapshot.index;
    this.unstable.restore(snapshot);
  }

  describe(): string {
    const { offset, offsetInProgress, length } = this.unstable;
    return `committed=${this.#committed}, applied=${this.#applied}, applying=${this.#applying}, unstable.offset=${offset}, unstable.offsetInProgress=${offsetInProgress}, len(unstable.Entries)=${length}`;
  }

  #maxAppliable(allowUnstable: boolean): LogIndex {
    return allowUnstable ? this.#committed : lowerIndex(this.#committed, shift(this.unstable.offset, -1));
  }
}
