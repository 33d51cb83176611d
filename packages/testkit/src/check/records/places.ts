/** Where the values of one partition were found: polled there, or acknowledged there so that it binds. In no order. */
import { type Column, floats, integers, none } from './columns.ts';
import type { Ledger, Partition } from './ledger.ts';
import type { Rules } from './rules.ts';

export interface Places {
  readonly value: Column;
  readonly offset: Column;
  /** Since when it is known to be there. */
  readonly knownMs: Column;
  /** The operation that polled it there; none: it was acknowledged. */
  readonly reader: Column;
}

export function collectPlaces(ledger: Ledger, rules: Rules, partition: Partition): Places {
  const places = { value: integers(), offset: floats(), knownMs: floats(), reader: integers() };
  const { returnedMs } = ledger.operations;
  const { ackedOffset, readOffset, reader, sender } = ledger.values;
  const add = (value: number, offset: number, by: { readonly reader: number; readonly operation: number }): void => {
    places.value.push(value);
    places.offset.push(offset);
    places.knownMs.push(returnedMs.at(by.operation));
    places.reader.push(by.reader);
  };
  for (const value of partition.values.values()) {
    if (rules.isPlaced(value)) add(value, ackedOffset.at(value), { reader: none, operation: sender.at(value) });
    if (readOffset.at(value) < 0) continue;
    add(value, readOffset.at(value), { reader: reader.at(value), operation: reader.at(value) });
    for (const other of ledger.otherPlaces.get(value) ?? []) {
      add(value, other.offset, { reader: other.reader, operation: other.reader });
    }
  }
  return places;
}

/** The offsets at which a value was found, ascending. */
export function offsetsOf(ledger: Ledger, rules: Rules, value: number): readonly number[] {
  const read = ledger.values.readOffset.at(value);
  const others = ledger.otherPlaces.get(value);
  const acked = rules.isPlaced(value) ? ledger.values.ackedOffset.at(value) : -1;
  if (others === undefined && (acked === read || acked < 0 || read < 0)) {
    const only = Math.max(acked, read);
    return only < 0 ? [] : [only];
  }
  const all = new Set([acked, read, ...(others ?? []).map(({ offset }) => offset)]);
  return [...all].filter((offset) => offset >= 0).sort((left, right) => left - right);
}
