/**
 * The layout of a batch, on paper. It names fields and sizes and holds no logic beyond tags.
 *
 * A batch is a protobuf `RecordBatch` (proto/common/types.proto). Its stored form is a FRAME, which is byte for byte an
 * entry of field 6 (`batches`) of a FetchPartitionResponse, so that a stretch of a log file is the body of a fetch answer:
 *
 *     0x32 | varint length, shortest form | batch as its producer sent it | trailer, 43 bytes
 *
 * The trailer is written by the leader. protobuf takes the last value of a scalar, and a varint may be padded, so the
 * whole is still a plain RecordBatch whose leader fields are these (position from the end of the frame):
 *
 *     -43  18        8-byte padded varint   base_offset         (field 3)
 *     -34  20        5-byte padded varint   last_offset_delta   (field 4)
 *     -28  50        5-byte padded varint   record_count        (field 10)
 *     -22  85 01     fixed32                leader_epoch        (field 16)
 *     -16  89 01     fixed64                append_time_ms      (field 17)
 *      -6  95 01     fixed32                batch_checksum      (field 18)
 *
 * `batch_checksum` is CRC-32 (IEEE) over all bytes of the batch before its own 4 value bytes, its tag included. A frame is
 * stored once and never changed: followers keep exactly the leader's bytes.
 */

/** Field numbers of RecordBatch. */
export const batchField = {
  magic: 1,
  compressionType: 2,
  baseOffset: 3,
  lastOffsetDelta: 4,
  firstTimestamp: 5,
  maxTimestamp: 6,
  records: 7,
  crc32: 8,
  compressedRecords: 9,
  recordCount: 10,
  producerId: 11,
  producerEpoch: 12,
  baseSequence: 13,
  attributes: 14,
  idempotencyKey: 15,
  leaderEpoch: 16,
  appendTimeMs: 17,
  batchChecksum: 18,
} as const;

/** Field numbers of Record. */
export const recordField = {
  key: 1,
  value: 2,
  headers: 3,
  timestamp: 4,
  compressionType: 5,
  transactionalId: 6,
  offsetDelta: 7,
} as const;

/** Tag of a frame: field 6 of FetchPartitionResponse, length-delimited. */
export const frameTag = 0x32;
/** Tag of an entry of `records`: field 7 of RecordBatch, length-delimited. */
export const recordTag = 0x3a;
/** Tag of a record outside of a batch: field 4 of ProduceRequest, length-delimited. */
export const looseRecordTag = 0x22;
export const batchMagic = 1;

export const trailerBytes = 43;
/** Bytes of the checksum's value, the last of the batch; the checksum covers everything before them. */
export const checksumBytes = 4;
/** The smallest frame: its head (2 bytes), one empty record (2 bytes), the trailer. */
export const frameBytesMin = 2 + 2 + trailerBytes;
/** No frame is longer, whatever the settings: what claims more is damage. */
export const frameBytesMax: number = 64 * 1024 * 1024;

/** `RecordBatch.compression_type`. */
export const codecId = { none: 0, lz4: 1, zstd: 2, snappy: 3 } as const;

/** Bits of `RecordBatch.attributes`. */
export const attribute = { transactional: 1, control: 2 } as const;

/** Sequence numbers of idempotent producers run from 0 to 2^31-1 and start again at 0. */
export const sequenceModulus: number = 2 ** 31;
