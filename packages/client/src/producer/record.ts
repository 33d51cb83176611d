/**
 * A record on its way in: what the caller gave, checked and encoded once; and on its way out: where it lies.
 * Bound: no record is larger than `recordBytesMax`, whatever the topic allows.
 */
import type { RecordHeader } from '@fleetmq/record';
import { DomainError, type Offset, toOffset } from '@fleetmq/shared';
import type { Plain, Serde } from '../serde.ts';
import type { ProducerBatch } from './batch.ts';
import type { OutgoingRecord } from './partition-queue.ts';

export type HeaderInput =
  | Readonly<Record<string, string | Uint8Array>>
  | readonly (readonly [string, string | Uint8Array])[];

export interface SendOptions<Key = Plain> {
  /** Decides the partition. `null` or absent: no key. */
  readonly key?: Key | null | undefined;
  /** A list keeps order and duplicates. */
  readonly headers?: HeaderInput | undefined;
  /** Overrides every other choice of the partition. */
  readonly partition?: number | undefined;
  /** Milliseconds since 1970-01-01 UTC, or a Date. Default: now. */
  readonly timestamp?: number | Date | undefined;
  /** Comes back in the delivery report. */
  readonly context?: unknown;
}

export interface ProducerRecord<Key = Plain, Value = Plain> extends SendOptions<Key> {
  readonly topic: string;
  /** `null`: a tombstone. */
  readonly value: Value | null;
}

/** Where a record lies. With acks `none` it binds nobody. */
export interface Receipt {
  readonly topic: string;
  readonly partition: number;
  readonly offset: Offset;
  /** Append time at the leader, milliseconds since 1970-01-01 UTC. */
  readonly timestampMs: number;
}

/** A record with its room in the budget. */
export interface Accepted extends OutgoingRecord {
  readonly topic: string;
  readonly partition: number | undefined;
  readonly context: unknown;
  readonly cost: number;
}

export interface Placed {
  readonly batch: ProducerBatch;
  readonly index: number;
}

const encoder = new TextEncoder();
/** Bookkeeping per record, on top of its bytes. */
const recordOverhead = 64;
/** No server takes a larger request. */
export const recordBytesMax: number = 3 * 1024 * 1024;

/** Errors: INVALID_REQUEST with what is wrong, RECORD_TOO_LARGE, and what the serdes throw. */
export function acceptRecord<Key, Value>(
  topic: string,
  value: Value | null,
  options: SendOptions<Key>,
  serdes: { readonly key: Serde<Key>; readonly value: Serde<Value> },
  wallMs: () => number,
): Accepted {
  const { timestamp, partition, context } = options;
  const key = options.key === undefined || options.key === null ? undefined : serdes.key.encode(options.key);
  const bytes = value === null ? undefined : serdes.value.encode(value);
  const headers = options.headers === undefined ? undefined : toHeaders(options.headers);
  const headerBytes = headers === undefined ? 0 : sizeOf(headers);
  const size = (key?.length ?? 0) + (bytes?.length ?? 0) + headerBytes;
  if (size > recordBytesMax - 1024) {
    throw new DomainError('RECORD_TOO_LARGE', `a record of ${size} bytes is over ${recordBytesMax - 1024} bytes`);
  }
  const timestampMs = timestamp === undefined ? wallMs() : Math.floor(Number(timestamp));
  if (!Number.isSafeInteger(timestampMs)) {
    throw new DomainError('INVALID_REQUEST', `timestamp ${timestamp} is no time`);
  }
  const cost = size + recordOverhead;
  return { topic, key, value: bytes, headers, headerBytes, timestampMs, partition, context, cost };
}

/** An upper bound of what the headers take on the wire. */
function sizeOf(headers: readonly RecordHeader[]): number {
  let bytes = 0;
  for (const { key, value } of headers) bytes += key.length * 3 + value.length + 12;
  return bytes;
}

/** Settles with the batch. */
export function receiptOf({ batch, index }: Placed): Promise<Receipt> {
  const { topic, partition } = batch;
  return batch.settled().then(({ baseOffset, timestampMs }) => ({
    topic,
    partition,
    offset: toOffset(baseOffset + index),
    timestampMs,
  }));
}

function toHeaders(input: HeaderInput): RecordHeader[] {
  const entries = Array.isArray(input)
    ? (input as readonly (readonly [string, string | Uint8Array])[])
    : Object.entries(input);
  return entries.map(([key, value]) => ({ key, value: typeof value === 'string' ? encoder.encode(value) : value }));
}
