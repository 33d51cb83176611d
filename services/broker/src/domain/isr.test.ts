import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IsrState } from './isr.ts';

test('P7: while a proposal is unanswered, old and proposed members count', () => {
  const isr = new IsrState([2, 1], 5);
  assert.deepEqual(isr.committed, [1, 2]);
  const proposal = isr.propose([1, 2, 3]);
  assert.deepEqual(isr.maximal, [1, 2, 3]);
  assert.deepEqual(isr.committed, [1, 2]);
  assert.equal(proposal.partitionEpoch, 5);
  assert.ok(isr.commit([1, 2, 3], 6));
  assert.equal(isr.pending, undefined);
});

test('a shrink keeps the leaving member until it is committed', () => {
  const isr = new IsrState([1, 2, 3], 5);
  isr.propose([1, 2]);
  assert.deepEqual(isr.maximal, [1, 2, 3]);
  isr.commit([1, 2], 6);
  assert.deepEqual(isr.maximal, [1, 2]);
});

test('a refusal takes a proposal back only if no attempt before it may have succeeded', () => {
  const isr = new IsrState([1, 2], 5);
  const first = isr.propose([1, 2, 3]);
  isr.refuse(first);
  assert.deepEqual(isr.maximal, [1, 2]);
  const second = isr.propose([1, 2, 3]);
  isr.markUncertain(second);
  isr.refuse(second);
  assert.deepEqual(isr.maximal, [1, 2, 3]);
  assert.equal(isr.pending, second);
});

test('a proposal that replaces another keeps the other one counting', () => {
  const isr = new IsrState([1, 2], 5);
  isr.propose([1, 2, 3]);
  isr.propose([1, 2]);
  assert.deepEqual(isr.maximal, [1, 2, 3]);
});

test('what is not newer changes nothing', () => {
  const isr = new IsrState([1, 2], 5);
  assert.equal(isr.commit([1], 5), false);
  assert.equal(isr.commit([1], 4), false);
  assert.deepEqual(isr.committed, [1, 2]);
});
