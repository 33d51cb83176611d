import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { backoffMs } from './backoff.ts';
import { seededRandom } from './prng.ts';

describe('delays between attempts', () => {
  const options = { baseMs: 100, maxMs: 5_000 };

  test('lie between half of the bound and the bound, which doubles up to its maximum', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5_000 }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (attempt, drawn) => {
          const bound = Math.min(5_000, 100 * 2 ** (attempt - 1));
          const delay = backoffMs(attempt, options, { next: () => drawn, bytes: () => new Uint8Array() });
          assert.ok(delay >= bound / 2 && delay <= bound, `${delay}`);
        },
      ),
    );
  });

  test('differ between callers', () => {
    const random = seededRandom(7);
    const delays = new Set(Array.from({ length: 50 }, () => backoffMs(3, options, random)));
    assert.equal(delays.size, 50);
  });
});
