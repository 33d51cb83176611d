/**
 * ProduceRequest, ProduceBatchRequest and their answers (client/producer.proto), read and written field by field. Batches
 * stay views of the request; of loose records only their extent and their timestamps are looked at.
 */
import { DomainError, WireReader, WireWriter } from '@fleetmq/shared';
import { type LooseRecords, looseRecordTag, peekTimestampMs } from '../domain/produce.ts';
import {
  encodeMs,
  encodeTopicPartition,
  readBool,
  readBytes,
  readDurationMs,
  readText,
  readTopicPartition,
  readUint32,
  readUint64,
  readVersion,
  type TopicPartitionName,
  writeError,
  writeText,
} from './fields.ts';

const clientIdBytesMax = 249;

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

export const noTarget: TopicPartitionName = { topic: '', partition: 0 };

/** Throws INVALID_REQUEST for what is no ProduceRequest, UNSUPPORTED_VERSION. */
export function decodeProduce(request: Uint8Array): ProduceAsk {
  const records = { entries: 0, bytes: 0, firstTimestampMs: 0, maxTimestampMs: 0 };
  const ask: Mutable<ProduceAsk> = {
    target: noTarget,
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
    const tag = reader.varint();
    if (tag === looseRecordTag) noteRecord(reader, start, records);
    else readProduceField(reader, tag, ask);
  }
  return ask;
}

function noteRecord(reader: WireReader, start: number, records: Mutable<LooseRecords>): void {
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

function readProduceField(reader: WireReader, tag: number, ask: Mutable<ProduceAsk>): void {
  const wireType = tag & 7;
  switch (tag >>> 3) {
    case 1:
      readVersion(reader, wireType);
      return;
    case 2:
      readText(reader, wireType, 'client_id', clientIdBytesMax);
      return;
    case 3:
      ask.target = readTopicPartition(reader, wireType);
      return;
    case 4:
      throw new DomainError('INVALID_REQUEST', `records has wire type ${wireType}, expected 2`);
    case 5:
      ask.acks = readUint32(reader, wireType, 'acks');
      return;
    case 6:
      ask.customAckCount = readUint32(reader, wireType, 'custom_ack_count');
      return;
    case 7:
      ask.timeoutMs = readDurationMs(reader, wireType, 'timeout');
      return;
    case 8:
      ask.idempotencyKey = readBytes(reader, wireType, 'idempotency_key');
      return;
    case 9:
      ask.correlationId = readUint64(reader, wireType, 'correlation_id');
      return;
    case 10:
      ask.producerId = readUint64(reader, wireType, 'producer_id');
      return;
    case 11:
      ask.producerEpoch = readUint32(reader, wireType, 'producer_epoch');
      return;
    case 12:
      ask.baseSequence = readUint32(reader, wireType, 'base_sequence');
      return;
    case 13:
      ask.transactional = readBool(reader, wireType, 'transactional');
      return;
    default:
      reader.skip(wireType);
  }
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

/** Throws INVALID_REQUEST for what is no ProduceBatchRequest or has more than `entriesMax` entries, UNSUPPORTED_VERSION. */
export function decodeProduceBatch(request: Uint8Array, assertCount: (count: number) => void): ProduceBatchAsk {
  const entries: ProduceBatchEntry[] = [];
  const ask: Mutable<ProduceBatchAsk> = { entries, acks: 0, customAckCount: 0, timeoutMs: undefined };
  const reader = new WireReader(request);
  while (!reader.done) {
    const tag = reader.varint();
    const wireType = tag & 7;
    switch (tag >>> 3) {
      case 1:
        readVersion(reader, wireType);
        break;
      case 2:
        readText(reader, wireType, 'client_id', clientIdBytesMax);
        break;
      case 3:
        assertCount(entries.length + 1);
        entries.push(readEntry(readBytes(reader, wireType, 'partitions')));
        break;
      case 4:
        ask.acks = readUint32(reader, wireType, 'acks');
        break;
      case 5:
        ask.timeoutMs = readDurationMs(reader, wireType, 'timeout');
        break;
      case 6:
        ask.customAckCount = readUint32(reader, wireType, 'custom_ack_count');
        break;
      default:
        reader.skip(wireType);
    }
  }
  assertCount(entries.length);
  return ask;
}

const noBatch: Uint8Array = new Uint8Array(0);

function readEntry(bytes: Uint8Array): ProduceBatchEntry {
  const reader = new WireReader(bytes);
  let target = noTarget;
  let batch = noBatch;
  while (!reader.done) {
    const tag = reader.varint();
    if (tag >>> 3 === 1) target = readTopicPartition(reader, tag & 7);
    else if (tag >>> 3 === 2) batch = readBytes(reader, tag & 7, 'batch');
    else reader.skip(tag & 7);
  }
  return { target, batch };
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
