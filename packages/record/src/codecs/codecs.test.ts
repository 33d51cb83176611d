import assert from 'node:assert/strict';
import { test } from 'node:test';
import { constants, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { type Codec, defaultInflationLimits, inflateRecords } from '../index.ts';
import * as node from './node.ts';
import * as web from './web.ts';

const writers: readonly Codec[] = [node.lz4, node.zstd, node.snappy, web.lz4, web.snappy, node.zstdByZlib];
const readers: readonly Codec[] = [...writers, web.zstd];
const mebibyte = 1024 * 1024;
const content = fc.oneof(
  fc.uint8Array({ maxLength: 3000 }),
  fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 20 }), fc.nat(20_000)).map(([unit, length]) => {
    return Uint8Array.from({ length }, (_, i) => unit[i % unit.length]!);
  }),
);

test('each reader of a codec reads what each writer of it made', () => {
  fc.assert(
    fc.property(content, (bytes) => {
      for (const writer of writers) {
        const carried = writer.compress(bytes);
        for (const reader of readers) {
          if (reader.id !== writer.id) continue;
          const inflated = reader.decompress(carried, 10 * mebibyte);
          assert.ok(Buffer.compare(inflated, bytes) === 0, `${writer.name}: ${bytes.length} bytes differ`);
        }
      }
    }),
    { numRuns: 60 },
  );
});

test('bombs stop at the cap, with and without a declared size', () => {
  const zeros = new Uint8Array(20 * mebibyte);
  const undeclared = zstdCompressSync(zeros, { params: { [constants.ZSTD_c_contentSizeFlag]: 0 } });
  const bombs = [
    ...writers.map((writer) => ({ id: writer.id, bytes: writer.compress(zeros) })),
    { id: 2, bytes: undeclared },
  ];
  for (const bomb of bombs) {
    for (const reader of readers) {
      if (reader.id !== bomb.id) continue;
      assert.throws(() => reader.decompress(bomb.bytes, mebibyte), { code: 'RECORD_TOO_LARGE' }, `${reader.name}`);
      assert.throws(() => inflateRecords(reader, bomb.bytes, defaultInflationLimits), { code: 'RECORD_TOO_LARGE' });
    }
  }
});

test('the ratio cap leaves small batches alone and stops large ones', () => {
  const half = node.zstd.compress(new Uint8Array(mebibyte));
  assert.equal(inflateRecords(node.zstd, half, defaultInflationLimits).length, mebibyte);
  const double = node.zstd.compress(new Uint8Array(2 * mebibyte));
  assert.throws(() => inflateRecords(node.zstd, double, defaultInflationLimits), { code: 'RECORD_TOO_LARGE' });
});

test('false claims about sizes are refused before memory is taken', () => {
  const small = Uint8Array.from({ length: 500 }, (_, i) => i % 7);
  const snappyLie = node.snappy.compress(small);
  const lies: [Codec, Uint8Array][] = [
    [node.snappy, Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x0f, ...snappyLie.subarray(2))],
    [node.snappy, Uint8Array.of(0xff, 0xff, 0x03, ...snappyLie.subarray(2))],
    [node.zstd, Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0xff, 0, 0, 0, 1, 0, 0)],
    [node.zstd, Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff, 1, 0, 0, 0, 0)],
  ];
  for (const [codec, bytes] of lies) {
    for (const reader of readers) {
      if (reader.id !== codec.id) continue;
      assert.throws(() => inflateRecords(reader, bytes, defaultInflationLimits), { name: 'DomainError' });
    }
  }
});

test('damaged frames end in a DomainError or in bytes below the cap, in bounded time', () => {
  const unit = Uint8Array.from({ length: 700 }, (_, i) => (i * i) % 50);
  const carried = writers.map((writer) => ({ writer, bytes: writer.compress(unit) }));
  const edit = fc.tuple(fc.nat(), fc.nat(255));
  fc.assert(
    fc.property(
      fc.constantFrom(...carried),
      fc.array(edit, { minLength: 1, maxLength: 3 }),
      ({ writer, bytes }, edits) => {
        const damaged = Uint8Array.from(bytes);
        for (const [at, value] of edits) damaged[at % damaged.length] = value;
        for (const reader of readers) {
          if (reader.id !== writer.id) continue;
          try {
            const inflated = inflateRecords(reader, damaged, {
              ...defaultInflationLimits,
              ratioFreeBytes: 5000,
              inflatedBytesMax: 5000,
            });
            assert.ok(inflated.length <= 5000);
          } catch (error) {
            assert.equal((error as Error).name, 'DomainError', String(error));
          }
        }
      },
    ),
    { numRuns: 1500 },
  );
});

test('browsers cannot write zstd, and say so', () => {
  assert.throws(() => web.zstd.compress(new Uint8Array(3)), { code: 'UNSUPPORTED_CODEC' });
});
