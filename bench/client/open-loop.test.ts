import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OpenLoop } from './open-loop.ts';

test('records become due at their rate, and none before its time', () => {
  const loop = new OpenLoop({ startMs: 1_000, perSecond: 500, count: 4 });
  assert.deepEqual([...loop.take(999)], []);
  assert.deepEqual([...loop.take(1_000)], [1_000]);
  assert.deepEqual([...loop.take(1_001)], []);
  assert.deepEqual([...loop.take(1_002)], [1_002]);
  assert.equal(loop.isDone, false);
});

test('after a stall every record that it delayed is due at its own time, not at the end of the stall', () => {
  const loop = new OpenLoop({ startMs: 0, perSecond: 100, count: 1_000 });
  assert.deepEqual([...loop.take(0)], [0]);
  const delayed = [...loop.take(505)];
  assert.equal(delayed.length, 50);
  assert.deepEqual([delayed[0], delayed.at(-1)], [10, 500]);
});

test('the rate does not drift: the last of a million is due when it should be', () => {
  const loop = new OpenLoop({ startMs: 0, perSecond: 3, count: 1_000_000 });
  let [taken, last] = [0, 0];
  for (const dueMs of loop.take(Number.POSITIVE_INFINITY)) {
    taken++;
    last = dueMs;
  }
  assert.equal(taken, 1_000_000);
  assert.ok(Math.abs(last - (999_999 * 1000) / 3) < 1e-3);
  assert.equal(loop.isDone, true);
});

test('a rate of nothing is refused', () => {
  assert.throws(() => new OpenLoop({ startMs: 0, perSecond: 0, count: 1 }), /more than 0, not 0/);
});
