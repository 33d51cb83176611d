import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tableChecksum } from '@fleetmq/shared';
import fc from 'fast-check';
import { nodeChecksum } from './node-checksum.ts';
import { nodeRandom } from './node-random.ts';

test('the checksum of zlib is that of the table, in one piece or in parts', () => {
  assert.equal(nodeChecksum.crc32(new TextEncoder().encode('123456789')), 0xcbf43926);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(300), (bytes, cut) => {
      const whole = nodeChecksum.crc32(bytes);
      assert.equal(whole, tableChecksum.crc32(bytes));
      assert.equal(nodeChecksum.crc32(bytes.subarray(cut), nodeChecksum.crc32(bytes.subarray(0, cut))), whole);
    }),
  );
});

test('random floats fill [0, 1) evenly', () => {
  const buckets = new Array<number>(10).fill(0);
  for (let i = 0; i < 100_000; i++) {
    const value = nodeRandom.next();
    assert.ok(value >= 0 && value < 1);
    buckets[Math.floor(value * 10)] = (buckets[Math.floor(value * 10)] as number) + 1;
  }
  // 10,000 each are expected with a deviation of 95: 1,000 is beyond any chance.
  for (const count of buckets) assert.ok(Math.abs(count - 10_000) < 1000, buckets.join(', '));
});

test('random bytes have the length asked for and do not repeat', () => {
  assert.equal(nodeRandom.bytes(0).length, 0);
  assert.equal(nodeRandom.bytes(16).length, 16);
  assert.notDeepEqual(nodeRandom.bytes(16), nodeRandom.bytes(16));
});
