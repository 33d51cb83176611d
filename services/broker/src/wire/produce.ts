/**
 * ProduceRequest, ProduceBatchRequest and their answers (client/producer.proto), read and written field by field. Batches
 * stay views of the request; of loose records only their extent and their timestamps are looked at.
 */
import { looseRecordTag } from '@fleetmq/record';
import {
  assertWireType,
  DomainError,
  encodeMs,
  encodeTopicPartition,
  type FieldTable,
  noTopicPartition,
  property,
  readBool,
  readBytes,
  readDurationMs,
  readField,
  readFields,
  readMessage,
  readTopicPartition,
  readUint32,
  readUint64,
  type TopicPartitionName,
  WireReader,
  WireWriter,
  wireBytes,
  writeError,
  writeText,
} from '@fleetmq/shared';
import { type LooseRecords, peekTimestampMs } from '../domain/produce.ts';
import { headFields } from './head.ts';

export interface ProduceAsk {
  readonly target: TopicPartitionName;
  /** The request itself: loose records are copied out of it. */
  readonly request: Uint8Array;
  readonly records: LooseRecords;
  readonly acks: number;
  readonly customAckCount: number;
  /** Undefined: none was named. */
  readonly timeoutMs: number | undefined;
  readonly idempotencyKey: Uint8Array | undefined;
  readonly correlationId: bigint;
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly transactional: boolean;
}

type Mutable<Type> = { -readonly [Key in keyof Type]: Type[Key] };

const produceFields: FieldTable<ProduceAsk> = {
  ...headFields,
  3: property('target', 'topic_partition', readTopicPartition),
  5: property('acks', 'acks', readUint32),
  6: property('customAckCount', 'custom_ack_count', readUint32),
  7: property('timeoutMs', 'timeout', readDurationMs),
  8: property('idempotencyKey', 'idempotency_key', readBytes),
  9: property('correlationId', 'correlation_id', readUint64),
  10: property('producerId', 'producer_id', readUint64),
  11: property('producerEpoch', 'producer_epoch', readUint32),
  12: property('baseSequence', 'base_sequence', readUint32),
  13: property('transactional', 'transactional', readBool),
};

/** Throws INVALID_REQUEST for what is no ProduceRequest, UNSUPPORTED_VERSION. */
export function decodeProduce(request: Uint8Array): ProduceAsk {
  const records = { entries: 0, bytes: 0, firstTimestampMs: 0, maxTimestampMs: 0 };
  const ask: ProduceAsk = {
    target: noTopicPartition,
    request,
    records,
    acks: 0,
    customAckCount: 0,
    timeoutMs: undefined,
    idempotencyKey: undefined,
    correlationId: 0n,
    producerId: 0n,
    producerEpoch: 0,
    baseSequence: 0,
    transactional: false,
  };
  const reader = new WireReader(request);
  while (!reader.done) {
    const start = reader.position;
    const field = reader.next();
    if (field === looseRecordTag >>> 3) noteRecord(reader, start, records);
    else readField(reader, field, produceFields, ask);
  }
  return ask;
}

function noteRecord(reader: WireReader, start: number, records: Mutable<LooseRecords>): void {
  assertWireType(reader, wireBytes, 'records');
  // The tag is written over in place later, which a padded one (legal, and made by nobody) would not survive.
  if (reader.bytes[start] !== looseRecordTag) throw new DomainError('INVALID_REQUEST', 'a record has a padded tag');
  const length = reader.varint();
  const end = reader.position + length;
  if (end > reader.end) reader.skip(9); // throws the reader's own error: the message ends inside a field
  const timestampMs = peekTimestampMs(reader, end);
  if (records.entries === 0) records.firstTimestampMs = timestampMs;
  if (timestampMs > records.maxTimestampMs) records.maxTimestampMs = timestampMs;
  records.entries++;
  records.bytes += end - start;
}

export interface ProduceBatchEntry {
  readonly target: TopicPartitionName;
  /** The RecordBatch as it came; empty when there is none. */
  readonly batch: Uint8Array;
}

export interface ProduceBatchAsk {
  readonly entries: readonly ProduceBatchEntry[];
  readonly acks: number;
  readonly customAckCount: number;
  readonly timeoutMs: number | undefined;
}

const produceBatchFields: FieldTable<ProduceBatchAsk> = {
  ...headFields,
  4: property('acks', 'acks', readUint32),
  5: property('timeoutMs', 'timeout', readDurationMs),
  6: property('customAckCount', 'custom_ack_count', readUint32),
};

/** Throws INVALID_REQUEST for what is no ProduceBatchRequest, UNSUPPORTED_VERSION, and what `assertCount` throws. */
export function decodeProduceBatch(request: Uint8Array, assertCount: (count: number) => void): ProduceBatchAsk {
  const entries: ProduceBatchEntry[] = [];
  const ask: ProduceBatchAsk = { entries, acks: 0, customAckCount: 0, timeoutMs: undefined };
  const reader = new WireReader(request);
  while (!reader.done) {
    const field = reader.next();
    if (field === 3) {
      assertCount(entries.length + 1);
      entries.push(readEntry(reader));
    } else readField(reader, field, produceBatchFields, ask);
  }
  assertCount(entries.length);
  return ask;
}

const entryFields: FieldTable<ProduceBatchEntry> = {
  1: property('target', 'topic_partition', readTopicPartition),
  2: property('batch', 'batch', readBytes),
};

const noBatch: Uint8Array = new Uint8Array(0);

function readEntry(reader: WireReader): ProduceBatchEntry {
  const entry: ProduceBatchEntry = { target: noTopicPartition, batch: noBatch };
  return readFields(readMessage(reader, 'partitions'), entryFields, entry);
}

/** What became of one batch. */
export type ProduceOutcome =
  | {
      readonly offset: number;
      readonly appendTimeMs: number;
      readonly logStartOffset: number;
      readonly leaderId: number;
    }
  | DomainError;

function isError(outcome: ProduceOutcome): outcome is DomainError {
  return outcome instanceof Error;
}

/** ProduceResponse. */
export function encodeProduceAnswer(outcome: ProduceOutcome, correlationId: bigint): Uint8Array {
  const writer = new WireWriter(96);
  if (isError(outcome)) {
    writeError(writer, outcome, { code: 1, message: 2, retriable: 8, retryAfter: 9, hint: 10 });
  } else {
    writer.varintField(3, outcome.offset);
    writer.bytesField(4, encodeMs(outcome.appendTimeMs));
    writer.varintField(5, outcome.appendTimeMs);
    writeText(writer, 6, String(outcome.leaderId));
  }
  return writer.varint64Field(7, correlationId).finish();
}

/** ProduceBatchResponse, one outcome per entry and in their order. */
export function encodeProduceBatchAnswer(
  entries: readonly ProduceBatchEntry[],
  outcomes: readonly ProduceOutcome[],
): Uint8Array {
  const writer = new WireWriter(64 + 96 * entries.length);
  entries.forEach((entry, index) => {
    writer.bytesField(3, encodePartitionOutcome(entry.target, outcomes[index] as ProduceOutcome));
  });
  return writer.finish();
}

function encodePartitionOutcome(target: TopicPartitionName, outcome: ProduceOutcome): Uint8Array {
  const writer = new WireWriter(128);
  writer.bytesField(1, encodeTopicPartition(target));
  if (isError(outcome)) {
    writeError(writer, outcome, { code: 2, message: 3, hint: 8, retriable: 9, retryAfter: 10 });
  } else {
    writer.varintField(4, outcome.offset);
    writer.varintField(5, outcome.appendTimeMs);
    writer.varintField(6, outcome.logStartOffset);
    writeText(writer, 7, String(outcome.leaderId));
  }
  return writer.finish();
}
