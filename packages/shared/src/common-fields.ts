/**
 * Messages that many others contain, and the error fields of a body, read and written field by field: Duration, Timestamp,
 * `rustmq.common.TopicPartition`. Times are whole milliseconds: a wait is rounded up, so that one that was named is never
 * none; a point in time is rounded down.
 */
import { type WireReader, WireWriter } from './bytes.ts';
import { boundText, DomainError, type ErrorName, errorName, errorNumber } from './errors.ts';
import {
  type FieldTable,
  property,
  readFields,
  readMessage,
  readText,
  readUint32,
  readUint64,
  text,
  visitFields,
  writeBool,
  writeText,
} from './fields.ts';

/** google.protobuf.Duration in milliseconds, rounded up; a negative one is 0. */
export function readDurationMs(reader: WireReader, name: string): number {
  const { seconds, nanos } = readSecondsAndNanos(reader, name);
  return Math.max(0, seconds * 1_000 + Math.ceil(nanos / 1_000_000));
}

/** google.protobuf.Timestamp in milliseconds since 1970, rounded down. */
export function readTimestampMs(reader: WireReader, name: string): number {
  const { seconds, nanos } = readSecondsAndNanos(reader, name);
  return seconds * 1_000 + Math.floor(nanos / 1_000_000);
}

const secondsMax = 315_576_000_000; // 10,000 years: what google.protobuf.Duration allows
const nanosMax = 999_999_999;

function readSecondsAndNanos(reader: WireReader, name: string): { readonly seconds: number; readonly nanos: number } {
  let seconds = 0;
  let nanos = 0;
  visitFields(readMessage(reader, name), (field, value) => {
    if (field === 1) seconds = readSigned(value, 'seconds');
    else if (field === 2) nanos = readSigned(value, 'nanos');
  });
  if (Math.abs(seconds) <= secondsMax && Math.abs(nanos) <= nanosMax) return { seconds, nanos };
  throw new DomainError('INVALID_REQUEST', `${name} of ${seconds} s and ${nanos} ns is out of range`);
}

function readSigned(reader: WireReader, name: string): number {
  return Number(BigInt.asIntN(64, readUint64(reader, name)));
}

/** A Duration or Timestamp of 0 or more milliseconds, rounded up to whole ones. */
export function encodeMs(milliseconds: number): Uint8Array {
  const whole = Math.ceil(milliseconds);
  const seconds = Math.floor(whole / 1_000);
  return new WireWriter(16)
    .varintField(1, seconds)
    .varintField(2, (whole - seconds * 1_000) * 1_000_000)
    .finish();
}

/** A partition as messages name it: rustmq.common.TopicPartition. */
export interface TopicPartitionName {
  readonly topic: string;
  readonly partition: number;
}

/** What an absent TopicPartition stands for. */
export const noTopicPartition: TopicPartitionName = { topic: '', partition: 0 };

const topicPartitionFields: FieldTable<TopicPartitionName> = {
  1: property('topic', 'topic', text(1_024)),
  2: property('partition', 'partition', readUint32),
};

export function readTopicPartition(reader: WireReader): TopicPartitionName {
  return readFields(readMessage(reader, 'topic_partition'), topicPartitionFields, { topic: '', partition: 0 });
}

export function encodeTopicPartition(name: TopicPartitionName): Uint8Array {
  const writer = new WireWriter(name.topic.length + 16);
  return writeText(writer, 1, name.topic).varintField(2, name.partition).finish();
}

/** An `error_code`; undefined: OK. */
export function readErrorCode(reader: WireReader): ErrorName | undefined {
  const number = readUint32(reader, 'error_code');
  return number === 0 ? undefined : errorName(number);
}

/** An `error_message`. */
export function readErrorMessage(reader: WireReader): string {
  return readText(reader, 'error_message', 8_192);
}

/** Numbers of the error fields in a message. One that is left out is not written. */
export interface ErrorFields {
  readonly code: number;
  readonly message: number;
  readonly hint?: number;
  readonly retriable?: number;
  readonly retryAfter?: number;
}

/** The error fields of a body. */
export function writeError(writer: WireWriter, error: DomainError, fields: ErrorFields): WireWriter {
  writer.varintField(fields.code, errorNumber(error.code));
  writeText(writer, fields.message, boundText(error.message));
  if (fields.hint !== undefined) writeText(writer, fields.hint, error.leaderHint ?? '');
  if (fields.retriable !== undefined) writeBool(writer, fields.retriable, error.retriable);
  if (fields.retryAfter !== undefined && error.retryAfterMs !== undefined) {
    writer.bytesField(fields.retryAfter, encodeMs(error.retryAfterMs));
  }
  return writer;
}
