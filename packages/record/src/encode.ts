/**
 * Writes the header fields of a batch. Ours always stand before the records, so that a reader finds them at the front;
 * readers accept any order (header.ts). Fields that only a leader sets are not written here: they are the trailer's.
 */
import { WireWriter } from '@fleetmq/shared';
import { batchField, batchMagic } from './layout.ts';
import { timestampBytesMax, writeTimestamp } from './timestamp.ts';

export interface BatchFields {
  readonly compressionType: number;
  readonly recordCount: number;
  /** Default: `recordCount - 1`, as it is unless offsets have gaps. */
  readonly lastOffsetDelta?: number;
  /** 0 for none. */
  readonly firstTimestampMs: number;
  /** 0 for none. */
  readonly maxTimestampMs: number;
  readonly crc: number;
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly attributes: number;
  readonly idempotencyKey: string;
}

/** Header of a batch, to be followed by its `records` entries or by `compressed_records`. */
export function encodeHeader(fields: BatchFields): Uint8Array {
  const writer = new WireWriter(128);
  writer.varintField(batchField.magic, batchMagic);
  writer.varintField(batchField.compressionType, fields.compressionType);
  writer.varintField(batchField.lastOffsetDelta, fields.lastOffsetDelta ?? fields.recordCount - 1);
  timestampField(writer, batchField.firstTimestamp, fields.firstTimestampMs);
  timestampField(writer, batchField.maxTimestamp, fields.maxTimestampMs);
  writer.varintField(batchField.crc32, fields.crc);
  writer.varintField(batchField.recordCount, fields.recordCount);
  writer.varint64Field(batchField.producerId, fields.producerId);
  writer.varintField(batchField.producerEpoch, fields.producerEpoch);
  writer.varintField(batchField.baseSequence, fields.baseSequence);
  writer.varintField(batchField.attributes, fields.attributes);
  if (fields.idempotencyKey !== '') {
    writer.bytesField(batchField.idempotencyKey, new TextEncoder().encode(fields.idempotencyKey));
  }
  return writer.finish();
}

function timestampField(writer: WireWriter, field: number, timestampMs: number): void {
  if (timestampMs === 0) return;
  const message = new Uint8Array(timestampBytesMax);
  writer.bytesField(field, message.subarray(0, writeTimestamp(message, 0, timestampMs)));
}
