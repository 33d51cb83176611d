import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import {
  fieldTag,
  varintSize,
  viewOf,
  WireReader,
  WireWriter,
  wireBytes,
  wireFixed32,
  wireFixed64,
  wireVarint,
  writePaddedVarint,
  writeVarint,
} from './bytes.ts';

const safe = fc.oneof(fc.nat(300), fc.maxSafeInteger().map(Math.abs));
const isMalformed = { name: 'DomainError', code: 'INVALID_REQUEST' };

describe('varints', () => {
  test('known encodings', () => {
    const cases: readonly [number, readonly number[]][] = [
      [0, [0]],
      [1, [1]],
      [127, [127]],
      [128, [0x80, 1]],
      [150, [0x96, 1]],
      [300, [0xac, 2]],
      [2 ** 32, [0x80, 0x80, 0x80, 0x80, 0x10]],
      [Number.MAX_SAFE_INTEGER, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]],
    ];
    for (const [value, encoded] of cases) {
      assert.deepEqual([...new WireWriter().varint(value).finish()], encoded, `${value}`);
      assert.equal(new WireReader(Uint8Array.from(encoded)).varint(), value);
      assert.equal(new WireReader(Uint8Array.from(encoded)).varint64(), BigInt(value));
      assert.equal(varintSize(value), encoded.length);
    }
  });

  test('go through writer and reader, in the size foretold', () => {
    fc.assert(
      fc.property(safe, (value) => {
        const target = new Uint8Array(12);
        const end = writeVarint(target, 1, value);
        assert.equal(end - 1, varintSize(value));
        const reader = new WireReader(target, 1, end);
        assert.equal(reader.varint(), value);
        assert.ok(reader.done);
      }),
    );
  });

  test('of 64 bits go through, negative ones as their two complement', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }), (value) => {
        const reader = new WireReader(new WireWriter().varint64(value).finish());
        assert.equal(reader.varint64(), BigInt.asUintN(64, value));
        assert.ok(reader.done);
      }),
    );
  });

  test('padded ones read the same and have the width asked for', () => {
    fc.assert(
      fc.property(fc.nat(2 ** 28 - 1), fc.integer({ min: 4, max: 10 }), (value, width) => {
        const target = new Uint8Array(width).fill(0xaa);
        assert.equal(writePaddedVarint(target, 0, value, width), width);
        const reader = new WireReader(target);
        assert.equal(reader.varint(), value);
        assert.ok(reader.done);
        assert.equal(new WireReader(target).varint64(), BigInt(value));
      }),
    );
    assert.throws(() => writePaddedVarint(new Uint8Array(4), 0, 128, 1), RangeError);
    assert.throws(() => writePaddedVarint(new Uint8Array(4), 0, 2 ** 28, 4), RangeError);
  });

  test('refuse what is too large, too long, or cut off', () => {
    const over = new WireWriter().varint64(2n ** 53n).finish();
    assert.throws(() => new WireReader(over).varint(), isMalformed);
    assert.equal(new WireReader(over).varint64(), 2n ** 53n);
    const endless = new Uint8Array(11).fill(0x80);
    for (const read of ['varint', 'varint64'] as const) {
      assert.throws(() => new WireReader(endless)[read](), isMalformed);
      assert.throws(() => new WireReader(Uint8Array.of(0x80))[read](), isMalformed);
      assert.throws(() => new WireReader(Uint8Array.of())[read](), isMalformed);
    }
    assert.throws(() => new WireReader(endless).skip(wireVarint), isMalformed);
  });
});

type Field =
  | { readonly type: typeof wireVarint; readonly number: number; readonly value: number }
  | { readonly type: typeof wireFixed64; readonly number: number; readonly value: bigint }
  | { readonly type: typeof wireBytes; readonly number: number; readonly value: Uint8Array }
  | { readonly type: typeof wireFixed32; readonly number: number; readonly value: number };

const plain = { noNullPrototype: true } as const;
const word64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const fieldNumber = fc.integer({ min: 1, max: 2 ** 29 - 1 });
const anyField: fc.Arbitrary<Field> = fc.oneof(
  fc.record({ type: fc.constant(wireVarint), number: fieldNumber, value: safe }, plain),
  fc.record({ type: fc.constant(wireFixed64), number: fieldNumber, value: word64 }, plain),
  fc.record({ type: fc.constant(wireBytes), number: fieldNumber, value: fc.uint8Array({ maxLength: 300 }) }, plain),
  fc.record({ type: fc.constant(wireFixed32), number: fieldNumber, value: fc.nat(2 ** 32 - 1) }, plain),
);

function write(writer: WireWriter, field: Field): void {
  writer.varint(fieldTag(field.number, field.type));
  if (field.type === wireVarint) writer.varint(field.value);
  else if (field.type === wireFixed64) writer.fixed64(field.value);
  else if (field.type === wireFixed32) writer.fixed32(field.value);
  else writer.varint(field.value.length).raw(field.value);
}

function read(reader: WireReader): Field {
  const tag = reader.varint();
  const number = Math.floor(tag / 8);
  const type = tag % 8;
  if (type === wireVarint) return { type, number, value: reader.varint() };
  if (type === wireFixed64) return { type, number, value: reader.fixed64() };
  if (type === wireFixed32) return { type, number, value: reader.fixed32() };
  assert.equal(type, wireBytes);
  return { type: wireBytes, number, value: Uint8Array.from(reader.view()) };
}

describe('fields', () => {
  test('go through writer and reader, whatever the first capacity and the place in the buffer', () => {
    fc.assert(
      fc.property(fc.array(anyField, { maxLength: 20 }), fc.nat(40), fc.nat(9), (fields, capacity, offset) => {
        const writer = new WireWriter(capacity);
        for (const field of fields) write(writer, field);
        const message = writer.finish();
        assert.equal(message.length, writer.length);
        const inside = new Uint8Array(message.length + offset + 5).fill(0xff);
        inside.set(message, offset);
        const reader = new WireReader(inside, offset, offset + message.length);
        const back: Field[] = [];
        while (!reader.done) back.push(read(reader));
        assert.deepEqual(back, fields);
      }),
    );
  });

  test('are skipped to exactly the next one', () => {
    fc.assert(
      fc.property(anyField, (field) => {
        const writer = new WireWriter();
        write(writer, field);
        const reader = new WireReader(writer.finish());
        reader.skip(reader.varint() % 8);
        assert.ok(reader.done);
      }),
    );
  });

  test('cut at any byte are refused, never read past their end', () => {
    fc.assert(
      fc.property(anyField, fc.nat(), (field, seed) => {
        const writer = new WireWriter();
        write(writer, field);
        const whole = writer.finish();
        const end = seed % whole.length;
        assert.throws(() => read(new WireReader(whole, 0, end)), isMalformed);
        const reader = new WireReader(whole, 0, end);
        assert.throws(() => reader.skip(reader.varint() % 8), isMalformed);
      }),
    );
  });

  test('of unknown wire types and groups are refused', () => {
    for (const type of [3, 4, 6, 7]) assert.throws(() => new WireReader(new Uint8Array(9)).skip(type), isMalformed);
  });

  test('of proto3 leave out zeroes, but not empty bytes', () => {
    const writer = new WireWriter().varintField(1, 0).varint64Field(2, 0n).bytesField(3, new Uint8Array());
    assert.deepEqual([...writer.finish()], [fieldTag(3, wireBytes), 0]);
    const filled = new WireWriter().varintField(1, 5).varint64Field(2, 6n).finish();
    assert.deepEqual([...filled], [8, 5, 16, 6]);
  });
});

test('views share the memory of the message', () => {
  const message = new WireWriter().bytesField(1, Uint8Array.of(1, 2, 3)).finish();
  const reader = new WireReader(message);
  reader.varint();
  const view = reader.view();
  view[0] = 9;
  assert.equal(message[2], 9);
  assert.equal(viewOf(message.subarray(2)).getUint8(0), 9);
});

test('random bytes are read or refused, and never anything else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const reader = new WireReader(bytes);
      try {
        while (!reader.done) reader.skip(reader.varint() % 8);
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'INVALID_REQUEST');
      }
      assert.ok(reader.position <= bytes.length);
    }),
  );
});
