/**
 * RaftStorage in memory: for tests, for transcripts, and as the in-memory part of a host's storage. Besides the reads
 * that the core makes it has the writes that a host makes: what a Ready asks for, new snapshots, compaction.
 * Layout: `#entries[0]` is a stand-in for the last compacted entry (index and term only), so that positions are
 * differences of indexes and the term before the first entry is known.
 */
import { assert, DomainError, type LogIndex, type Term } from '@fleetmq/shared';
import { limitEntries } from './entry-size.ts';
import {
  type ConfState,
  type Entry,
  emptyBytes,
  emptyConfState,
  emptyHardState,
  type HardState,
  noIndex,
  noTerm,
  type Snapshot,
  shift,
} from './messages.ts';
import type { RaftStorage } from './storage.ts';

export class MemoryStorage implements RaftStorage {
  #hardState: HardState = emptyHardState;
  #snapshot: Snapshot = { index: noIndex, term: noTerm, confState: emptyConfState, data: emptyBytes };
  #entries: Entry[] = [standIn(noIndex, noTerm)];

  initialState(): { hardState: HardState; confState: ConfState } {
    return { hardState: this.#hardState, confState: this.#snapshot.confState };
  }

  entries(low: LogIndex, high: LogIndex, maxBytes: number): readonly Entry[] | undefined {
    const offset = this.#offset();
    if (low <= offset) return undefined;
    assert(high <= this.lastIndex() + 1, `entries' hi(${high}) is out of bound lastindex(${this.lastIndex()})`);
    return limitEntries(this.#entries.slice(low - offset, high - offset), maxBytes);
  }

  term(index: LogIndex): Term | undefined {
    return this.#entries[index - this.#offset()]?.term;
  }

  lastIndex(): LogIndex {
    return shift(this.#offset(), this.#entries.length - 1);
  }

  firstIndex(): LogIndex {
    return shift(this.#offset(), 1);
  }

  snapshot(): Snapshot | undefined {
    return this.#snapshot;
  }

  setHardState(state: HardState): void {
    this.#hardState = state;
  }

  /**
   * Appends; entries from the first of `entries` on are replaced, compacted ones are skipped.
   * A gap behind the last entry is a bug of the caller.
   */
  append(entries: readonly Entry[]): void {
    const live = entries.filter((entry) => entry.index >= this.firstIndex());
    const first = live[0];
    if (first === undefined) return;
    const position = first.index - this.#offset();
    assert(
      position <= this.#entries.length,
      `missing log entry [last: ${this.lastIndex()}, append at: ${first.index}]`,
    );
    // In place: readers hold copies of ranges, never this array.
    this.#entries.length = position;
    for (const entry of live) this.#entries.push(entry);
  }

  /** Replaces log and snapshot by one that came from another node. Throws STALE_EPOCH for one that is not newer. */
  applySnapshot(snapshot: Snapshot): void {
    if (this.#snapshot.index !== 0 && this.#snapshot.index >= snapshot.index) {
      throw new DomainError('STALE_EPOCH', 'requested index is older than the existing snapshot');
    }
    this.#snapshot = snapshot;
    this.#entries = [standIn(snapshot.index, snapshot.term)];
  }

  /** Makes a snapshot of the state after `index`; the log stays. Throws STALE_EPOCH for one that is not newer. */
  createSnapshot(index: LogIndex, confState: ConfState, data: Uint8Array): Snapshot {
    if (index <= this.#snapshot.index) {
      throw new DomainError('STALE_EPOCH', 'requested index is older than the existing snapshot');
    }
    assert(index <= this.lastIndex(), `snapshot ${index} is out of bound lastindex(${this.lastIndex()})`);
    this.#snapshot = { index, term: this.term(index) ?? noTerm, confState, data };
    return this.#snapshot;
  }

  /** Drops all entries up to and with `index`, which must be applied. Throws INVALID_REQUEST when it is gone already. */
  compact(index: LogIndex): void {
    const offset = this.#offset();
    if (index <= offset) {
      throw new DomainError('INVALID_REQUEST', 'requested index is unavailable due to compaction');
    }
    assert(index <= this.lastIndex(), `compact ${index} is out of bound lastindex(${this.lastIndex()})`);
    const kept = this.#entries.slice(index - offset);
    kept[0] = standIn(index, this.term(index) ?? noTerm);
    this.#entries = kept;
  }

  #offset(): LogIndex {
    return (this.#entries[0] as Entry).index;
  }
}

function standIn(index: LogIndex, term: Term): Entry {
  return { index, term, type: 'EntryNormal', data: emptyBytes };
}
