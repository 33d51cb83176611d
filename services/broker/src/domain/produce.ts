/**
 * Rules of produce requests that need no log: bounds of what is asked for, and the batch that is made of loose records.
 *
 * Loose records are not decoded. A record is the same message in ProduceRequest (field 4) as in RecordBatch (field 7), so
 * making a batch is one copy with another tag byte per record; only the timestamp inside each is looked at, because the
 * batch header names the largest. What is wrong with the records themselves is found by the batch validation behind this.
 */
import { looseRecordTag, recordTag } from '@fleetmq/record';
import { DomainError, encodeMs, type WireReader, WireWriter } from '@fleetmq/shared';

export interface ProduceBounds {
  /** Used when a request names no timeout. Default 30 s. */
  readonly timeoutDefaultMs: number;
  /** Longest wait for acknowledgments. Default 10 min. */
  readonly timeoutMaxMs: number;
  /** Entries of one ProduceBatch. Default 1,000. */
  readonly partitionsMax: number;
}

export const defaultProduceBounds: ProduceBounds = {
  timeoutDefaultMs: 30_000,
  timeoutMaxMs: 600_000,
  partitionsMax: 1_000,
};

/** How long to wait: what was asked for within the bounds, and never beyond the call's own deadline. */
export function ackTimeoutMs(askedMs: number | undefined, callMs: number | undefined, bounds: ProduceBounds): number {
  const wanted = askedMs === undefined || askedMs <= 0 ? bounds.timeoutDefaultMs : askedMs;
  // A call that ends at its deadline could not say TIMEOUT in its body any more: answer shortly before.
  const call = callMs === undefined ? Number.POSITIVE_INFINITY : Math.max(1, callMs - Math.min(100, callMs / 10));
  return Math.min(wanted, bounds.timeoutMaxMs, call);
}

/** UNIMPLEMENTED: a transactional batch must not be stored as if it were a plain one. */
export function assertNotTransactional(transactional: boolean): void {
  if (!transactional) return;
  throw new DomainError('UNIMPLEMENTED', 'transactions are not supported by this version: produce without them');
}

export interface TimestampBounds {
  readonly timestampBeforeMaxMs: number | undefined;
  readonly timestampAfterMaxMs: number | undefined;
}

/** INVALID_REQUEST when the batch's largest timestamp is further from the clock than the topic allows. */
export function assertTimestamp(maxTimestampMs: number, wallMs: number, bounds: TimestampBounds): void {
  if (maxTimestampMs === 0) return;
  const { timestampAfterMaxMs: after, timestampBeforeMaxMs: before } = bounds;
  if (after !== undefined && maxTimestampMs > wallMs + after) {
    const aheadMs = maxTimestampMs - wallMs;
    throw new DomainError(
      'INVALID_REQUEST',
      `timestamp ${maxTimestampMs} is ${aheadMs} ms ahead of the broker's clock; message.timestamp.after.max.ms is ${after}`,
    );
  }
  if (before !== undefined && maxTimestampMs < wallMs - before) {
    const behindMs = wallMs - maxTimestampMs;
    throw new DomainError(
      'INVALID_REQUEST',
      `timestamp ${maxTimestampMs} is ${behindMs} ms behind the broker's clock; message.timestamp.before.max.ms is ${before}`,
    );
  }
}

/** Header fields of the batch that loose records become. */
export interface LooseBatchFields {
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly idempotencyKey: Uint8Array | undefined;
}

const timestampTag = 0x22;

/** Where the loose records lie in their request: `entries` of them, in order. */
export interface LooseRecords {
  readonly entries: number;
  /** Bytes of all entries, tags and lengths included. */
  readonly bytes: number;
  /** Times of the first record and the largest of all, in milliseconds; 0: none has one. */
  readonly firstTimestampMs: number;
  readonly maxTimestampMs: number;
}

/** The RecordBatch of the records in `reader`'s message, whose field 4 they are. `records` describes them. */
export function buildLooseBatch(reader: WireReader, records: LooseRecords, fields: LooseBatchFields): Uint8Array {
  const header = encodeBatchHeader(records, fields);
  const batch = new Uint8Array(header.length + records.bytes);
  batch.set(header);
  copyRetagged(reader, batch, header.length);
  return batch;
}

function encodeBatchHeader(records: LooseRecords, fields: LooseBatchFields): Uint8Array {
  const writer = new WireWriter(128);
  writer.varintField(1, 1);
  if (records.firstTimestampMs > 0) writer.bytesField(5, encodeMs(records.firstTimestampMs));
  if (records.maxTimestampMs > 0) writer.bytesField(6, encodeMs(records.maxTimestampMs));
  writer.varintField(10, records.entries);
  writer.varint64Field(11, fields.producerId);
  writer.varintField(12, fields.producerEpoch);
  writer.varintField(13, fields.baseSequence);
  if (fields.idempotencyKey !== undefined) writer.bytesField(15, fields.idempotencyKey);
  return writer.finish();
}

/** Copies runs of entries at once and then sets their tags; entries need not be next to each other. */
function copyRetagged(reader: WireReader, target: Uint8Array, position: number): void {
  const { bytes } = reader;
  let at = position;
  reader.position = 0;
  while (!reader.done) {
    const start = reader.position;
    const tag = reader.varint();
    reader.skip(tag & 7);
    if (tag !== looseRecordTag) continue;
    target.set(bytes.subarray(start, reader.position), at);
    target[at] = recordTag;
    at += reader.position - start;
  }
}

/** The timestamp of the record in `reader`, from its position to `end`; 0 when it has none. Leaves the reader at `end`. */
export function peekTimestampMs(reader: WireReader, end: number): number {
  let timestampMs = 0;
  while (reader.position < end) {
    const tag = reader.varint();
    if (tag === timestampTag) timestampMs = readTimestampMs(reader);
    else reader.skip(tag & 7);
  }
  if (reader.position !== end) throw new DomainError('INVALID_REQUEST', 'a record is longer than it says');
  return timestampMs;
}

/** Times before 1970 count as none here; the record keeps its own. */
function readTimestampMs(reader: WireReader): number {
  const length = reader.varint();
  const end = reader.position + length;
  let seconds = 0n;
  let nanos = 0n;
  while (reader.position < end) {
    const tag = reader.varint();
    if (tag === 0x08) seconds = BigInt.asIntN(64, reader.varint64());
    else if (tag === 0x10) nanos = BigInt.asIntN(64, reader.varint64());
    else reader.skip(tag & 7);
  }
  if (reader.position !== end) throw new DomainError('INVALID_REQUEST', 'a timestamp is longer than it says');
  if (seconds < 0n || seconds > 253_402_300_799n || nanos < 0n || nanos > 999_999_999n) return 0;
  return Number(seconds) * 1_000 + Number(nanos / 1_000_000n);
}

/** INVALID_REQUEST unless a ProduceBatch has 1 to 1,000 entries. */
export function assertEntryCount(count: number): void {
  const { partitionsMax } = defaultProduceBounds;
  if (count >= 1 && count <= partitionsMax) return;
  throw new DomainError('INVALID_REQUEST', `${count} entries in one call; 1 to ${partitionsMax} are allowed`);
}
