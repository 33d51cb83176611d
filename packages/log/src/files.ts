/**
 * Names of a log's files, and the envelope of the small ones (format.md): magic, version, payload, CRC-32. What does not
 * match to the last byte is not read at all: `openEnvelope` answers undefined, and the caller computes the file anew or
 * reports corruption. Nothing here decides which of the two it is.
 */
import {
  type Checksum,
  DomainError,
  isDomainError,
  type Offset,
  toOffset,
  WireReader,
  WireWriter,
} from '@fleetmq/shared';

export const checkpointName = 'checkpoint';
export const epochsName = 'epochs';
/** How far the log is compacted. */
export const compactionName = 'compaction';
/** Which segments a compacted one replaces. */
export const swapName = 'swap';
/** What a log that is being reset is to know of producers. */
export const seedName = 'seed';
const nameDigits = 20;
const version = 1;
const crcBytes = 4;

export type FileKind = 'log' | 'index' | 'producers' | 'cleaned';

/** `00000000000000000042.log` */
export function fileName(offset: number, kind: FileKind): string {
  return `${String(offset).padStart(nameDigits, '0')}.${kind}`;
}

/** The offset in a name of this kind; undefined for every other name. */
function offsetOfName(name: string, kind: FileKind): Offset | undefined {
  const match = /^([0-9]{20})\.([a-z]+)$/.exec(name);
  if (match === null || match[2] !== kind) return undefined;
  const offset = Number(match[1]);
  return Number.isSafeInteger(offset) ? toOffset(offset) : undefined;
}

/** Offsets of the names of this kind, rising. */
export function offsetsOfKind(names: readonly string[], kind: FileKind): Offset[] {
  const offsets = names.map((name) => offsetOfName(name, kind)).filter((offset) => offset !== undefined);
  return offsets.sort((a, b) => a - b);
}

/** Starts a file; the caller writes its payload and calls `sealEnvelope`. */
export function newEnvelope(magic: string): WireWriter {
  return new WireWriter(256).raw(new TextEncoder().encode(magic)).varint(version);
}

export function sealEnvelope(writer: WireWriter, checksum: Checksum): Uint8Array {
  return writer.fixed32(checksum.crc32(writer.finish())).finish().slice();
}

/** Reads a whole file with `read`, which must use up the payload. Undefined when the file is absent or damaged in any way. */
export function openEnvelope<Value>(
  bytes: Uint8Array | undefined,
  magic: string,
  checksum: Checksum,
  read: (reader: WireReader) => Value,
): Value | undefined {
  const expected = new TextEncoder().encode(magic);
  if (bytes === undefined || bytes.length < expected.length + 1 + crcBytes) return undefined;
  if (expected.some((byte, i) => bytes[i] !== byte)) return undefined;
  const end = bytes.length - crcBytes;
  if (new WireReader(bytes, end).fixed32() !== checksum.crc32(bytes.subarray(0, end))) return undefined;
  const reader = new WireReader(bytes, expected.length, end);
  try {
    if (reader.varint() !== version) return undefined;
    const value = read(reader);
    return reader.done ? value : undefined;
  } catch (error) {
    // A payload that passes its checksum and still cannot be read was written by another version: the same as damage.
    if (isDomainError(error)) return undefined;
    throw error;
  }
}

/** CORRUPT_LOG: `path` and the byte where what was stored stops making sense. */
export function corruptLog(path: string, position: number, what: string): DomainError {
  return new DomainError('CORRUPT_LOG', `${path} at byte ${position}: ${what}`);
}
