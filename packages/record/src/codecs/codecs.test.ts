import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { constants, zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { type Codec, defaultInflationLimits, inflateRecords, inflateRecordsInBackground } from '../index.ts';
import * as node from './node.ts';
import * as web from './web.ts';
import { readZstdFrame } from './zstd-frame.ts';

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

test('in the background codecs make what others read, and read what others made', async () => {
  await fc.assert(
    fc.asyncProperty(content, async (bytes) => {
      for (const writer of writers) {
        const carried = (await writer.background?.compress(bytes)) ?? writer.compress(bytes);
        for (const reader of readers) {
          if (reader.id !== writer.id) continue;
          const here = reader.decompress(carried, 10 * mebibyte);
          const there = (await reader.background?.decompress(carried, 10 * mebibyte)) ?? here;
          assert.ok(Buffer.compare(here, bytes) === 0, `${writer.name}: ${bytes.length} bytes differ`);
          assert.ok(
            Buffer.compare(there, bytes) === 0,
            `${writer.name}: ${bytes.length} bytes differ in the background`,
          );
        }
      }
    }),
    { numRuns: 30 },
  );
});

test('zstd by node:zlib makes one frame of declared size, also where its output would just fill a chunk', async () => {
  // 16,374 bytes that cannot be compressed become a frame of 16 KiB, the length of a chunk by default.
  for (const length of [0, 1, 16_374, 32_758, 100_000]) {
    const noise = randomBytes(length);
    const here = node.zstdByZlib.compress(noise);
    const there = (await node.zstdByZlib.background?.compress(noise)) as Uint8Array;
    for (const carried of [here, there]) assert.equal(readZstdFrame(carried, mebibyte).contentBytes, length);
  }
});

test('browsers have no background; all codecs of Node have', () => {
  assert.deepEqual(
    [web.lz4, web.zstd, web.snappy].map(({ background }) => background),
    [undefined, undefined, undefined],
  );
  for (const { background } of [node.lz4, node.zstd, node.snappy, node.zstdByZlib]) assert.ok(background !== undefined);
});

test('bombs stop at the cap, with and without a declared size', async () => {
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
      const inBackground = inflateRecordsInBackground(reader, bomb.bytes, defaultInflationLimits);
      await assert.rejects(inBackground, { code: 'RECORD_TOO_LARGE' });
    }
  }
});

test('the ratio cap leaves small batches alone and stops large ones', () => {
  const half = node.zstd.compress(new Uint8Array(mebibyte));
  assert.equal(inflateRecords(node.zstd, half, defaultInflationLimits).length, mebibyte);
  const double = node.zstd.compress(new Uint8Array(2 * mebibyte));
  assert.throws(() => inflateRecords(node.zstd, double, defaultInflationLimits), { code: 'RECORD_TOO_LARGE' });
});

test('false claims about sizes are refused before memory is taken', async () => {
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
      await assert.rejects(inflateRecordsInBackground(reader, bytes, defaultInflationLimits), { name: 'DomainError' });
    }
  }
});

test('damaged frames end in a DomainError or in bytes below the cap, in bounded time, on each thread', async () => {
  const unit = Uint8Array.from({ length: 700 }, (_, i) => (i * i) % 50);
  const carried = writers.map((writer) => ({ writer, bytes: writer.compress(unit) }));
  const edit = fc.tuple(fc.nat(), fc.nat(255));
  const limits = { ...defaultInflationLimits, ratioFreeBytes: 5000, inflatedBytesMax: 5000 };
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...carried),
      fc.array(edit, { minLength: 1, maxLength: 3 }),
      async ({ writer, bytes }, edits) => {
        const damaged = Uint8Array.from(bytes);
        for (const [at, value] of edits) damaged[at % damaged.length] = value;
        for (const reader of readers) {
          if (reader.id !== writer.id) continue;
          const here = outcomeOf(async () => inflateRecords(reader, damaged, limits));
          const there = outcomeOf(() => inflateRecordsInBackground(reader, damaged, limits));
          for (const outcome of [await here, await there]) {
            if (outcome instanceof Error) assert.equal(outcome.name, 'DomainError', String(outcome));
            else assert.ok(outcome.length <= 5000);
          }
        }
      },
    ),
    { numRuns: 1500 },
  );
});

async function outcomeOf(inflate: () => Promise<Uint8Array>): Promise<Uint8Array | Error> {
  try {
    return await inflate();
  } catch (error) {
    return error as Error;
  }
}

test('browsers cannot write zstd, and say so', () => {
  assert.throws(() => web.zstd.compress(new Uint8Array(3)), { code: 'UNSUPPORTED_CODEC' });
});
