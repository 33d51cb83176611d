import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { fieldTag, WireReader, WireWriter, wireFixed32, wireVarint } from './bytes.ts';
import {
  encodeMs,
  encodeTopicPartition,
  readDurationMs,
  readErrorCode,
  readErrorMessage,
  readTimestampMs,
  readTopicPartition,
  writeError,
} from './common-fields.ts';
import { DomainError, errorNumber } from './errors.ts';
import {
  type FieldTable,
  property,
  readBool,
  readBytes,
  readFields,
  readMessage,
  readText,
  readUint32,
  readUint53,
  readUint64,
  text,
  visitFields,
  writeBool,
  writeText,
} from './fields.ts';

/** A reader at the value of field 1, which `write` has written. */
function readerOf(write: (writer: WireWriter) => WireWriter): WireReader {
  const reader = new WireReader(write(new WireWriter()).finish());
  assert.equal(reader.next(), 1);
  return reader;
}

const encode = (value: string): Uint8Array => new TextEncoder().encode(value);
const refused = (read: () => unknown, message: RegExp): void => {
  assert.throws(read, { name: 'DomainError', code: 'INVALID_REQUEST', message });
};

describe('fields', () => {
  test('have numbers of 1 to 2^29-1', () => {
    for (const field of [1, 15, 16, 2 ** 29 - 1]) {
      const reader = new WireReader(new WireWriter().varint(fieldTag(field, wireFixed32)).fixed32(7).finish());
      assert.deepEqual([reader.next(), reader.wireType, reader.fixed32()], [field, wireFixed32, 7]);
    }
    refused(() => new WireReader(Uint8Array.of(0, 0)).next(), /^malformed protobuf at byte 0: field number 0$/);
    refused(() => new WireReader(new WireWriter().varint(2 ** 32 + 8).finish()).next(), /field number 536870913/);
  });

  test('are shown one by one; what is left unread is stepped over', () => {
    const message = new WireWriter().varintField(1, 5).bytesField(2, encode('skipped')).fixed32(0).finish();
    const known = message.subarray(0, message.length - 4);
    const seen: number[][] = [];
    visitFields(new WireReader(known), (field, reader, start) => {
      seen.push([field, start]);
      if (field === 1) assert.equal(readUint32(reader, 'one'), 5);
    });
    assert.deepEqual(seen, [
      [1, 0],
      [2, 2],
    ]);
    refused(() => visitFields(new WireReader(message), () => undefined), /field number 0/);
  });

  test('become properties by a table, and the last of several counts', () => {
    interface Message {
      readonly name: string;
      readonly count: number;
      readonly isOn: boolean;
    }
    const table: FieldTable<Message> = {
      1: property('name', 'name', text(10)),
      3: property('count', 'count', readUint53),
      4: property('isOn', 'is_on', readBool),
    };
    const writer = new WireWriter()
      .varintField(3, 8)
      .varintField(2, 1)
      .varintField(3, 2 ** 40);
    writeBool(writeText(writer, 1, 'ü'), 4, true);
    const message = readFields(new WireReader(writer.finish()), table, { name: '', count: 0, isOn: false });
    assert.deepEqual(message, { name: 'ü', count: 2 ** 40, isOn: true });
    const wrong = new WireWriter().varintField(1, 9).finish();
    refused(() => readFields(new WireReader(wrong), table, message), /^name has wire type 0, expected 2$/);
  });

  test('are refused when they are not what they should be', () => {
    const bytes = (value: Uint8Array) => readerOf((writer) => writer.bytesField(1, value));
    const number = (value: bigint) => readerOf((writer) => writer.varint64Field(1, value));
    assert.equal(readText(bytes(encode('äb')), 'name', 3), 'äb');
    refused(() => readText(bytes(encode('äbc')), 'name', 3), /^name of 4 bytes is over 3$/);
    refused(() => readText(bytes(Uint8Array.of(0xff)), 'name', 3), /^name is not UTF-8$/);
    refused(() => readText(number(1n), 'name', 3), /^name has wire type 0, expected 2$/);
    refused(() => readBytes(number(1n), 'key'), /^key has wire type 0, expected 2$/);
    refused(() => readMessage(number(1n), 'inner'), /^inner has wire type 0, expected 2$/);
    refused(() => readUint32(bytes(encode('1')), 'acks'), /^acks has wire type 2, expected 0$/);
    assert.equal(readUint32(number(2n ** 32n - 1n), 'acks'), 2 ** 32 - 1);
    refused(() => readUint32(number(2n ** 32n), 'acks'), /^acks 4294967296 does not fit 32 bits$/);
    refused(() => readUint53(number(2n ** 53n), 'offset'), /above 2\^53-1/);
    assert.equal(readUint64(number(2n ** 64n - 1n), 'id'), 2n ** 64n - 1n);
  });

  test('of a message within do not reach behind its end', () => {
    const inner = Uint8Array.of(fieldTag(1, wireVarint), 0x80);
    const reader = readerOf((writer) => writer.bytesField(1, inner).varintField(2, 3));
    refused(() => readFields(readMessage(reader, 'inner'), { 1: (value) => void value.varint() }, {}), /ends inside/);
    refused(() => readMessage(new WireReader(Uint8Array.of(9)), 'inner'), /wire type/);
  });
});

describe('common messages', () => {
  const time = (seconds: bigint, nanos: bigint) =>
    readerOf((writer) =>
      writer.bytesField(1, new WireWriter().varint64Field(1, seconds).varint64Field(2, nanos).finish()),
    );

  test('waits are rounded up to milliseconds, times down', () => {
    const cases: readonly (readonly [bigint, bigint, number, number])[] = [
      [0n, 0n, 0, 0],
      [2n, 500_000_000n, 2_500, 2_500],
      [0n, 1n, 1, 0],
      [1n, 999_999_999n, 2_000, 1_999],
      [-5n, -1n, 0, -5_001],
    ];
    for (const [seconds, nanos, durationMs, timestampMs] of cases) {
      assert.equal(readDurationMs(time(seconds, nanos), 'max_wait'), durationMs);
      assert.equal(readTimestampMs(time(seconds, nanos), 'timestamp'), timestampMs);
    }
    refused(
      () => readDurationMs(time(400_000_000_000n, 0n), 'max_wait'),
      /^max_wait of 400000000000 s and 0 ns is out/,
    );
    refused(() => readDurationMs(time(0n, 1_000_000_000n), 'max_wait'), /out of range$/);
    assert.deepEqual(encodeMs(1_500.2), encodeMs(1_501));
  });

  test('times come back as they went out', () => {
    fc.assert(
      fc.property(fc.nat(), (ms) => {
        const read = () => readerOf((writer) => writer.bytesField(1, encodeMs(ms)));
        assert.equal(readDurationMs(read(), 'max_wait'), ms);
        assert.equal(readTimestampMs(read(), 'timestamp'), ms);
      }),
    );
  });

  test('partitions come back as they went out', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 100 }), fc.nat(), (topic, partition) => {
        const name = { topic: topic.toWellFormed(), partition };
        const reader = readerOf((writer) => writer.bytesField(1, encodeTopicPartition(name)));
        assert.deepEqual(readTopicPartition(reader), name);
      }),
    );
  });

  test('errors have their number, a bounded text, and what was asked for besides', () => {
    const error = new DomainError('NOT_LEADER', 'x'.repeat(5_000), { leaderHint: '1@h:1', retryAfterMs: 250 });
    const fields = { code: 1, message: 2, hint: 3, retriable: 4, retryAfter: 5 };
    const seen: unknown[] = [];
    visitFields(new WireReader(writeError(new WireWriter(), error, fields).finish()), (field, reader) => {
      if (field === 1) seen.push(readErrorCode(reader));
      else if (field === 2) seen.push(readErrorMessage(reader).length);
      else if (field === 3) seen.push(readText(reader, 'hint', 10));
      else if (field === 4) seen.push(readBool(reader, 'retriable'));
      else if (field === 5) seen.push(readDurationMs(reader, 'retry_after'));
    });
    assert.deepEqual(seen, ['NOT_LEADER', 1_000, '1@h:1', true, 250]);
    const short = writeError(new WireWriter(), new DomainError('TIMEOUT', 'late'), { code: 1, message: 2 }).finish();
    const expected = new WireWriter().varintField(1, errorNumber('TIMEOUT')).bytesField(2, encode('late')).finish();
    assert.deepEqual(short, expected);
    assert.equal(readErrorCode(readerOf((writer) => writer.varint(fieldTag(1, wireVarint)).varint(0))), undefined);
  });
});
