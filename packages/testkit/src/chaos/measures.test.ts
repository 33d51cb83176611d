import assert from 'node:assert/strict';
import { test } from 'node:test';
import { longestGap, Measures, spreadOf } from './measures.ts';

test('ranks of a list of values', () => {
  assert.deepEqual(spreadOf([]), { count: 0, p50: 0, p99: 0, max: 0 });
  assert.deepEqual(spreadOf([7]), { count: 1, p50: 7, p99: 7, max: 7 });
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
  assert.deepEqual(spreadOf(hundred), { count: 100, p50: 50, p99: 99, max: 100 });
});

test('what takes longer than its bound is late, and said so', () => {
  const measures = new Measures();
  measures.recovered('kill', { tookMs: 100, boundMs: 3_000, atMs: 5_000 });
  assert.deepEqual(measures.late, []);
  measures.recovered('split', { tookMs: 3_001, boundMs: 3_000, atMs: 5_000 });
  assert.deepEqual(measures.late, [
    '3001 ms from the end of split at 5.0 s to the next acknowledged change: more than 3000 ms',
  ]);
  assert.equal(measures.recoveries().max, 3_001);
});

test('outages by what began them, and together', () => {
  const measures = new Measures();
  assert.deepEqual(measures.outages(), {});
  for (const [what, tookMs] of [
    ['b', 3],
    ['a', 1],
    ['b', 5],
  ] as const)
    measures.outage(what, tookMs);
  const { all, ...each } = measures.outages();
  assert.deepEqual(Object.keys(each), ['a', 'b']);
  assert.deepEqual(all, { count: 3, p50: 3, p99: 5, max: 5 });
});

test('the longest gap begins with the interval, and ends with the first moment after it', () => {
  const momentsMs = [1, 5, 6, 20, 21];
  assert.equal(longestGap(momentsMs, { fromMs: 4, toMs: 10 }), 14);
  assert.equal(longestGap(momentsMs, { fromMs: 2, toMs: 5 }), 3);
  assert.equal(longestGap(momentsMs, { fromMs: 20, toMs: 30 }), 1);
  assert.equal(longestGap([], { fromMs: 0, toMs: 9 }), 0);
});
