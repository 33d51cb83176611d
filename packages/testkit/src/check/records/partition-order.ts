/**
 * What is known of one log: the offsets at which something was polled, or acknowledged so that it binds, in order. Offsets have
 * gaps (markers of transactions, compaction), hence ranks: the rank of an offset is how many known ones are smaller.
 *
 * A record is required when no reader may pass it over: not one that lies behind the start of the log, has a successor of its key in
 * a compacted topic, or may have been aborted.
 */
import { none } from './columns.ts';
import type { Ledger, Partition } from './ledger.ts';
import { collectPlaces, type Places } from './places.ts';
import type { Rules } from './rules.ts';

export class PartitionOrder {
  /** By offset: the values of those that have several. */
  readonly conflicts: ReadonlyMap<number, ReadonlySet<number>>;
  /** What lies highest of all that was polled, and who polled it; -1: nothing was. */
  readonly highestRead: { readonly offset: number; readonly reader: number };
  readonly #offsets: Float64Array;
  /** By rank. */
  readonly #values: Uint32Array;
  /** By rank: how many required ones are smaller. */
  readonly #required: Uint32Array;
  /** By rank: since when a required record is known at it or above. */
  readonly #newerSinceMs: Float64Array;

  constructor(ledger: Ledger, rules: Rules, partition: Partition) {
    const places = collectPlaces(ledger, rules, partition);
    this.#offsets = distinctOffsets(places);
    this.highestRead = highestReadOf(places);
    const { values, knownMs, conflicts } = this.#settle(places);
    this.#values = values;
    this.conflicts = conflicts;
    const superseded = rules.isCompacted(partition) ? supersededOf(ledger, values) : undefined;
    const start = rules.logStart(partition);
    const isRequired = (rank: number): boolean => {
      const isThere = (this.#offsets[rank] as number) >= start && superseded?.has(rank) !== true;
      return isThere && rules.isCommitted(values[rank] as number);
    };
    this.#required = new Uint32Array(values.length + 1);
    this.#newerSinceMs = new Float64Array(values.length + 1).fill(Number.POSITIVE_INFINITY);
    for (let rank = 0; rank < values.length; rank++) {
      this.#required[rank + 1] = (this.#required[rank] as number) + (isRequired(rank) ? 1 : 0);
    }
    for (let rank = values.length - 1; rank >= 0; rank--) {
      const newerMs = this.#newerSinceMs[rank + 1] as number;
      this.#newerSinceMs[rank] = isRequired(rank) ? Math.min(newerMs, knownMs[rank] as number) : newerMs;
    }
  }

  /** How many records between two offsets nobody may pass over. */
  requiredBetween(after: number, before: number): number {
    const passed =
      (this.#required[this.#rankOf(before)] as number) - (this.#required[this.#rankOf(after + 1)] as number);
    return Math.max(0, passed);
  }

  isRequired(offset: number): boolean {
    return this.requiredBetween(offset - 1, offset + 1) > 0;
  }

  /** What is known to lie between two offsets and may not be passed over: the first values, in order. */
  valuesBetween(after: number, before: number, countMax: number): readonly number[] {
    const found: number[] = [];
    for (let rank = this.#rankOf(after + 1); rank < this.#rankOf(before) && found.length < countMax; rank++) {
      if (this.isRequired(this.#offsets[rank] as number)) found.push(this.#values[rank] as number);
    }
    return found;
  }

  /** Since when a required record above an offset is known; Infinity: there is none. */
  newerSinceMs(offset: number): number {
    return this.#newerSinceMs[this.#rankOf(offset + 1)] as number;
  }

  #rankOf(offset: number): number {
    const offsets = this.#offsets;
    // Most logs have no gaps.
    const guess = offset - (offsets[0] ?? 0);
    if (guess >= 0 && offsets[guess] === offset) return guess;
    let low = 0;
    let high = offsets.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((offsets[middle] as number) < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #settle({ value, offset, knownMs }: Places) {
    const ranks = this.#offsets.length;
    const values = new Uint32Array(ranks).fill(none);
    const since = new Float64Array(ranks).fill(Number.POSITIVE_INFINITY);
    const conflicts = new Map<number, Set<number>>();
    for (let row = 0; row < value.length; row++) {
      const rank = this.#rankOf(offset.at(row));
      since[rank] = Math.min(since[rank] as number, knownMs.at(row));
      const other = values[rank] as number;
      if (other === none) values[rank] = value.at(row);
      else if (other !== value.at(row)) {
        const all = conflicts.get(offset.at(row)) ?? new Set([other]);
        conflicts.set(offset.at(row), all.add(value.at(row)));
      }
    }
    return { values, knownMs: since, conflicts };
  }
}

function distinctOffsets({ offset }: Places): Float64Array {
  const sorted = new Float64Array(offset.length);
  for (let row = 0; row < offset.length; row++) sorted[row] = offset.at(row);
  sorted.sort();
  return sorted.filter((each, position) => position === 0 || each !== sorted[position - 1]);
}

function highestReadOf({ offset, reader }: Places): PartitionOrder['highestRead'] {
  let highest = { offset: -1, reader: none };
  for (let row = 0; row < offset.length; row++) {
    const isRead = reader.at(row) !== none;
    if (isRead && offset.at(row) > highest.offset) highest = { offset: offset.at(row), reader: reader.at(row) };
  }
  return highest;
}

/** The ranks of records that have a later one of their key. */
function supersededOf(ledger: Ledger, values: Uint32Array): ReadonlySet<number> {
  const later = new Set<number>();
  const superseded = new Set<number>();
  for (let rank = values.length - 1; rank >= 0; rank--) {
    const key = ledger.values.key.at(values[rank] as number);
    if (key === none) continue;
    if (later.has(key)) superseded.add(rank);
    later.add(key);
  }
  return superseded;
}
