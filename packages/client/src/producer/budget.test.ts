import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ambientPorts } from '../ports.ts';
import { Budget } from './budget.ts';

const { timers } = ambientPorts;
const wait = { timeoutMs: 60_000 };
const later = (run: () => void): void => run();

test('room is bounded in bytes and in records; one oversized record passes when nothing else is there', () => {
  const budget = new Budget({ bytesMax: 100, recordsMax: 2, timers, later });
  assert.equal(budget.tryTake(1000), true);
  assert.equal(budget.tryTake(1), false);
  budget.give(1000, 1);
  assert.equal(budget.tryTake(1), true);
  assert.equal(budget.tryTake(1), true);
  assert.equal(budget.tryTake(1), false, 'a third record');
});

test('who waits is served in order, before anybody who comes later, at the very moment', async () => {
  const budget = new Budget({ bytesMax: 10, recordsMax: 100, timers, later });
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
  const budget = new Budget({ bytesMax: 10, recordsMax: 100, waitersMax: 2, timers, later });
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

test('room that was given back is handed out later, once for all, and nobody slips in before', async () => {
  const tasks: (() => void)[] = [];
  const budget = new Budget({ bytesMax: 10, recordsMax: 100, timers, later: (run) => tasks.push(run) });
  budget.tryTake(5);
  budget.tryTake(5);
  const order: string[] = [];
  const first = budget.take({ bytes: 6, ...wait }, () => order.push('first'));
  budget.give(5, 1);
  budget.give(5, 1);
  assert.deepEqual(order, []);
  assert.equal(budget.tryTake(1), false);
  assert.equal(tasks.length, 1);
  tasks.shift()?.();
  await first;
  assert.deepEqual(order, ['first']);
  budget.give(6, 1);
  assert.equal(tasks.length, 0, 'nobody waits');
});
