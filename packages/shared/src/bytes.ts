/**
 * The small wire reader and writer: varints and protobuf fields over a Uint8Array, without a message class. Brokers and
 * gateways use it to look at the few fields that they need; record bytes are skipped, never decoded.
 * Wire format: https://protobuf.dev/programming-guides/encoding
 */
import { DomainError } from './errors.ts';

export const wireVarint = 0;
export const wireFixed64 = 1;
export const wireBytes = 2;
export const wireFixed32 = 5;

/** Largest tag: of field 2^29-1. */
const tagMax = 0xffff_ffff;

/** Reads protobuf fields one after the other. Throws INVALID_REQUEST on anything that is not protobuf. */
export class WireReader {
  readonly bytes: Uint8Array;
  position: number;
  readonly end: number;
  /** Wire type of the field that `next` came upon last. */
  wireType: number = wireVarint;
  #view: DataView | undefined;

  constructor(bytes: Uint8Array, start = 0, end: number = bytes.length) {
    this.bytes = bytes;
    this.position = start;
    this.end = end;
  }

  get done(): boolean {
    return this.position >= this.end;
  }

  /** Reads the tag of the next field: returns its number, 1 to 2^29-1, and leaves its wire type in `wireType`. */
  next(): number {
    const start = this.position;
    const tag = this.varint();
    if (tag < 8 || tag > tagMax) throw malformed(`field number ${Math.floor(tag / 8)}`, start);
    this.wireType = tag & 7;
    return tag >>> 3;
  }

  /** A varint of up to 2^53-1. */
  varint(): number {
    let byte = this.#byte();
    if (byte < 0x80) return byte;
    let value = byte & 0x7f;
    let scale = 128;
    for (let i = 1; i < 10; i++) {
      byte = this.#byte();
      value += (byte & 0x7f) * scale;
      scale *= 128;
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) throw malformed('a number is above 2^53-1', this.position);
        return value;
      }
    }
    throw malformed('a varint is longer than 10 bytes', this.position);
  }

  /** A varint of the full 64 bits. */
  varint64(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw malformed('a varint is longer than 10 bytes', this.position);
  }

  fixed32(): number {
    const at = this.position;
    this.#advance(4);
    this.#view ??= viewOf(this.bytes);
    return this.#view.getUint32(at, true);
  }

  fixed64(): bigint {
    const at = this.position;
    this.#advance(8);
    this.#view ??= viewOf(this.bytes);
    return this.#view.getBigUint64(at, true);
  }

  /** The next length-delimited value, as a view of the same memory. */
  view(): Uint8Array {
    const length = this.varint();
    const start = this.position;
    this.#advance(length);
    return this.bytes.subarray(start, start + length);
  }

  /** The next length-delimited value, as a reader of its own over the same memory. */
  message(): WireReader {
    const length = this.varint();
    const start = this.position;
    this.#advance(length);
    return new WireReader(this.bytes, start, this.position);
  }

  /** Steps over a value of this wire type. Groups are refused. */
  skip(wireType: number): void {
    switch (wireType) {
      case wireVarint:
        for (let i = 0; i < 10; i++) if (this.#byte() < 0x80) return;
        throw malformed('a varint is longer than 10 bytes', this.position);
      case wireFixed64:
        this.#advance(8);
        return;
      case wireBytes:
        this.#advance(this.varint());
        return;
      case wireFixed32:
        this.#advance(4);
        return;
      default:
        throw malformed(`wire type ${wireType} is not supported`, this.position);
    }
  }

  #byte(): number {
    if (this.position >= this.end) throw malformed('the message ends inside a field', this.position);
    return this.bytes[this.position++] as number;
  }

  #advance(length: number): void {
    if (length > this.end - this.position) throw malformed('the message ends inside a field', this.position);
    this.position += length;
  }
}

function malformed(what: string, position: number): DomainError {
  return new DomainError('INVALID_REQUEST', `malformed protobuf at byte ${position}: ${what}`);
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Number of bytes of a varint. `value` is a safe integer of 0 or more. */
export function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) size++;
  return size;
}

/** Writes a varint at `position` and returns the position behind it. */
export function writeVarint(target: Uint8Array, position: number, value: number): number {
  let rest = value;
  let at = position;
  while (rest >= 128) {
    target[at++] = (rest % 128) | 0x80;
    rest = Math.floor(rest / 128);
  }
  target[at++] = rest;
  return at;
}

/** Writes a varint padded to exactly `width` bytes (legal protobuf), so that it can be overwritten in place. */
export function writePaddedVarint(target: Uint8Array, position: number, value: number, width: number): number {
  let rest = value;
  for (let i = 0; i < width - 1; i++) {
    target[position + i] = (rest % 128) | 0x80;
    rest = Math.floor(rest / 128);
  }
  if (rest >= 128) throw new RangeError(`${value} does not fit a varint of ${width} bytes`);
  target[position + width - 1] = rest;
  return position + width;
}

/** The tag of a field: its number and its wire type. */
export function fieldTag(number: number, wireType: number): number {
  return number * 8 + wireType;
}

/** Grows as needed; for small messages and headers, not for record bytes. */
export class WireWriter {
  #bytes: Uint8Array;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  varint(value: number): this {
    this.#reserve(10);
    this.#length = writeVarint(this.#bytes, this.#length, value);
    return this;
  }

  varint64(value: bigint): this {
    this.#reserve(10);
    let rest = BigInt.asUintN(64, value);
    while (rest >= 128n) {
      this.#bytes[this.#length++] = Number(rest & 0x7fn) | 0x80;
      rest >>= 7n;
    }
    this.#bytes[this.#length++] = Number(rest);
    return this;
  }

  fixed32(value: number): this {
    this.#reserve(4);
    viewOf(this.#bytes).setUint32(this.#length, value, true);
    this.#length += 4;
    return this;
  }

  fixed64(value: bigint): this {
    this.#reserve(8);
    viewOf(this.#bytes).setBigUint64(this.#length, value, true);
    this.#length += 8;
    return this;
  }

  raw(bytes: Uint8Array): this {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  /** A varint field; proto3 leaves out zeroes, and so does this. */
  varintField(number: number, value: number): this {
    return value === 0 ? this : this.varint(fieldTag(number, wireVarint)).varint(value);
  }

  varint64Field(number: number, value: bigint): this {
    return value === 0n ? this : this.varint(fieldTag(number, wireVarint)).varint64(value);
  }

  /** A bytes, string or message field; written even when it is empty. */
  bytesField(number: number, value: Uint8Array): this {
    return this.bytesHeader(number, value.length).raw(value);
  }

  /** Tag and length of such a field, when its `length` bytes follow as pieces of their own. */
  bytesHeader(number: number, length: number): this {
    return this.varint(fieldTag(number, wireBytes)).varint(length);
  }

  /** A view of what was written; valid until the next write. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + more));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}

/** The pieces as one stretch of new memory. */
export function concatBytes(pieces: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
