/**
 * The data of a normal log entry as the Raft core carries it: the leader's timestamp (8 bytes, milliseconds since 1970,
 * little endian), then the command's bytes. On the wire the two are fields of their own, `LogEntry.timestamp` and `data`.
 * Empty data is the no-op of a new term.
 */
import { assert, DomainError, viewOf } from '@fleetmq/shared';

const timestampBytes = 8;

export interface EntryData {
  /** A whole number. */
  readonly timestampMs: number;
  readonly command: Uint8Array;
}

export function joinEntryData(data: EntryData): Uint8Array {
  assert(Number.isSafeInteger(data.timestampMs), `timestamp ${data.timestampMs} is no whole number of milliseconds`);
  const bytes = new Uint8Array(timestampBytes + data.command.length);
  viewOf(bytes).setBigInt64(0, BigInt(data.timestampMs), true);
  bytes.set(data.command, timestampBytes);
  return bytes;
}

/** `command` is a view. Throws CORRUPT_LOG for bytes that `joinEntryData` did not make. */
export function splitEntryData(bytes: Uint8Array): EntryData {
  if (bytes.length < timestampBytes) throw new DomainError('CORRUPT_LOG', `an entry has ${bytes.length} bytes of data`);
  return { timestampMs: Number(viewOf(bytes).getBigInt64(0, true)), command: bytes.subarray(timestampBytes) };
}
