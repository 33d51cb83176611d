/**
 * Sizes of entries in bytes, for every limit of the core. Two measures exist:
 * the encoded size (with term, index and type) bounds messages, reads from storage and what is handed out for applying;
 * the payload size (data alone) bounds what a leader may have uncommitted and in flight, so that empty entries are free.
 * The encoded size is that of the protobuf message Entry of etcd's raftpb: type, term and index as varints, data as bytes.
 */
import { varintSize } from '@fleetmq/shared';
import type { Entry } from './messages.ts';

export function entrySize(entry: Entry): number {
  const length = entry.data.length;
  const dataSize = length === 0 ? 0 : 1 + varintSize(length) + length;
  return 4 + varintSize(entry.term) + varintSize(entry.index) + dataSize;
}

export function entriesSize(entries: readonly Entry[]): number {
  let size = 0;
  for (const entry of entries) size += entrySize(entry);
  return size;
}

export function payloadSize(entries: readonly Entry[]): number {
  let size = 0;
  for (const entry of entries) size += entry.data.length;
  return size;
}

/** The longest prefix whose encoded size is at most `maxBytes`, but at least one entry if there is any. */
export function limitEntries(entries: readonly Entry[], maxBytes: number): readonly Entry[] {
  let size = 0;
  for (let count = 0; count < entries.length; count++) {
    size += entrySize(entries[count] as Entry);
    if (size > maxBytes && count > 0) return entries.slice(0, count);
  }
  return entries;
}
