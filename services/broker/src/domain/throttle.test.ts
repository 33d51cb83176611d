import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Throttle } from './throttle.ts';

test('a message larger than all credit goes, and its excess has to come back first', () => {
  const throttle = new Throttle(1_000, 0);
  assert.equal(throttle.readyAtMs(0), 0);
  throttle.spend(2_100, 0);
  assert.equal(throttle.readyAtMs(0), 2_001);
  assert.equal(throttle.readyAtMs(2_001), 2_001);
  throttle.limit(10_000, 2_001);
  throttle.spend(1_001, 2_001);
  assert.equal(throttle.readyAtMs(2_001), 2_102);
});

test('whatever is sent when, no time sees more than its share, one burst and one message', () => {
  const sends = fc.array(fc.record({ waitMs: fc.nat(500), bytes: fc.integer({ min: 1, max: 5_000 }) }), {
    minLength: 1,
  });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 100_000 }), sends, (rate, wishes) => {
      const throttle = new Throttle(rate, 0);
      const sent: { atMs: number; bytes: number }[] = [];
      let nowMs = 0;
      for (const { waitMs, bytes } of wishes) {
        nowMs += waitMs;
        nowMs = throttle.readyAtMs(nowMs);
        assert.equal(throttle.readyAtMs(nowMs), nowMs, 'it waits for the time that was named');
        throttle.spend(bytes, nowMs);
        sent.push({ atMs: nowMs, bytes });
      }
      for (let first = 0; first < sent.length; first++) {
        let total = 0;
        for (const { atMs, bytes } of sent.slice(first)) {
          const seconds = (atMs - (sent[first]?.atMs ?? 0)) / 1_000;
          assert.ok(total <= (seconds + 0.1) * rate + 5_000, `${total} bytes in ${seconds} s at ${rate} a second`);
          total += bytes;
        }
      }
    }),
  );
});
