/**
 * Small parts that the hot messages share: text, durations, timestamps, topic partitions, versions, errors. The hot calls are
 * read and written field by field, without message classes, so that record bytes stay where they are.
 *
 * Reading is strict about what it reads (a wrong wire type or broken UTF-8 is INVALID_REQUEST) and steps over what it does not know.
 */
import { assertMajor } from '@fleetmq/metadata';
import { DomainError, errorNumber, WireReader, WireWriter, wireBytes, wireVarint } from '@fleetmq/shared';

const utf8 = new TextDecoder('utf-8', { fatal: true });
const encoder = new TextEncoder();

/** Text of a string field, at most `bytesMax` bytes of UTF-8. */
export function readText(reader: WireReader, wireType: number, name: string, bytesMax: number): string {
  const bytes = readBytes(reader, wireType, name);
  if (bytes.length > bytesMax) {
    throw new DomainError('INVALID_REQUEST', `${name} of ${bytes.length} bytes is over ${bytesMax}`);
  }
  try {
    return utf8.decode(bytes);
  } catch (error) {
    throw new DomainError('INVALID_REQUEST', `${name} is not UTF-8`, { cause: error });
  }
}

/** A bytes or message field, as a view. */
export function readBytes(reader: WireReader, wireType: number, name: string): Uint8Array {
  expectType(wireType, wireBytes, name);
  return reader.view();
}

/** A uint32 or enum field. */
export function readUint32(reader: WireReader, wireType: number, name: string): number {
  const value = readUint53(reader, wireType, name);
  if (value > 0xffff_ffff) throw new DomainError('INVALID_REQUEST', `${name} ${value} does not fit 32 bits`);
  return value;
}

/** A uint64 field that has to be a safe integer. */
export function readUint53(reader: WireReader, wireType: number, name: string): number {
  expectType(wireType, wireVarint, name);
  return reader.varint();
}

export function readUint64(reader: WireReader, wireType: number, name: string): bigint {
  expectType(wireType, wireVarint, name);
  return reader.varint64();
}

export function readBool(reader: WireReader, wireType: number, name: string): boolean {
  return readUint64(reader, wireType, name) !== 0n;
}

/** google.protobuf.Duration in milliseconds; a negative one is 0. */
export function readDurationMs(reader: WireReader, wireType: number, name: string): number {
  return Math.max(0, readSecondsAndNanos(readBytes(reader, wireType, name), name));
}

/** google.protobuf.Timestamp in milliseconds since 1970. */
export function readTimestampMs(bytes: Uint8Array, name: string): number {
  return readSecondsAndNanos(bytes, name);
}

function readSecondsAndNanos(bytes: Uint8Array, name: string): number {
  const reader = new WireReader(bytes);
  let seconds = 0;
  let nanos = 0;
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === 0x08) seconds = Number(BigInt.asIntN(64, reader.varint64()));
    else if (tag === 0x10) nanos = Number(BigInt.asIntN(64, reader.varint64()));
    else reader.skip(tag & 7);
  }
  const bound = 315_576_000_000; // 10,000 years: what google.protobuf.Duration allows
  if (Math.abs(seconds) > bound || Math.abs(nanos) > 999_999_999) {
    throw new DomainError('INVALID_REQUEST', `${name} of ${seconds} s and ${nanos} ns is out of range`);
  }
  return seconds * 1_000 + Math.floor(nanos / 1_000_000);
}

/** rustmq.common.TopicPartition. */
export interface TopicPartitionName {
  readonly topic: string;
  readonly partition: number;
}

const topicBytesMax = 1_024;

export function readTopicPartition(reader: WireReader, wireType: number): TopicPartitionName {
  const inner = new WireReader(readBytes(reader, wireType, 'topic_partition'));
  let topic = '';
  let partition = 0;
  while (!inner.done) {
    const tag = inner.varint();
    if (tag >>> 3 === 1) topic = readText(inner, tag & 7, 'topic', topicBytesMax);
    else if (tag >>> 3 === 2) partition = readUint32(inner, tag & 7, 'partition');
    else inner.skip(tag & 7);
  }
  return { topic, partition };
}

/** Reads field 1 of every request and checks it. */
export function readVersion(reader: WireReader, wireType: number): void {
  const inner = new WireReader(readBytes(reader, wireType, 'version'));
  while (!inner.done) {
    const tag = inner.varint();
    if (tag === 0x08) assertMajor(readUint32(inner, wireVarint, 'version.major'));
    else inner.skip(tag & 7);
  }
}

export function encodeText(text: string): Uint8Array {
  return encoder.encode(text);
}

/** A string field; left out when it is empty. */
export function writeText(writer: WireWriter, field: number, text: string): WireWriter {
  return text === '' ? writer : writer.bytesField(field, encoder.encode(text));
}

export function writeBool(writer: WireWriter, field: number, value: boolean): WireWriter {
  return value ? writer.varintField(field, 1) : writer;
}

export function encodeTopicPartition(name: TopicPartitionName): Uint8Array {
  const writer = new WireWriter(name.topic.length + 16);
  return writeText(writer, 1, name.topic).varintField(2, name.partition).finish();
}

/** A Duration or Timestamp of 0 or more milliseconds. */
export function encodeMs(milliseconds: number): Uint8Array {
  const seconds = Math.floor(milliseconds / 1_000);
  const nanos = Math.round((milliseconds - seconds * 1_000) * 1_000_000);
  return new WireWriter(16).varintField(1, seconds).varintField(2, nanos).finish();
}

/** Longest error text in a body, in characters. */
const errorTextMax = 1_000;

/** The error fields of a body, under the numbers that its message gives them. */
export function writeError(
  writer: WireWriter,
  error: DomainError,
  fields: {
    readonly code: number;
    readonly message: number;
    readonly hint?: number;
    readonly retriable?: number;
    readonly retryAfter?: number;
  },
): WireWriter {
  writer.varintField(fields.code, errorNumber(error.code));
  writeText(writer, fields.message, error.message.slice(0, errorTextMax));
  if (fields.hint !== undefined) writeText(writer, fields.hint, error.leaderHint ?? '');
  if (fields.retriable !== undefined) writeBool(writer, fields.retriable, error.retriable);
  if (fields.retryAfter !== undefined && error.retryAfterMs !== undefined) {
    writer.bytesField(fields.retryAfter, encodeMs(error.retryAfterMs));
  }
  return writer;
}

function expectType(actual: number, expected: number, name: string): void {
  if (actual !== expected) {
    throw new DomainError('INVALID_REQUEST', `${name} has wire type ${actual}, expected ${expected}`);
  }
}
