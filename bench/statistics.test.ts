import assert from 'node:assert/strict';
import { test } from 'node:test';
import { median, quantile } from './statistics.ts';

test('the median is the one in the middle, of two the upper one', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([1, 2]), 2);
  assert.equal(median([7]), 7);
  assert.ok(Number.isNaN(median([])));
});

test('numbers are sorted as numbers, and what is given stays as it is', () => {
  const given = [10, 9, 100];
  assert.equal(median(given), 10);
  assert.deepEqual(given, [10, 9, 100]);
});

test('quantiles of a thousand samples', () => {
  const samples = Array.from({ length: 1000 }, (_, index) => index + 1);
  assert.equal(quantile(samples, 0), 1);
  assert.equal(quantile(samples, 0.5), 501);
  assert.equal(quantile(samples, 0.99), 991);
  assert.equal(quantile(samples, 0.999), 1000);
  assert.equal(quantile(samples, 1), 1000);
});
