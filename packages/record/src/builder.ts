/**
 * Builds batches for producers. Records are written into one growing buffer as they come, in their wire form; no object is
 * kept per record. Room for the header lies before them, so that a batch which is not compressed leaves in the memory in which
 * it has grown. A builder is used again after each `build`, and holds no memory while it is empty.
 *
 * Invariant: `records` of the result are exactly the bytes that were appended, in order, and what `build` makes
 * `validateProduced` accepts under the same limits.
 */
import {
  assert,
  type BufferPool,
  type Checksum,
  DomainError,
  type Lease,
  varintSize,
  writeVarint,
} from '@fleetmq/shared';
import { type BuildOptions, type BuiltBatch, ClosedRecords, headerRoom } from './closed-records.ts';
import { frameBytesMax, recordTag } from './layout.ts';
import { timestampBytesMax, writeTimestamp } from './timestamp.ts';

export interface RecordHeader {
  readonly key: string;
  readonly value: Uint8Array;
}

export interface BatchBuilderOptions {
  /** Record bytes that one batch may hold before compression. Default 1 MiB less 1 KiB for the header; at most 63 MiB. */
  readonly recordBytesMax?: number;
  /** Records that one batch may hold. Default 100,000. */
  readonly recordsMax?: number;
  /** Capacity for the first batch; later ones begin with that of the one before. Default 16 KiB. */
  readonly initialBytes?: number;
  /** Where long batches lie. Default: memory of their own. */
  readonly buffers?: BufferPool;
}

const noHeaders: readonly RecordHeader[] = [];
const encoder = new TextEncoder();

export class BatchBuilder {
  readonly recordBytesMax: number;
  readonly recordsMax: number;
  readonly #buffers: BufferPool | undefined;
  #bytes: Uint8Array | undefined;
  #lease: Lease | undefined;
  /** Of record bytes, for the next batch. */
  #capacity: number;
  /** Of the records, which begin behind `headerRoom`. */
  #length = 0;
  #count = 0;
  /** The wire form of a time: records that come together mostly have the same one. */
  readonly #time: Uint8Array = new Uint8Array(timestampBytesMax);
  #timeMs: number | undefined;
  #timeBytes = 0;
  #firstTimestampMs = 0;
  #maxTimestampMs = 0;

  constructor(options: BatchBuilderOptions = {}) {
    this.recordBytesMax = options.recordBytesMax ?? 1024 * 1024 - 1024;
    this.recordsMax = options.recordsMax ?? 100_000;
    assert(
      this.recordBytesMax > 0 && this.recordBytesMax < frameBytesMax - 2 ** 20,
      `${this.recordBytesMax} bytes max`,
    );
    this.#buffers = options.buffers;
    this.#capacity = Math.min(options.initialBytes ?? 16 * 1024, this.recordBytesMax);
  }

  get recordCount(): number {
    return this.#count;
  }

  /** Record bytes so far, before compression; the header comes on top (about 60 bytes). */
  get byteLength(): number {
    return this.#length;
  }

  /** Whether a record of these sizes can still be appended; exact up to a few bytes, always on the safe side. */
  hasRoomFor(keyBytes: number, valueBytes: number, headerBytes = 0): boolean {
    const overhead = 40;
    return (
      this.#count < this.recordsMax &&
      this.#length + keyBytes + valueBytes + headerBytes + overhead <= this.recordBytesMax
    );
  }

  /**
   * Appends a record and returns `byteLength`. An undefined value is a tombstone; without a time the reader sees the append time.
   * RECORD_TOO_LARGE when it does not fit: the builder is as it was before.
   */
  append(
    key: Uint8Array | undefined,
    value: Uint8Array | undefined,
    headers: readonly RecordHeader[] = noHeaders,
    timestampMs?: number,
  ): number {
    const timeBytes = timestampMs === undefined ? 0 : this.#encodeTime(timestampMs);
    let bodyBytes = fieldSize(key) + fieldSize(value) + (timestampMs === undefined ? 0 : 2 + timeBytes);
    for (const header of headers) bodyBytes += nestedSize(headerSize(header));
    const target = this.#reserve(nestedSize(bodyBytes));

    const start = headerRoom + this.#length;
    target[start] = recordTag;
    let at = writeVarint(target, start + 1, bodyBytes);
    if (key !== undefined) at = writeBytesField(target, at, 0x0a, key);
    if (value !== undefined) at = writeBytesField(target, at, 0x12, value);
    for (const header of headers) at = writeHeader(target, at, header);
    if (timestampMs !== undefined) at = this.#writeTime(target, at, timeBytes);
    this.#length = at - headerRoom;
    this.#note(timestampMs);
    return this.#length;
  }

  /**
   * The batch of everything appended since the last `build` or `close`; the builder is empty afterwards.
   * With a codec that throws (UNSUPPORTED_CODEC) the records stay.
   */
  build(options: BuildOptions, checksum: Checksum): BuiltBatch {
    const built = this.#closed().build(options, checksum);
    this.#forget();
    return built;
  }

  /** Everything appended since the last `build` or `close`, to be built later; the builder is empty afterwards. */
  close(): ClosedRecords {
    const closed = this.#closed();
    this.#forget();
    return closed;
  }

  /** Drops what was appended. */
  clear(): void {
    this.#lease?.release();
    this.#forget();
  }

  #closed(): ClosedRecords {
    assert(this.#bytes !== undefined && this.#count > 0, 'an empty batch cannot be built');
    return new ClosedRecords(this.#bytes, this.#lease, {
      byteLength: this.#length,
      recordCount: this.#count,
      firstTimestampMs: this.#firstTimestampMs,
      maxTimestampMs: this.#maxTimestampMs,
    });
  }

  #forget(): void {
    this.#capacity = Math.min(Math.max(this.#capacity, this.#length), this.recordBytesMax);
    this.#lease = undefined;
    this.#bytes = undefined;
    this.#length = 0;
    this.#count = 0;
    this.#firstTimestampMs = 0;
    this.#maxTimestampMs = 0;
  }

  #encodeTime(timestampMs: number): number {
    if (timestampMs === this.#timeMs) return this.#timeBytes;
    this.#timeMs = undefined;
    this.#timeBytes = writeTimestamp(this.#time, 0, timestampMs);
    this.#timeMs = timestampMs;
    return this.#timeBytes;
  }

  /** So few bytes that a loop is faster than `set`. */
  #writeTime(target: Uint8Array, position: number, length: number): number {
    let at = position;
    target[at++] = 0x22;
    target[at++] = length;
    for (let i = 0; i < length; i++) target[at++] = this.#time[i] as number;
    return at;
  }

  #note(timestampMs: number | undefined): void {
    if (timestampMs !== undefined) {
      if (this.#firstTimestampMs === 0) this.#firstTimestampMs = timestampMs;
      if (timestampMs > this.#maxTimestampMs) this.#maxTimestampMs = timestampMs;
    }
    this.#count++;
  }

  /** The memory, with room for so many bytes more. */
  #reserve(more: number): Uint8Array {
    const needed = this.#length + more;
    if (this.#count === this.recordsMax || needed > this.recordBytesMax) {
      throw new DomainError(
        'RECORD_TOO_LARGE',
        `no room for a record of ${more} bytes: ${this.#length} of ${this.recordBytesMax} bytes and ${this.#count} of ${this.recordsMax} records are used`,
      );
    }
    const bytes = this.#bytes;
    if (bytes !== undefined && headerRoom + needed <= bytes.length) return bytes;
    const wanted =
      bytes === undefined ? this.#capacity : Math.min((bytes.length - headerRoom) * 2, this.recordBytesMax);
    return this.#grow(headerRoom + Math.max(needed, wanted));
  }

  #grow(length: number): Uint8Array {
    const lease = this.#buffers?.take(length);
    const grown = lease?.bytes ?? new Uint8Array(length);
    if (this.#length > 0) grown.set((this.#bytes as Uint8Array).subarray(0, headerRoom + this.#length));
    this.#lease?.release();
    this.#lease = lease;
    this.#bytes = grown;
    return grown;
  }
}

/** A length-delimited field with a tag of one byte. */
function nestedSize(length: number): number {
  return 1 + varintSize(length) + length;
}

function fieldSize(bytes: Uint8Array | undefined): number {
  return bytes === undefined ? 0 : nestedSize(bytes.length);
}

function headerSize(header: RecordHeader): number {
  return nestedSize(utf8Length(header.key)) + nestedSize(header.value.length);
}

/** Bytes of `text` in UTF-8, as TextEncoder would make them (a lone surrogate becomes U+FFFD, 3 bytes). */
function utf8Length(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    if (unit < 0x800) bytes += 1;
    else if (unit >= 0xd800 && unit < 0xdc00 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) {
      bytes += 2;
      i++;
    } else bytes += 2;
  }
  return bytes;
}

function writeBytesField(target: Uint8Array, position: number, tag: number, bytes: Uint8Array): number {
  target[position] = tag;
  const at = writeVarint(target, position + 1, bytes.length);
  target.set(bytes, at);
  return at + bytes.length;
}

function writeHeader(target: Uint8Array, position: number, header: RecordHeader): number {
  target[position] = 0x1a;
  let at = writeVarint(target, position + 1, headerSize(header));
  at = writeBytesField(target, at, 0x0a, encoder.encode(header.key));
  return writeBytesField(target, at, 0x12, header.value);
}
