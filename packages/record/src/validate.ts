/**
 * Decides whether a batch from a producer may be stored. It is all or nothing: either the bytes are taken exactly as they
 * are, or a DomainError says what is wrong and nothing was written.
 *
 * Rules: every number that the sender claims must be true (count, deltas, checksum); what only a leader sets must be absent
 * (leader epoch, append time, batch checksum, the control bit); `base_offset` is ignored, because the trailer overrides it.
 * The records of a compressed batch are not looked at: brokers do not inflate what they store, so its `record_count` is
 * believed until a reader inflates it (decode.ts, inflate.ts refuse it there).
 */
import { type Checksum, combineCrc32, DomainError } from '@fleetmq/shared';
import { isKnownCodec } from './compression.ts';
import { type BatchHeader, carriedExtent, readBatchHeader, recordsChecksum } from './header.ts';
import { attribute, batchMagic, codecId, sequenceModulus } from './layout.ts';
import { type BatchLimits, corruptBatch } from './limits.ts';
import { checkRecords } from './record-check.ts';

/** A batch that may be appended. */
export interface ValidatedBatch {
  /** As the producer sent them. They must not change until the append is durable. */
  readonly bytes: Uint8Array;
  readonly recordCount: number;
  /** `compression_type`: 0 none, 1 lz4, 2 zstd, 3 snappy. */
  readonly codec: number;
  /** 0 when the sender gave none. */
  readonly maxTimestampMs: number;
  /** 0n for none. */
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly attributes: number;
  /** Empty for none. */
  readonly idempotencyKey: string;
  /** CRC-32 of the record bytes as they are carried; 0 when the sender made none and no idempotency key needs one. */
  readonly crc: number;
  /** CRC-32 of `bytes`; undefined when nothing of it was known yet. */
  readonly bytesCrc: number | undefined;
}

/** Record bytes below this many are read twice rather than combined: that is faster, and simpler. */
const combinedFrom = 16_384;

/**
 * Checks the RecordBatch in `bytes`.
 * Errors: RECORD_TOO_LARGE (bytes or records over the limit), UNSUPPORTED_VERSION (magic), UNSUPPORTED_CODEC,
 * CORRUPT_BATCH (malformed or lying), INVALID_REQUEST (empty, contradictory, or with fields that only a leader sets).
 */
export function validateProduced(bytes: Uint8Array, limits: BatchLimits, checksum: Checksum): ValidatedBatch {
  if (bytes.length > limits.batchBytesMax) {
    throw new DomainError('RECORD_TOO_LARGE', `batch of ${bytes.length} bytes is over ${limits.batchBytesMax}`);
  }
  const header = readBatchHeader(bytes);
  checkOrigin(header, limits);
  checkForm(header);
  const recordCount = checkCount(bytes, header, limits);
  checkProducer(header, limits);
  const crc = checkCrc(bytes, header, checksum);
  return {
    bytes,
    recordCount,
    codec: header.compressionType,
    maxTimestampMs: header.maxTimestampMs,
    producerId: header.producerId,
    producerEpoch: header.producerEpoch,
    baseSequence: header.baseSequence,
    attributes: header.attributes,
    idempotencyKey: header.idempotencyKey,
    crc,
    bytesCrc: crc === 0 ? undefined : crcAround(bytes, header, crc, checksum),
  };
}

function checkOrigin(header: BatchHeader, limits: BatchLimits): void {
  if (header.magic > batchMagic) {
    throw new DomainError('UNSUPPORTED_VERSION', `batch magic ${header.magic} is not known; known: ${batchMagic}`);
  }
  if (header.hasLeaderFields) {
    throw new DomainError(
      'INVALID_REQUEST',
      'leader_epoch, append_time_ms and batch_checksum are set by the leader alone',
    );
  }
  if (header.unknownFields > limits.unknownFieldsMax) {
    throw new DomainError('INVALID_REQUEST', `batch has more than ${limits.unknownFieldsMax} unknown fields`);
  }
}

function checkForm(header: BatchHeader): void {
  const { compressionType, compressedEntries, recordEntries } = header;
  if (!isKnownCodec(compressionType)) {
    throw new DomainError('UNSUPPORTED_CODEC', `compression type ${compressionType} is not known`);
  }
  if (compressedEntries > 1) throw corruptBatch('compressed_records comes more than once');
  if (compressedEntries > 0 && recordEntries > 0) {
    throw new DomainError('INVALID_REQUEST', 'batch has both records and compressed_records');
  }
  if (recordEntries === 0 && header.compressedStart === header.compressedEnd) {
    throw new DomainError('INVALID_REQUEST', 'batch is empty');
  }
  if ((compressionType === codecId.none) !== (compressedEntries === 0)) {
    const held = compressedEntries === 0 ? 'records' : 'compressed_records';
    throw new DomainError('INVALID_REQUEST', `compression type ${compressionType} does not go with ${held}`);
  }
}

function checkCount(bytes: Uint8Array, header: BatchHeader, limits: BatchLimits): number {
  const compressed = header.compressedEntries > 0;
  const count = compressed ? header.recordCount : header.recordEntries;
  if (count === 0) throw new DomainError('INVALID_REQUEST', 'a compressed batch must carry record_count');
  if (count > limits.recordsMax) {
    throw new DomainError('RECORD_TOO_LARGE', `batch of ${count} records is over ${limits.recordsMax}`);
  }
  if (header.recordCount !== 0 && header.recordCount !== count) {
    throw corruptBatch(`record_count is ${header.recordCount}, the batch has ${count} records`);
  }
  if (header.lastOffsetDelta !== 0 && header.lastOffsetDelta !== count - 1) {
    throw corruptBatch(`last_offset_delta is ${header.lastOffsetDelta}, ${count} records make it ${count - 1}`);
  }
  if (!compressed) {
    const rules = { ...limits, offsetDeltaAllowed: false, otherFieldsAllowed: true };
    checkRecords(bytes, header.recordsStart, header.recordsEnd, rules);
  }
  return count;
}

function checkProducer(header: BatchHeader, limits: BatchLimits): void {
  if ((header.attributes & attribute.control) !== 0) {
    throw new DomainError('INVALID_REQUEST', 'control batches are written by brokers alone');
  }
  if (header.attributes > attribute.transactional) {
    throw new DomainError('INVALID_REQUEST', `attributes ${header.attributes} has bits that are not known`);
  }
  if (header.attributes === attribute.transactional && header.producerId === 0n) {
    throw new DomainError('INVALID_REQUEST', 'a transactional batch needs a producer id');
  }
  if (header.baseSequence >= sequenceModulus) {
    throw new DomainError('INVALID_REQUEST', `base_sequence ${header.baseSequence} is outside 0..2^31-1`);
  }
  // A character is at most 3 bytes of UTF-8 per code unit, so most keys need no encoding to be counted.
  const key = header.idempotencyKey;
  const short = key.length * 3 <= limits.idempotencyKeyBytesMax;
  if (!short && new TextEncoder().encode(key).length > limits.idempotencyKeyBytesMax) {
    throw new DomainError('INVALID_REQUEST', `idempotency_key is over ${limits.idempotencyKeyBytesMax} bytes`);
  }
}

function checkCrc(bytes: Uint8Array, header: BatchHeader, checksum: Checksum): number {
  if (header.crc === 0 && header.idempotencyKey === '') return 0;
  const actual = recordsChecksum(bytes, header, checksum);
  if (header.crc !== 0 && header.crc !== actual) {
    throw corruptBatch(`crc32 is ${hex(header.crc)}, the record bytes make it ${hex(actual)}`);
  }
  return actual;
}

/** The CRC-32 of the whole batch, from that of its record bytes and what lies around them. */
function crcAround(bytes: Uint8Array, header: BatchHeader, crc: number, checksum: Checksum): number | undefined {
  const extent = carriedExtent(header);
  if (extent === undefined || extent.end - extent.start < combinedFrom) return undefined;
  const before = checksum.crc32(bytes.subarray(0, extent.start));
  return checksum.crc32(bytes.subarray(extent.end), combineCrc32(before, crc, extent.end - extent.start));
}

function hex(crc: number): string {
  return `0x${crc.toString(16).padStart(8, '0')}`;
}
