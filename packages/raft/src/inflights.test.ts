import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Inflights } from './inflights.ts';

test('the window counts like a plain list', () => {
  const op = fc.oneof(
    fc.record({ kind: fc.constant('add' as const), gap: fc.integer({ min: 1, max: 3 }), bytes: fc.nat(20) }),
    fc.record({ kind: fc.constant('free' as const), back: fc.integer({ min: -1, max: 6 }) }),
    fc.record({ kind: fc.constant('reset' as const) }),
  );
  fc.assert(
    fc.property(fc.array(op, { maxLength: 60 }), (ops) => {
      const window = new Inflights(4, 50);
      let list: { index: number; bytes: number }[] = [];
      let last = 0;
      for (const step of ops) {
        if (step.kind === 'add') {
          last += step.gap;
          window.add(last, step.bytes);
          list.push({ index: last, bytes: step.bytes });
        } else if (step.kind === 'free') {
          window.freeUpTo(last - step.back);
          list = list.filter(({ index }) => index > last - step.back);
        } else {
          window.reset();
          list = [];
        }
        const bytes = list.reduce((sum, item) => sum + item.bytes, 0);
        for (const view of [window, window.clone()]) {
          assert.equal(view.count, list.length);
          assert.equal(view.bytes, bytes);
          assert.equal(view.isFull, list.length >= 4 || bytes >= 50);
        }
      }
    }),
  );
});
