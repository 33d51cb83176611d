/**
 * What a gateway has to know of produce requests: where they go, how long they may take, and whether repeating them is safe.
 * Repeating is safe when the broker can tell a batch that it already has: by producer id and sequence, or by idempotency key.
 */
import { readVersion } from '@fleetmq/metadata';
import {
  type DomainError,
  type ErrorName,
  noTopicPartition,
  readBytes,
  readDurationMs,
  readErrorCode,
  readErrorMessage,
  readMessage,
  readTopicPartition,
  readUint64,
  type TopicPartitionName,
  visitFields,
  WireReader,
  WireWriter,
  writeError,
} from '@fleetmq/shared';
import { type Entry, produceBatchLayout, type SplitRequest, splitRequest } from './entries.ts';

/** How long a produce call waits for acknowledgments when it does not say. */
const timeoutDefaultMs = 30_000;
/** The longest such wait. */
const timeoutMaxMs = 600_000;

/** The head of a ProduceRequest. */
export interface ProduceHead extends TopicPartitionName {
  readonly request: Uint8Array;
  readonly timeoutMs: number;
  readonly correlationId: bigint;
  readonly isSafe: boolean;
}

/** INVALID_REQUEST for what is no ProduceRequest, UNSUPPORTED_VERSION. */
export function readProduce(request: Uint8Array): ProduceHead {
  let target = noTopicPartition;
  let timeoutMs: number | undefined;
  let correlationId = 0n;
  let isSafe = false;
  visitFields(new WireReader(request), (field, reader) => {
    if (field === 1) readVersion(reader);
    else if (field === 3) target = readTopicPartition(reader);
    else if (field === 7) timeoutMs = readDurationMs(reader, 'timeout');
    else if (field === 8) isSafe = readBytes(reader, 'idempotency_key').length > 0 || isSafe;
    else if (field === 9) correlationId = readUint64(reader, 'correlation_id');
    else if (field === 10) isSafe = readUint64(reader, 'producer_id') !== 0n || isSafe;
  });
  return { ...target, request, timeoutMs: boundTimeout(timeoutMs), correlationId, isSafe };
}

export interface ProduceBatchAsk extends SplitRequest {
  readonly timeoutMs: number;
}

/** INVALID_REQUEST for what is no ProduceBatchRequest or names no or too many partitions, UNSUPPORTED_VERSION. */
export function readProduceBatch(request: Uint8Array, entriesMax: number): ProduceBatchAsk {
  const split = splitRequest(request, produceBatchLayout, { entriesMax });
  let timeoutMs: number | undefined;
  for (const part of split.common) {
    visitFields(new WireReader(part), (field, reader) => {
      if (field === 5) timeoutMs = readDurationMs(reader, 'timeout');
    });
  }
  return { ...split, timeoutMs: boundTimeout(timeoutMs) };
}

/** Whether the batch of a ProducePartitionData may be sent again after an attempt with unknown outcome. */
export function isSafeEntry(entry: Entry): boolean {
  let isSafe = false;
  visitFields(new WireReader(entry.content), (field, reader) => {
    if (field === 2) isSafe = isSafeBatch(readMessage(reader, 'batch')) || isSafe;
  });
  return isSafe;
}

function isSafeBatch(batch: WireReader): boolean {
  let isSafe = false;
  visitFields(batch, (field, reader) => {
    if (field === 11) isSafe = readUint64(reader, 'producer_id') !== 0n || isSafe;
    else if (field === 15) isSafe = readBytes(reader, 'idempotency_key').length > 0 || isSafe;
  });
  return isSafe;
}

function boundTimeout(timeoutMs: number | undefined): number {
  return timeoutMs === undefined || timeoutMs === 0 ? timeoutDefaultMs : Math.min(timeoutMs, timeoutMaxMs);
}

/** The code and text of a ProduceResponse. */
export function readProduceCode(answer: Uint8Array): { readonly code: ErrorName | 'OK'; readonly message: string } {
  let code: ErrorName | undefined;
  let message = '';
  visitFields(new WireReader(answer), (field, reader) => {
    if (field === 1) code = readErrorCode(reader);
    else if (field === 2) message = readErrorMessage(reader);
  });
  return { code: code ?? 'OK', message };
}

/** The correlation id of a ProduceResponse. */
export function readProduceNumber(answer: Uint8Array): bigint {
  let number = 0n;
  visitFields(new WireReader(answer), (field, reader) => {
    if (field === 7) number = readUint64(reader, 'correlation_id');
  });
  return number;
}

/** A ProduceResponse for a request that failed here. */
export function produceError(head: ProduceHead, error: DomainError): Uint8Array {
  const writer = new WireWriter(128);
  writeError(writer, error, { code: 1, message: 2, retriable: 8, retryAfter: 9 });
  return writer.varint64Field(7, head.correlationId).finish();
}
