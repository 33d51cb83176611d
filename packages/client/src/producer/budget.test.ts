import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Budget } from './budget.ts';

const wait = { timeoutMs: 60_000 };

test('room is bounded in bytes and in records; one oversized record passes when nothing else is there', () => {
  const budget = new Budget({ bytesMax: 100, recordsMax: 2 });
  assert.equal(budget.tryTake(1000), true);
  assert.equal(budget.tryTake(1), false);
  budget.give(1000, 1);
  assert.equal(budget.tryTake(1), true);
  assert.equal(budget.tryTake(1), true);
  assert.equal(budget.tryTake(1), false, 'a third record');
});

test('who waits is served in order, before anybody who comes later, at the very moment', async () => {
  const budget = new Budget({ bytesMax: 10, recordsMax: 100 });
  assert.equal(budget.tryTake(10), true);
  const order: string[] = [];
  const large = budget.take({ bytes: 8, ...wait }, () => order.push('large'));
  const small = budget.take({ bytes: 2, ...wait }, () => order.push('small'));
  budget.give(4, 0);
  assert.deepEqual(order, [], 'the small one does not overtake');
  budget.give(6, 1);
  assert.deepEqual(order, ['large', 'small']);
  assert.equal(budget.tryTake(1), false);
  await Promise.all([large, small]);
});

test('waiting ends with its time, its signal, or a full line, and makes way', async () => {
  const budget = new Budget({ bytesMax: 10, recordsMax: 100, waitersMax: 2 });
  budget.tryTake(10);
  const abort = new AbortController();
  const late = budget.take({ bytes: 5, timeoutMs: 5 }, assert.fail);
  const left = budget.take({ bytes: 5, ...wait, signal: abort.signal }, assert.fail);
  await assert.rejects(budget.take({ bytes: 1, ...wait }), { code: 'LIMIT_EXCEEDED', message: /2 callers wait/ });
  abort.abort();
  await assert.rejects(left, { code: 'CANCELLED' });
  await assert.rejects(late, { code: 'LIMIT_EXCEEDED', message: /after 5 ms/ });
  budget.give(10, 1);
  assert.equal(budget.hasWaiters, false);
  assert.equal(budget.tryTake(10), true);
});
