/**
 * Reads records out of a batch, lazily: a RecordView knows where its record lies, and decodes a field when it is asked for.
 * Keys and values are views of the batch's memory (or of the inflated memory): copy what must outlive it.
 *
 * Invariant: a batch yields exactly as many records as its header counts, with rising offsets from `base_offset` to
 * `base_offset + last_offset_delta`; everything else is CORRUPT_BATCH, and no record is shown before that is checked.
 */
import { type Checksum, type Offset, toOffset, WireReader, wireBytes, wireVarint } from '@fleetmq/shared';
import type { RecordHeader } from './builder.ts';
import {
  type Codec,
  type Codecs,
  inflateRecords,
  inflateRecordsInBackground,
  inflatesInBackground,
  noCodecs,
  requireCodec,
} from './compression.ts';
import { asCorruptBatch, type BatchHeader, decodeText, readBatchHeader, recordsChecksum } from './header.ts';
import { recordField, recordTag } from './layout.ts';
import { corruptBatch, defaultInflationLimits, type InflationLimits } from './limits.ts';
import { checkRecords } from './record-check.ts';
import { readTimestampMs } from './timestamp.ts';

export interface OpenBatchOptions {
  /** Codecs that compressed batches may have. Default: none, compressed batches are UNSUPPORTED_CODEC. */
  readonly codecs?: Codecs;
  readonly limits?: InflationLimits;
  /** When given, `crc32` is checked against the record bytes. */
  readonly checksum?: Checksum;
}

/** A batch whose records can be walked. */
export interface OpenBatch {
  readonly header: BatchHeader;
  readonly baseOffset: Offset;
  /** The offset after the last record. */
  readonly endOffset: Offset;
  readonly recordCount: number;
  /** The entries lie in `bytes[start, end)`; other fields may stand between them. */
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** One record; everything in memory of its own or shared with the batch. */
export interface DecodedRecord {
  readonly offset: Offset;
  readonly key: Uint8Array | undefined;
  /** Undefined: a tombstone. */
  readonly value: Uint8Array | undefined;
  readonly headers: readonly RecordHeader[];
  readonly timestampMs: number;
}

/**
 * Prepares the RecordBatch in `bytes` (without the head of a frame): reads its header, inflates it if need be, counts.
 * Errors: CORRUPT_BATCH, UNSUPPORTED_CODEC, RECORD_TOO_LARGE (over the inflation limits).
 */
export function openBatch(bytes: Uint8Array, options: OpenBatchOptions = {}): OpenBatch {
  const { header, compressed } = readChecked(bytes, options);
  if (compressed === undefined) return openPlain(bytes, header);
  const { codec, carried, limits } = compressed;
  return openInflated(header, inflateRecords(codec, carried, limits), limits);
}

/**
 * `openBatch`, with the inflation on another thread where that is worth it: only then the answer is a promise. `bytes` must not
 * change before it settles. Errors that are seen before the inflation are thrown, the others reject.
 */
export function openBatchInBackground(
  bytes: Uint8Array,
  options: OpenBatchOptions = {},
): OpenBatch | Promise<OpenBatch> {
  const { header, compressed } = readChecked(bytes, options);
  if (compressed === undefined) return openPlain(bytes, header);
  const { codec, carried, limits } = compressed;
  if (!inflatesInBackground(codec, carried.length)) {
    return openInflated(header, inflateRecords(codec, carried, limits), limits);
  }
  return inflateRecordsInBackground(codec, carried, limits).then((inflated) => openInflated(header, inflated, limits));
}

interface CheckedBatch {
  readonly header: BatchHeader;
  readonly compressed:
    | { readonly codec: Codec; readonly carried: Uint8Array; readonly limits: InflationLimits }
    | undefined;
}

/** Everything that is checked before an inflation. */
function readChecked(bytes: Uint8Array, options: OpenBatchOptions): CheckedBatch {
  const header = readBatchHeader(bytes);
  const { checksum, codecs = noCodecs, limits = defaultInflationLimits } = options;
  if (checksum !== undefined && header.crc !== 0 && recordsChecksum(bytes, header, checksum) !== header.crc) {
    throw corruptBatch('crc32 does not match the record bytes');
  }
  if (header.compressedEntries === 0) return { header, compressed: undefined };
  if (header.recordEntries > 0) throw corruptBatch('batch has both records and compressed_records');
  const carried = bytes.subarray(header.compressedStart, header.compressedEnd);
  return { header, compressed: { codec: requireCodec(codecs, header.compressionType), carried, limits } };
}

function openPlain(bytes: Uint8Array, header: BatchHeader): OpenBatch {
  const { recordsStart: start, recordsEnd: end, recordEntries: recordCount } = header;
  return toOpenBatch(header, { bytes, start, end, recordCount });
}

function openInflated(header: BatchHeader, inflated: Uint8Array, limits: InflationLimits): OpenBatch {
  const recordCount = checkInflated(inflated, limits);
  return toOpenBatch(header, { bytes: inflated, start: 0, end: inflated.length, recordCount });
}

function toOpenBatch(header: BatchHeader, held: Pick<OpenBatch, 'bytes' | 'start' | 'end' | 'recordCount'>): OpenBatch {
  if (header.recordCount !== 0 && header.recordCount !== held.recordCount) {
    throw corruptBatch(`record_count is ${header.recordCount}, the batch has ${held.recordCount} records`);
  }
  const lastOffsetDelta = Math.max(header.lastOffsetDelta, held.recordCount - 1);
  const baseOffset = toOffset(header.baseOffset);
  return { ...held, header, baseOffset, endOffset: toOffset(baseOffset + lastOffsetDelta + 1) };
}

/** Inflated bytes hold records and nothing else: no field of a batch can be smuggled in. Returns their number. */
export function checkInflated(inflated: Uint8Array, limits: InflationLimits): number {
  const rules = {
    headersMax: limits.recordsMax,
    unknownFieldsMax: 32,
    offsetDeltaAllowed: true,
    otherFieldsAllowed: false,
  };
  const count = checkRecords(inflated, 0, inflated.length, rules);
  if (count > limits.recordsMax) throw corruptBatch(`${count} records are over ${limits.recordsMax}`);
  return count;
}

/** Walks the records in order. Each view stays valid as long as the batch's memory does. */
export function* viewRecords(batch: OpenBatch): Generator<RecordView, void, undefined> {
  const hasGaps = batch.endOffset - batch.baseOffset !== batch.recordCount;
  const reader = new WireReader(batch.bytes, batch.start, batch.end);
  let offset = batch.baseOffset - 1;
  try {
    while (!reader.done) {
      const tag = reader.varint();
      if (tag !== recordTag) {
        reader.skip(tag & 7);
        continue;
      }
      const end = reader.varint() + reader.position;
      if (end > batch.end) throw corruptBatch('the last record is longer than the batch');
      const view = new RecordView(batch, reader.position, end, offset + 1);
      if (hasGaps) view.placeByDelta(offset);
      offset = view.offset;
      yield view;
      reader.position = end;
    }
  } catch (error) {
    throw asCorruptBatch(error);
  }
}

/** All records at once. */
export function decodeRecords(batch: OpenBatch): DecodedRecord[] {
  const records: DecodedRecord[] = [];
  for (const { offset, key, value, headers, timestampMs } of viewRecords(batch)) {
    records.push({ offset, key, value, headers, timestampMs });
  }
  return records;
}

export class RecordView {
  readonly #batch: OpenBatch;
  readonly #start: number;
  readonly #end: number;
  #offset: number;

  constructor(batch: OpenBatch, start: number, end: number, offset: number) {
    this.#batch = batch;
    this.#start = start;
    this.#end = end;
    this.#offset = offset;
  }

  /** The Record message, without tag and length. */
  get bytes(): Uint8Array {
    return this.#batch.bytes.subarray(this.#start, this.#end);
  }

  get offset(): Offset {
    return this.#offset as Offset;
  }

  get key(): Uint8Array | undefined {
    return this.#bytesField(recordField.key);
  }

  /** Undefined: a tombstone. */
  get value(): Uint8Array | undefined {
    return this.#bytesField(recordField.value);
  }

  get headers(): readonly RecordHeader[] {
    const headers: RecordHeader[] = [];
    this.#eachField((field, reader) => {
      if (field !== recordField.headers) return false;
      headers.push(readHeader(reader.view()));
      return true;
    });
    return headers;
  }

  /** The record's own time, or the append time of its batch where it has none (0 where that is missing too). */
  get timestampMs(): number {
    let timestampMs: number | undefined;
    this.#eachField((field, reader) => {
      if (field !== recordField.timestamp) return false;
      const length = reader.varint();
      timestampMs = readTimestampMs(reader, reader.position + length);
      return true;
    });
    return timestampMs ?? this.#batch.header.appendTimeMs;
  }

  /** For batches with gaps: takes the offset from `offset_delta`. CORRUPT_BATCH unless it lies behind `previousOffset` and inside the batch. */
  placeByDelta(previousOffset: number): void {
    this.#eachField((field, reader, wireType) => {
      if (field !== recordField.offsetDelta || wireType !== wireVarint) return false;
      this.#offset = this.#batch.baseOffset + reader.varint();
      return true;
    });
    if (this.#offset <= previousOffset || this.#offset >= this.#batch.endOffset) {
      throw corruptBatch(
        `record at offset ${this.#offset} after ${previousOffset}, batch ends at ${this.#batch.endOffset}`,
      );
    }
  }

  #bytesField(wanted: number): Uint8Array | undefined {
    let found: Uint8Array | undefined;
    this.#eachField((field, reader, wireType) => {
      if (field !== wanted || wireType !== wireBytes) return false;
      found = reader.view();
      return true;
    });
    return found;
  }

  /** Calls `visit` at each field; what it does not take is stepped over. */
  #eachField(visit: (field: number, reader: WireReader, wireType: number) => boolean): void {
    const reader = new WireReader(this.#batch.bytes, this.#start, this.#end);
    try {
      while (!reader.done) {
        const tag = reader.varint();
        const wireType = tag & 7;
        if (!visit(Math.floor(tag / 8), reader, wireType)) reader.skip(wireType);
      }
    } catch (error) {
      throw asCorruptBatch(error);
    }
  }
}

function readHeader(bytes: Uint8Array): RecordHeader {
  const reader = new WireReader(bytes);
  let key = '';
  let value: Uint8Array = new Uint8Array(0);
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === 0x0a) key = decodeText(reader.view());
    else if (tag === 0x12) value = reader.view();
    else reader.skip(tag & 7);
  }
  return { key, value };
}
