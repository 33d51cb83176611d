/**
 * The bytes of the controllers' write-ahead log, and what is left of them after a crash. Pure: recovery is a function of
 * the bytes of the segment files.
 *
 * A segment is a run of records. A record is
 *   length  4 bytes  of the body (little endian)
 *   crc     4 bytes  CRC-32 of the length's bytes and the body
 *   body             kind (1 byte: 1 start, 2 entry, 3 commit, 4 reset; plus 128 in the last record of a batch),
 *                    batch number (varint), then by kind:
 *                    start: format version, segment number, index of the last entry before; entry: term, index, type, data; commit: index; reset: index, term
 * A batch is what one append wrote and one fsync made durable; batches are numbered without a gap across segments. A start
 * record opens each segment. An entry replaces whatever the log held from its index on. A reset empties the log: a
 * snapshot that ends at this entry took its place.
 *
 * A batch is written only after the one before is durable. So a damaged record whose batch is followed by a later batch
 * was durable once: that is corruption (CORRUPT_LOG), and nothing is cut. Only what lies behind the last whole batch of
 * the last segment is a torn tail, never acknowledged to anybody, and is cut. A batch counts whole or not at all.
 * Compare: etcd's wal package; Alagappan et al., "Protocol-Aware Recovery for Consensus-Based Storage" (FAST 2018).
 */
import type { Entry, EntryType } from '@fleetmq/raft';
import { type Checksum, DomainError, type LogIndex, type Term, viewOf, WireReader, WireWriter } from '@fleetmq/shared';

export const walVersion = 1;
const headBytes = 8;
/** A body of more bytes is damage: entries are far smaller. */
const bodyBytesMax = 64 * 1024 * 1024;

export type WalRecord =
  /** `lastIndex`: of the log when the segment was begun; 0: it was empty, or a version that did not note it wrote this. */
  | { readonly kind: 'start'; readonly version: number; readonly segment: number; readonly lastIndex: number }
  | { readonly kind: 'entry'; readonly entry: Entry }
  | { readonly kind: 'commit'; readonly index: LogIndex }
  | { readonly kind: 'reset'; readonly index: LogIndex; readonly term: Term };

const kinds = ['start', 'entry', 'commit', 'reset'] as const;
const entryTypes: readonly EntryType[] = ['EntryNormal', 'EntryConfChange', 'EntryConfChangeV2'];
const lastOfBatch = 128;

/** The bytes of one batch, which is not empty. */
export function encodeBatch(batch: number, records: readonly WalRecord[], checksum: Checksum): Uint8Array {
  const out = new WireWriter(1024);
  for (const [position, record] of records.entries()) {
    const body = encodeBody(batch, record, position === records.length - 1);
    const length = new Uint8Array(4);
    viewOf(length).setUint32(0, body.length, true);
    out
      .raw(length)
      .fixed32(checksum.crc32(body, checksum.crc32(length)))
      .raw(body);
  }
  return out.finish();
}

function encodeBody(batch: number, record: WalRecord, isLast: boolean): Uint8Array {
  const writer = new WireWriter(64);
  writer.raw(Uint8Array.of(kinds.indexOf(record.kind) + 1 + (isLast ? lastOfBatch : 0))).varint(batch);
  switch (record.kind) {
    case 'start':
      return writer.varint(record.version).varint(record.segment).varint(record.lastIndex).finish();
    case 'commit':
      return writer.varint(record.index).finish();
    case 'reset':
      return writer.varint(record.index).varint(record.term).finish();
    default: {
      const { term, index, type, data } = record.entry;
      return writer.varint(term).varint(index).varint(entryTypes.indexOf(type)).raw(data).finish();
    }
  }
}

interface Framed {
  readonly record: WalRecord;
  readonly batch: number;
  readonly isLast: boolean;
  readonly next: number;
}

/** Undefined when no whole record with a right checksum stands at `position`. */
function readRecord(bytes: Uint8Array, position: number, checksum: Checksum): Framed | undefined {
  if (bytes.length - position < headBytes) return undefined;
  const view = viewOf(bytes);
  const length = view.getUint32(position, true);
  const start = position + headBytes;
  if (length < 2 || length > bodyBytesMax || length > bytes.length - start) return undefined;
  const body = bytes.subarray(start, start + length);
  const crc = checksum.crc32(body, checksum.crc32(bytes.subarray(position, position + 4)));
  if (crc !== view.getUint32(position + 4, true)) return undefined;
  return { ...decodeBody(body), next: start + length };
}

function decodeBody(body: Uint8Array): Omit<Framed, 'next'> {
  const first = body[0] as number;
  const reader = new WireReader(body, 1);
  const batch = reader.varint();
  const isLast = first >= lastOfBatch;
  const kind = kinds[(first % lastOfBatch) - 1];
  switch (kind) {
    case 'start':
      return {
        record: {
          kind,
          version: reader.varint(),
          segment: reader.varint(),
          lastIndex: reader.done ? 0 : reader.varint(),
        },
        batch,
        isLast,
      };
    case 'commit':
      return { record: { kind, index: reader.varint() as LogIndex }, batch, isLast };
    case 'reset':
      return { record: { kind, index: reader.varint() as LogIndex, term: reader.varint() as Term }, batch, isLast };
    case 'entry':
      return { record: { kind, entry: decodeEntry(reader, body) }, batch, isLast };
    default:
      throw new DomainError(
        'CORRUPT_LOG',
        `the write-ahead log has a record of kind ${first}; a newer version wrote it`,
      );
  }
}

function decodeEntry(reader: WireReader, body: Uint8Array): Entry {
  const term = reader.varint() as Term;
  const index = reader.varint() as LogIndex;
  const type = entryTypes[reader.varint()];
  if (type === undefined)
    throw new DomainError('CORRUPT_LOG', `entry ${index} of the write-ahead log has no known type`);
  return { term, index, type, data: body.slice(reader.position) };
}

export interface SegmentBytes {
  readonly segment: number;
  readonly bytes: Uint8Array;
}

export interface RecoveredSegment {
  readonly segment: number;
  /** Highest index of an entry that was ever written to it; 0: none. */
  readonly lastIndex: number;
  /** Bytes up to the end of its last whole batch. */
  readonly end: number;
}

export interface RecoveredWal {
  readonly segments: readonly RecoveredSegment[];
  /** Behind the last whole batch of the last segment are this many bytes of a torn one. */
  readonly tornBytes: number;
  /** Number of the last whole batch; 0: there is none. */
  readonly lastBatch: number;
  /** What the log holds after all records: contiguous, by index. */
  readonly entries: readonly Entry[];
  /** Entry before the first one, by the last reset or the start of the first segment; 0: there was none. */
  readonly base: number;
  readonly commit: LogIndex;
}

/** Segments by number. CORRUPT_LOG when something durable is damaged or missing. */
export function recoverWal(files: readonly SegmentBytes[], checksum: Checksum): RecoveredWal {
  const segments: RecoveredSegment[] = [];
  const log = new ReplayedLog();
  let lastBatch = 0;
  let tornBytes = 0;
  for (const [position, file] of files.entries()) {
    const isLast = position === files.length - 1;
    const before = files[position - 1];
    if (before !== undefined && file.segment !== before.segment + 1) {
      throw corrupt(file.segment, 0, `follows segment ${before.segment}: one between them is missing`);
    }
    const read = readSegment(file, { checksum, lastBatch: position === 0 ? undefined : lastBatch, log });
    if (read.end < file.bytes.length) {
      if (!isLast) throw corrupt(file.segment, read.end, 'is damaged, and a later segment follows');
      refuseIfDurable(file, read, checksum);
      tornBytes = file.bytes.length - read.end;
    }
    lastBatch = Math.max(lastBatch, read.lastBatch);
    segments.push({ segment: file.segment, lastIndex: read.lastIndex, end: read.end });
  }
  return { segments, tornBytes, lastBatch, entries: log.entries, base: log.base, commit: log.commit };
}

interface ReadSegment {
  readonly end: number;
  readonly lastBatch: number;
  readonly lastIndex: number;
}

function readSegment(
  file: SegmentBytes,
  context: { readonly checksum: Checksum; readonly lastBatch: number | undefined; readonly log: ReplayedLog },
): ReadSegment {
  const { segment, bytes } = file;
  let end = 0;
  let lastBatch = context.lastBatch ?? 0;
  let lastIndex = 0;
  let pending: WalRecord[] = [];
  for (let position = 0; ; ) {
    const framed = readRecord(bytes, position, context.checksum);
    if (framed === undefined) return { end, lastBatch, lastIndex };
    const isFirst = position === 0;
    if (isFirst !== (framed.record.kind === 'start'))
      throw corrupt(segment, position, 'has a start record out of place');
    if (framed.record.kind === 'start') checkStart(framed.record, segment);
    const isContinued = pending.length > 0;
    const expected = lastBatch + 1;
    // The first segment that is left begins with whatever batch came then.
    const isFree = isFirst && context.lastBatch === undefined;
    if (!isFree && framed.batch !== expected) {
      throw corrupt(
        segment,
        position,
        `has batch ${framed.batch} where ${expected} ${isContinued ? 'goes on' : 'begins'}`,
      );
    }
    if (isFree) lastBatch = framed.batch - 1;
    pending.push(framed.record);
    position = framed.next;
    if (!framed.isLast) continue;
    for (const record of pending) {
      if (record.kind === 'entry') lastIndex = Math.max(lastIndex, record.entry.index);
      context.log.apply(record, segment);
    }
    pending = [];
    lastBatch = framed.batch;
    end = position;
  }
}

function checkStart(record: Extract<WalRecord, { kind: 'start' }>, segment: number): void {
  if (record.version !== walVersion) {
    throw corrupt(segment, 0, `has format ${record.version}; this version reads format ${walVersion}`);
  }
  if (record.segment !== segment) throw corrupt(segment, 0, `says that it is segment ${record.segment}`);
}

/** A whole record of a batch behind the torn one proves that the torn one was durable once. */
function refuseIfDurable(file: SegmentBytes, read: ReadSegment, checksum: Checksum): void {
  const { bytes, segment } = file;
  for (let position = read.end; position + headBytes < bytes.length; position++) {
    const framed = readRecord(bytes, position, checksum);
    if (framed !== undefined && framed.batch > read.lastBatch + 1) {
      throw corrupt(segment, read.end, `is damaged, and batch ${framed.batch} follows at byte ${position}`);
    }
  }
}

/** The log as the records so far leave it. */
class ReplayedLog {
  entries: Entry[] = [];
  base = 0;
  commit = 0 as LogIndex;

  apply(record: WalRecord, segment: number): void {
    if (record.kind === 'commit') {
      this.commit = record.index;
    } else if (record.kind === 'reset') {
      this.entries = [];
      this.base = record.index;
      this.commit = record.index;
    } else if (record.kind === 'entry') {
      this.#append(record.entry, segment);
    } else if (this.entries.length === 0) {
      // What a segment says that is gone by now: a snapshot has it, or it was lost.
      this.base = Math.max(this.base, record.lastIndex);
    }
  }

  #append(entry: Entry, segment: number): void {
    const first = this.entries[0];
    const position = first === undefined ? 0 : Math.max(0, entry.index - first.index);
    if (position > this.entries.length) {
      throw corrupt(segment, 0, `has entry ${entry.index} where ${(first?.index ?? 0) + this.entries.length} is next`);
    }
    this.entries.length = position;
    this.entries.push(entry);
  }
}

function corrupt(segment: number, position: number, what: string): DomainError {
  return new DomainError(
    'CORRUPT_LOG',
    `segment ${segment} of the write-ahead log ${what} (byte ${position}): this node must not vote with it; ` +
      'bring the file back from a copy of this disk, or replace the node',
  );
}
