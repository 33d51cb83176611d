/**
 * Reads the header fields of a batch, whatever order its fields have, and the leader's trailer at the end of a frame.
 * Record bytes are stepped over, never decoded: the cost is a few nanoseconds for each record, and one object for the batch.
 *
 * It decides nothing about good and bad beyond "this is protobuf with the fields that we know": rules are in validate.ts.
 * Scalars that come twice count with their last value, as protobuf says; that is what makes the trailer work.
 * Invariant: `recordsStart <= recordsEnd`, and the entries are contiguous exactly when `recordsBytes` is their distance.
 */
import { type Checksum, isDomainError, WireReader, wireBytes, wireFixed32, wireFixed64 } from '@fleetmq/shared';
import { batchField, recordTag, trailerBytes } from './layout.ts';
import { corruptBatch } from './limits.ts';
import { readTimestampMs } from './timestamp.ts';

export interface BatchHeader {
  magic: number;
  compressionType: number;
  baseOffset: number;
  lastOffsetDelta: number;
  /** 0 when absent. */
  firstTimestampMs: number;
  /** 0 when absent. */
  maxTimestampMs: number;
  /** CRC-32 over the record bytes as they are carried; 0 when the sender made none. */
  crc: number;
  /** As declared; 0 when absent. */
  recordCount: number;
  producerId: bigint;
  producerEpoch: number;
  baseSequence: number;
  attributes: number;
  idempotencyKey: string;
  leaderEpoch: number;
  appendTimeMs: number;
  /** Some field that only a leader sets is there. */
  hasLeaderFields: boolean;
  /** Entries of `records` that were counted. */
  recordEntries: number;
  recordsStart: number;
  recordsEnd: number;
  /** Sum of the entries, tags and lengths included. */
  recordsBytes: number;
  compressedStart: number;
  compressedEnd: number;
  /** Occurrences of `compressed_records`. */
  compressedEntries: number;
  unknownFields: number;
}

function emptyHeader(): BatchHeader {
  return {
    magic: 0,
    compressionType: 0,
    baseOffset: 0,
    lastOffsetDelta: 0,
    firstTimestampMs: 0,
    maxTimestampMs: 0,
    crc: 0,
    recordCount: 0,
    producerId: 0n,
    producerEpoch: 0,
    baseSequence: 0,
    attributes: 0,
    idempotencyKey: '',
    leaderEpoch: 0,
    appendTimeMs: 0,
    hasLeaderFields: false,
    recordEntries: 0,
    recordsStart: 0,
    recordsEnd: 0,
    recordsBytes: 0,
    compressedStart: 0,
    compressedEnd: 0,
    compressedEntries: 0,
    unknownFields: 0,
  };
}

/** `ignoreBOM` keeps a leading U+FEFF: two keys that differ in it are two keys. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Header of the RecordBatch in `bytes[start, end)`. CORRUPT_BATCH when that is not protobuf or a field has a wrong type. */
export function readBatchHeader(bytes: Uint8Array, start = 0, end: number = bytes.length): BatchHeader {
  const header = emptyHeader();
  const reader = new WireReader(bytes, start, end);
  try {
    while (reader.position < end) {
      if (bytes[reader.position] === recordTag) skipRecords(reader, header);
      else readField(reader, header);
    }
  } catch (error) {
    throw asCorruptBatch(error);
  }
  return header;
}

/** Text of a string field. CORRUPT_BATCH when it is not UTF-8. */
export function decodeText(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (error) {
    throw corruptBatch('a string is not UTF-8', error);
  }
}

/** The wire reader speaks of requests; whoever reads a batch hears of a batch. */
export function asCorruptBatch(error: unknown): unknown {
  return isDomainError(error) && error.code === 'INVALID_REQUEST' ? corruptBatch(error.message, error) : error;
}

function skipRecords(reader: WireReader, header: BatchHeader): void {
  const { bytes, end } = reader;
  const first = reader.position;
  if (header.recordEntries === 0) header.recordsStart = first;
  while (reader.position < end && bytes[reader.position] === recordTag) {
    reader.position++;
    reader.skip(wireBytes);
    header.recordEntries++;
  }
  header.recordsEnd = reader.position;
  header.recordsBytes += reader.position - first;
}

function readField(reader: WireReader, header: BatchHeader): void {
  const tag = reader.varint();
  const field = Math.floor(tag / 8);
  const wireType = tag & 7;
  switch (field) {
    case batchField.magic:
      header.magic = uint32(reader, wireType, 'magic');
      return;
    case batchField.compressionType:
      header.compressionType = uint32(reader, wireType, 'compression_type');
      return;
    case batchField.baseOffset:
      header.baseOffset = uint53(reader, wireType, 'base_offset');
      return;
    case batchField.lastOffsetDelta:
      header.lastOffsetDelta = uint53(reader, wireType, 'last_offset_delta');
      return;
    case batchField.firstTimestamp:
      header.firstTimestampMs = timestamp(reader, wireType, 'first_timestamp');
      return;
    case batchField.maxTimestamp:
      header.maxTimestampMs = timestamp(reader, wireType, 'max_timestamp');
      return;
    case batchField.crc32:
      header.crc = uint32(reader, wireType, 'crc32');
      return;
    case batchField.compressedRecords:
      readCompressed(reader, header, wireType);
      return;
    case batchField.recordCount:
      header.recordCount = uint32(reader, wireType, 'record_count');
      return;
    case batchField.producerId:
      expectType(wireType, 0, 'producer_id');
      header.producerId = reader.varint64();
      return;
    case batchField.producerEpoch:
      header.producerEpoch = uint32(reader, wireType, 'producer_epoch');
      return;
    case batchField.baseSequence:
      header.baseSequence = uint32(reader, wireType, 'base_sequence');
      return;
    case batchField.attributes:
      header.attributes = uint32(reader, wireType, 'attributes');
      return;
    case batchField.idempotencyKey:
      expectType(wireType, wireBytes, 'idempotency_key');
      header.idempotencyKey = decodeText(reader.view());
      return;
    default:
      readLeaderOrUnknownField(reader, header, field, wireType);
  }
}

function readLeaderOrUnknownField(reader: WireReader, header: BatchHeader, field: number, wireType: number): void {
  switch (field) {
    case 0:
      throw corruptBatch(`field number 0 at byte ${reader.position}`);
    case batchField.records:
      throw corruptBatch(`records has wire type ${wireType}`);
    case batchField.leaderEpoch:
      expectType(wireType, wireFixed32, 'leader_epoch');
      header.leaderEpoch = reader.fixed32();
      header.hasLeaderFields = true;
      return;
    case batchField.appendTimeMs:
      expectType(wireType, wireFixed64, 'append_time_ms');
      header.appendTimeMs = Number(reader.fixed64());
      header.hasLeaderFields = true;
      return;
    case batchField.batchChecksum:
      expectType(wireType, wireFixed32, 'batch_checksum');
      reader.skip(wireFixed32);
      header.hasLeaderFields = true;
      return;
    default:
      header.unknownFields++;
      reader.skip(wireType);
  }
}

function readCompressed(reader: WireReader, header: BatchHeader, wireType: number): void {
  expectType(wireType, wireBytes, 'compressed_records');
  const length = reader.varint();
  if (length > reader.end - reader.position) throw corruptBatch('compressed_records is longer than the batch');
  header.compressedEntries++;
  header.compressedStart = reader.position;
  header.compressedEnd = reader.position + length;
  reader.position = header.compressedEnd;
}

function expectType(actual: number, expected: number, name: string): void {
  if (actual !== expected) throw corruptBatch(`${name} has wire type ${actual}, expected ${expected}`);
}

function uint53(reader: WireReader, wireType: number, name: string): number {
  expectType(wireType, 0, name);
  return reader.varint();
}

function uint32(reader: WireReader, wireType: number, name: string): number {
  const value = uint53(reader, wireType, name);
  if (value > 0xffff_ffff) throw corruptBatch(`${name} ${value} does not fit 32 bits`);
  return value;
}

function timestamp(reader: WireReader, wireType: number, name: string): number {
  expectType(wireType, wireBytes, name);
  const length = reader.varint();
  const end = reader.position + length;
  if (end > reader.end) throw corruptBatch(`${name} is longer than the batch`);
  return readTimestampMs(reader, end);
}

/** Where the record bytes lie; undefined when other fields lie between them. */
export function carriedExtent(header: BatchHeader): { readonly start: number; readonly end: number } | undefined {
  if (header.compressedEntries > 0) return { start: header.compressedStart, end: header.compressedEnd };
  const { recordsStart, recordsEnd, recordsBytes } = header;
  return recordsEnd - recordsStart === recordsBytes ? { start: recordsStart, end: recordsEnd } : undefined;
}

/** CRC-32 over the record bytes as they are carried: the content of `compressed_records`, or the entries of `records` in order. */
export function recordsChecksum(bytes: Uint8Array, header: BatchHeader, checksum: Checksum): number {
  const extent = carriedExtent(header);
  if (extent !== undefined) return checksum.crc32(bytes.subarray(extent.start, extent.end));
  const reader = new WireReader(bytes, header.recordsStart, header.recordsEnd);
  let crc = 0;
  while (!reader.done) {
    const start = reader.position;
    const tag = reader.varint();
    reader.skip(tag & 7);
    if (tag === recordTag) crc = checksum.crc32(bytes.subarray(start, reader.position), crc);
  }
  return crc;
}

/** What the leader wrote at the end of a frame. Filled in place, so that walking a log makes no object per frame. */
export class Trailer {
  baseOffset = 0;
  lastOffsetDelta = 0;
  recordCount = 0;
  leaderEpoch = 0;
  appendTimeMs = 0;
  batchChecksum = 0;

  /** The offset after the last record. */
  get endOffset(): number {
    return this.baseOffset + this.lastOffsetDelta + 1;
  }

  /** Reads the 43 bytes before `end`. False, with undefined contents, when they are no trailer. The checksum is not checked here. */
  read(bytes: Uint8Array, end: number): boolean {
    const at = end - trailerBytes;
    if (at < 0 || end > bytes.length || !hasTrailerTags(bytes, at)) return false;
    this.baseOffset = readPadded(bytes, at + 1, 8);
    this.lastOffsetDelta = readPadded(bytes, at + 10, 5);
    this.recordCount = readPadded(bytes, at + 16, 5);
    // No records: compaction has taken them all, and left the offsets.
    if (
      this.baseOffset < 0 ||
      this.lastOffsetDelta < 0 ||
      this.recordCount < 0 ||
      this.lastOffsetDelta < this.recordCount - 1
    )
      return false;
    this.leaderEpoch = readUint32(bytes, at + 23);
    this.appendTimeMs = readUint32(bytes, at + 29) + readUint32(bytes, at + 33) * 2 ** 32;
    this.batchChecksum = readUint32(bytes, at + 39);
    return Number.isSafeInteger(this.appendTimeMs) && Number.isSafeInteger(this.endOffset);
  }
}

/** The trailer of the frame that ends at `end`. CORRUPT_BATCH when there is none. */
export function readTrailer(bytes: Uint8Array, end: number = bytes.length): Trailer {
  const trailer = new Trailer();
  if (!trailer.read(bytes, end)) throw corruptBatch('the batch has no trailer of a leader');
  return trailer;
}

function hasTrailerTags(bytes: Uint8Array, at: number): boolean {
  return (
    bytes[at] === 0x18 &&
    bytes[at + 9] === 0x20 &&
    bytes[at + 15] === 0x50 &&
    bytes[at + 21] === 0x85 &&
    bytes[at + 22] === 0x01 &&
    bytes[at + 27] === 0x89 &&
    bytes[at + 28] === 0x01 &&
    bytes[at + 37] === 0x95 &&
    bytes[at + 38] === 0x01
  );
}

/** A varint padded to `width` bytes; -1 when it is not padded to exactly that. */
function readPadded(bytes: Uint8Array, position: number, width: number): number {
  let value = 0;
  let scale = 1;
  for (let i = 0; i < width; i++) {
    const byte = bytes[position + i] as number;
    if (byte >= 0x80 !== i < width - 1) return -1;
    value += (byte & 0x7f) * scale;
    scale *= 128;
  }
  return value;
}

function readUint32(bytes: Uint8Array, at: number): number {
  const low = (bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16);
  return (low | ((bytes[at + 3] as number) << 24)) >>> 0;
}
