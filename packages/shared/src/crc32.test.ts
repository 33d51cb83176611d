import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { combineCrc32, tableChecksum } from './crc32.ts';

test('the check value of the standard', () => {
  assert.equal(tableChecksum.crc32(new TextEncoder().encode('123456789')), 0xcbf43926);
  assert.equal(tableChecksum.crc32(new Uint8Array()), 0);
});

test("equals zlib's, whole and continued", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 500 }), fc.nat(500), (bytes, cut) => {
      assert.equal(tableChecksum.crc32(bytes), crc32(bytes));
      const begun = tableChecksum.crc32(bytes.subarray(0, cut));
      assert.equal(tableChecksum.crc32(bytes.subarray(cut), begun), crc32(bytes));
    }),
  );
});

test('of two stretches from the CRC of each, whatever their lengths', () => {
  const stretch = fc.uint8Array({ maxLength: 300 });
  fc.assert(
    fc.property(stretch, stretch, (first, second) => {
      assert.equal(combineCrc32(crc32(first), crc32(second), second.length), crc32(Buffer.concat([first, second])));
    }),
  );
  for (const length of [65_535, 65_536, 3_000_001]) {
    const second = Buffer.alloc(length, 'long');
    assert.equal(combineCrc32(crc32('first'), crc32(second), length), crc32(second, crc32('first')), `${length}`);
  }
});

test('notices every flipped bit', () => {
  const bytes = Uint8Array.from({ length: 64 }, (_, index) => index * 37);
  const good = tableChecksum.crc32(bytes);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
    assert.notEqual(tableChecksum.crc32(bytes), good, `bit ${bit}`);
    bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
  }
});
