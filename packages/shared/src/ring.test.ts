import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Ring } from './ring.ts';

describe('the ring', () => {
  test('is a bounded first-in-first-out queue, like an array with a limit', () => {
    const command = fc.oneof(fc.nat(99), fc.constant('shift' as const));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.array(command, { maxLength: 200 }), (capacity, commands) => {
        const ring = new Ring<number>(capacity);
        const model: number[] = [];
        for (const each of commands) {
          if (each === 'shift') assert.equal(ring.shift(), model.shift());
          else {
            assert.equal(ring.push(each), model.length < capacity);
            if (model.length < capacity) model.push(each);
          }
          assert.equal(ring.size, model.length);
          assert.equal(ring.peek(), model[0]);
        }
      }),
    );
  });

  test('holds what was put in past its first room, also around its end', () => {
    const ring = new Ring<number>(1000);
    for (let i = 0; i < 10; i++) ring.push(i);
    for (let i = 0; i < 10; i++) assert.equal(ring.shift(), i);
    for (let i = 0; i < 1000; i++) assert.ok(ring.push(i));
    assert.equal(ring.push(0), false);
    for (let i = 0; i < 1000; i++) assert.equal(ring.shift(), i);
    assert.equal(ring.shift(), undefined);
    assert.equal(ring.peek(), undefined);
  });
});
