/**
 * Messages read and written field by field, without message classes: for the hot calls, whose record bytes stay where they
 * lie, and for servers that need a few fields of a message that they pass on. Two ways to read: a table of field readers for
 * a message that is wanted whole, and a visitor for one of which little is wanted.
 *
 * Reading is strict about what it reads (a wrong wire type, a number out of range or broken UTF-8 is INVALID_REQUEST) and
 * steps over what it does not know. Of a field that comes twice the last one counts, as protobuf has it.
 * Wire format: https://protobuf.dev/programming-guides/encoding
 */
import { type WireReader, type WireWriter, wireBytes, wireVarint } from './bytes.ts';
import { DomainError } from './errors.ts';

/**
 * Sees one field, with the reader at its value and `start` before its tag. It reads the whole value, or nothing: then it is
 * stepped over.
 */
export type FieldVisitor = (field: number, reader: WireReader, start: number) => void;

/** Shows the fields of a message to `visit`, one after the other. INVALID_REQUEST for what is no protobuf. */
export function visitFields(reader: WireReader, visit: FieldVisitor): void {
  while (!reader.done) {
    const start = reader.position;
    const field = reader.next();
    const value = reader.position;
    visit(field, reader, start);
    // No value has 0 bytes, so a reader that stands still has read none.
    if (reader.position === value) reader.skip(reader.wireType);
  }
}

/** Reads the value of one field, to its end, into `message`. */
export type FieldReader<Message> = (reader: WireReader, message: Message) => void;

/** The readers of a message's fields by their numbers. Other fields are stepped over. */
export type FieldTable<Message> = Readonly<Record<number, FieldReader<Message>>>;

/** Reads all fields of a message into `message`, which holds the defaults, and returns it. INVALID_REQUEST. */
export function readFields<Message>(reader: WireReader, table: FieldTable<Message>, message: Message): Message {
  while (!reader.done) readField(reader, reader.next(), table, message);
  return message;
}

/** Reads the field that `reader.next()` came upon. */
export function readField<Message>(
  reader: WireReader,
  field: number,
  table: FieldTable<Message>,
  message: Message,
): void {
  const read = table[field];
  if (read === undefined) reader.skip(reader.wireType);
  else read(reader, message);
}

/** A field that becomes a property. `name` is the field's, for error texts. */
export function property<Message, Key extends keyof Message>(
  key: Key,
  name: string,
  read: (reader: WireReader, name: string) => Message[Key],
): FieldReader<Message> {
  return (reader, message) => {
    message[key] = read(reader, name);
  };
}

// A byte order mark is text like any other: two names that differ stay two.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** Text of a string field, at most `bytesMax` bytes of UTF-8. */
export function readText(reader: WireReader, name: string, bytesMax: number): string {
  const bytes = readBytes(reader, name);
  if (bytes.length > bytesMax) {
    throw new DomainError('INVALID_REQUEST', `${name} of ${bytes.length} bytes is over ${bytesMax}`);
  }
  try {
    return utf8.decode(bytes);
  } catch (error) {
    throw new DomainError('INVALID_REQUEST', `${name} is not UTF-8`, { cause: error });
  }
}

/** `readText` with this bound, for tables. */
export function text(bytesMax: number): (reader: WireReader, name: string) => string {
  return (reader, name) => readText(reader, name, bytesMax);
}

/** A bytes or message field, as a view. */
export function readBytes(reader: WireReader, name: string): Uint8Array {
  assertWireType(reader, wireBytes, name);
  return reader.view();
}

/** A message field, as a reader of its own over the same memory. */
export function readMessage(reader: WireReader, name: string): WireReader {
  assertWireType(reader, wireBytes, name);
  return reader.message();
}

/** A uint32 or enum field. */
export function readUint32(reader: WireReader, name: string): number {
  const value = readUint53(reader, name);
  if (value > 0xffff_ffff) throw new DomainError('INVALID_REQUEST', `${name} ${value} does not fit 32 bits`);
  return value;
}

/** A uint64 field that has to be a safe integer. */
export function readUint53(reader: WireReader, name: string): number {
  assertWireType(reader, wireVarint, name);
  return reader.varint();
}

export function readUint64(reader: WireReader, name: string): bigint {
  assertWireType(reader, wireVarint, name);
  return reader.varint64();
}

export function readBool(reader: WireReader, name: string): boolean {
  return readUint64(reader, name) !== 0n;
}

/** INVALID_REQUEST when the field at hand is of another wire type. */
export function assertWireType(reader: WireReader, expected: number, name: string): void {
  if (reader.wireType === expected) return;
  throw new DomainError('INVALID_REQUEST', `${name} has wire type ${reader.wireType}, expected ${expected}`);
}

/** A string field; left out when it is empty. */
export function writeText(writer: WireWriter, field: number, value: string): WireWriter {
  return value === '' ? writer : writer.bytesField(field, encoder.encode(value));
}

export function writeBool(writer: WireWriter, field: number, value: boolean): WireWriter {
  return value ? writer.varintField(field, 1) : writer;
}
