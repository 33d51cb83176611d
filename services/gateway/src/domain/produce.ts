/**
 * What a gateway has to know of produce requests: where they go, how long they may take, and whether repeating them is safe.
 * Repeating is safe when the broker can tell a batch that it already has: by producer id and sequence, or by idempotency key.
 */
import { type DomainError, type ErrorName, errorName, errorNumber, WireWriter } from '@fleetmq/shared';
import { type Entry, produceBatchLayout, type SplitRequest, splitRequest } from './entries.ts';
import {
  bytesTag,
  decodeText,
  encodeDurationMs,
  readDurationMs,
  readTarget,
  type Target,
  varintTag,
  visitFields,
  visitVersion,
  writeText,
} from './fields.ts';

/** How long a produce call waits for acknowledgments when it does not say. */
const timeoutDefaultMs = 30_000;
/** The longest such wait. */
const timeoutMaxMs = 600_000;

/** The head of a ProduceRequest. */
export interface ProduceHead extends Target {
  readonly request: Uint8Array;
  readonly timeoutMs: number;
  readonly correlationId: bigint;
  readonly isSafe: boolean;
}

/** INVALID_REQUEST for what is no ProduceRequest, UNSUPPORTED_VERSION. */
export function readProduce(request: Uint8Array): ProduceHead {
  let target: Target = { topic: '', partition: 0 };
  let timeoutMs: number | undefined;
  let correlationId = 0n;
  let isSafe = false;
  visitFields(request, (tag, reader) => {
    if (tag === bytesTag(3)) target = readTarget(reader.view());
    else if (tag === bytesTag(7)) timeoutMs = readDurationMs(reader.view());
    else if (tag === bytesTag(8)) isSafe = reader.view().length > 0 || isSafe;
    else if (tag === varintTag(9)) correlationId = reader.varint64();
    else if (tag === varintTag(10)) isSafe = reader.varint64() !== 0n || isSafe;
    else return visitVersion(tag, reader);
    return true;
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
    visitFields(part, (tag, reader) => {
      if (tag !== bytesTag(5)) return false;
      timeoutMs = readDurationMs(reader.view());
      return true;
    });
  }
  return { ...split, timeoutMs: boundTimeout(timeoutMs) };
}

/** Whether the batch of a ProducePartitionData may be sent again after an attempt with unknown outcome. */
export function isSafeEntry(entry: Entry): boolean {
  let isSafe = false;
  visitFields(entry.content, (tag, reader) => {
    if (tag !== bytesTag(2)) return false;
    isSafe = isSafeBatch(reader.view()) || isSafe;
    return true;
  });
  return isSafe;
}

function isSafeBatch(batch: Uint8Array): boolean {
  let isSafe = false;
  visitFields(batch, (tag, reader) => {
    if (tag === varintTag(11)) isSafe = reader.varint64() !== 0n || isSafe;
    else if (tag === bytesTag(15)) isSafe = reader.view().length > 0 || isSafe;
    else return false;
    return true;
  });
  return isSafe;
}

function boundTimeout(timeoutMs: number | undefined): number {
  return timeoutMs === undefined || timeoutMs === 0 ? timeoutDefaultMs : Math.min(timeoutMs, timeoutMaxMs);
}

/** The code and text of a ProduceResponse. */
export function readProduceCode(answer: Uint8Array): { readonly code: ErrorName | 'OK'; readonly message: string } {
  let code = 0;
  let message = '';
  visitFields(answer, (tag, reader) => {
    if (tag === varintTag(1)) code = reader.varint();
    else if (tag === bytesTag(2)) message = decodeText(reader.view(), 'error_message');
    else return false;
    return true;
  });
  return { code: code === 0 ? 'OK' : errorName(code), message };
}

/** The correlation id of a ProduceResponse. */
export function readProduceNumber(answer: Uint8Array): bigint {
  let number = 0n;
  visitFields(answer, (tag, reader) => {
    if (tag !== varintTag(7)) return false;
    number = reader.varint64();
    return true;
  });
  return number;
}

/** A ProduceResponse for a request that failed here. */
export function produceError(head: ProduceHead, error: DomainError): Uint8Array {
  const writer = new WireWriter(128).varintField(1, errorNumber(error.code));
  writeText(writer, 2, error.message.slice(0, 1_000));
  writer.varint64Field(7, head.correlationId).varintField(8, error.retriable ? 1 : 0);
  if (error.retryAfterMs !== undefined) writer.bytesField(9, encodeDurationMs(error.retryAfterMs));
  return writer.finish();
}
