/**
 * Reading the few protobuf fields that a gateway needs, and writing the few that it makes itself. Everything else of a
 * message, record bytes above all, is passed on as it lies. Tags are compared whole (field number and wire type): a known
 * field under another wire type is stepped over here and left to the broker to refuse.
 */
import { assertMajor } from '@fleetmq/metadata';
import { DomainError, fieldTag, WireReader, WireWriter, wireBytes, wireVarint } from '@fleetmq/shared';

/** Tag of a bytes, string or message field. */
export const bytesTag = (field: number): number => fieldTag(field, wireBytes);
/** Tag of an integer, enum or bool field. */
export const varintTag = (field: number): number => fieldTag(field, wireVarint);

/** Called per field with its tag; reads the value and says true, or leaves it and says false. */
export type FieldVisitor = (tag: number, reader: WireReader, start: number) => boolean;

/** Walks over the fields of a message. INVALID_REQUEST for what is no protobuf. */
export function visitFields(message: Uint8Array, visit: FieldVisitor): void {
  const reader = new WireReader(message);
  while (!reader.done) {
    const start = reader.position;
    const tag = reader.varint();
    if (tag < 8) throw new DomainError('INVALID_REQUEST', `malformed protobuf at byte ${start}: field number 0`);
    if (!visit(tag, reader, start)) reader.skip(tag % 8);
  }
}

const versionTag = bytesTag(1);

/** Reads field 1 of a request and refuses a version that is not spoken here. False for any other field. */
export function visitVersion(tag: number, reader: WireReader): boolean {
  if (tag !== versionTag) return false;
  visitFields(reader.view(), (inner, value) => {
    if (inner !== varintTag(1)) return false;
    assertMajor(value.varint());
    return true;
  });
  return true;
}

const decoder = new TextDecoder('utf-8', { fatal: true });
const encoder = new TextEncoder();

export function decodeText(bytes: Uint8Array, what: string): string {
  try {
    return decoder.decode(bytes);
  } catch (error) {
    throw new DomainError('INVALID_REQUEST', `${what} is not UTF-8`, { cause: error });
  }
}

/** Seconds and nanoseconds of a Duration as milliseconds; a negative one counts as 0. */
export function readDurationMs(message: Uint8Array): number {
  let seconds = 0;
  let nanos = 0;
  visitFields(message, (tag, reader) => {
    if (tag === varintTag(1)) seconds = Number(BigInt.asIntN(64, reader.varint64()));
    else if (tag === varintTag(2)) nanos = Number(BigInt.asIntN(64, reader.varint64()));
    else return false;
    return true;
  });
  return Math.max(0, seconds * 1_000 + nanos / 1_000_000);
}

/** A Duration of 0 or more milliseconds. */
export function encodeDurationMs(durationMs: number): Uint8Array {
  const seconds = Math.floor(durationMs / 1_000);
  const nanos = Math.round((durationMs - seconds * 1_000) * 1_000_000);
  return new WireWriter(16).varintField(1, seconds).varintField(2, nanos).finish();
}

/** A string field; left out when it is empty. */
export function writeText(writer: WireWriter, field: number, text: string): void {
  if (text !== '') writer.bytesField(field, encoder.encode(text));
}

/** The partition that an entry or a result names. */
export interface Target {
  readonly topic: string;
  readonly partition: number;
}

/** Reads a rustmq.common.TopicPartition. */
export function readTarget(message: Uint8Array): Target {
  let topic = '';
  let partition = 0;
  visitFields(message, (tag, reader) => {
    if (tag === bytesTag(1)) topic = decodeText(reader.view(), 'topic');
    else if (tag === varintTag(2)) partition = reader.varint();
    else return false;
    return true;
  });
  return { topic, partition };
}

export function encodeTarget({ topic, partition }: Target): Uint8Array {
  const writer = new WireWriter(topic.length + 16);
  writeText(writer, 1, topic);
  return writer.varintField(2, partition).finish();
}

/** The tag and the length that stand before `content` in a message. */
export function fieldHeader(field: number, length: number): Uint8Array {
  return new WireWriter(12).varint(bytesTag(field)).varint(length).finish();
}
