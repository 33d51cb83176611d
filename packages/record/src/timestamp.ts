/**
 * google.protobuf.Timestamp <-> milliseconds since 1970-01-01 UTC. Inside FleetMQ times are numbers of milliseconds; what
 * is finer is cut off. Times outside the years 1 to 9999 are refused, because JSON readers cannot show them.
 */
import { type WireReader, writeVarint } from '@fleetmq/shared';
import { corruptBatch } from './limits.ts';

const secondsTag = 0x08;
const nanosTag = 0x10;
const secondsMin = -62_135_596_800;
const secondsMax = 253_402_300_799;
const tenByteVarint = 10;

/** Longest wire form of a Timestamp: two tags, 10 bytes of seconds, 5 of nanos. */
export const timestampBytesMax = 17;

/** Reads the message that lies from the reader's position to `end`, and leaves the reader there. CORRUPT_BATCH if it is none. */
export function readTimestampMs(reader: WireReader, end: number): number {
  let seconds = 0;
  let nanos = 0;
  while (reader.position < end) {
    const tag = reader.varint();
    if (tag === secondsTag) seconds = readSigned(reader);
    else if (tag === nanosTag) nanos = readSigned(reader);
    else reader.skip(tag & 7);
  }
  if (reader.position !== end) throw corruptBatch('a timestamp is longer than it says');
  if (seconds < secondsMin || seconds > secondsMax || nanos < 0 || nanos > 999_999_999) {
    throw corruptBatch(`timestamp of ${seconds} s and ${nanos} ns is outside the years 1 to 9999`);
  }
  return seconds * 1000 + Math.floor(nanos / 1_000_000);
}

/** Writes a Timestamp message without its own tag and length; returns the position behind it. */
export function writeTimestamp(target: Uint8Array, position: number, timestampMs: number): number {
  const seconds = Math.floor(timestampMs / 1000);
  const nanos = (timestampMs - seconds * 1000) * 1_000_000;
  let at = position;
  if (seconds !== 0) {
    target[at++] = secondsTag;
    at = seconds > 0 ? writeVarint(target, at, seconds) : writeNegative(target, at, seconds);
  }
  if (nanos !== 0) {
    target[at++] = nanosTag;
    at = writeVarint(target, at, nanos);
  }
  return at;
}

/** An int32 or int64: a negative one is always 10 bytes long, and only those need 64-bit arithmetic. */
function readSigned(reader: WireReader): number {
  const start = reader.position;
  let length = 1;
  while (length < tenByteVarint && ((reader.bytes[start + length - 1] ?? 0) & 0x80) !== 0) length++;
  return length < tenByteVarint ? reader.varint() : Number(BigInt.asIntN(64, reader.varint64()));
}

function writeNegative(target: Uint8Array, position: number, value: number): number {
  let rest = BigInt.asUintN(64, BigInt(value));
  let at = position;
  while (rest >= 128n) {
    target[at++] = Number(rest & 0x7fn) | 0x80;
    rest >>= 7n;
  }
  target[at++] = Number(rest);
  return at;
}
