import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { seededRandom } from './prng.ts';

describe('the seeded random source', () => {
  test('repeats itself for the same seed, and differs for another', () => {
    const draw = (seed: number): readonly number[] => {
      const random = seededRandom(seed);
      return [random.next(), random.next(), ...random.bytes(8)];
    };
    assert.deepEqual(draw(1), draw(1));
    fc.assert(fc.property(fc.integer(), (seed) => assert.notDeepEqual(draw(seed), draw(seed + 1))));
  });

  test('fills [0, 1) evenly', () => {
    const random = seededRandom(42);
    const buckets = new Array<number>(10).fill(0);
    for (let i = 0; i < 100_000; i++) {
      const value = random.next();
      assert.ok(value >= 0 && value < 1);
      buckets[Math.floor(value * 10)] = (buckets[Math.floor(value * 10)] as number) + 1;
    }
    for (const count of buckets) assert.ok(Math.abs(count - 10_000) < 500, buckets.join(', '));
  });
});
