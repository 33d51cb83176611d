import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DomainError } from '@fleetmq/shared';
import { ackLevel, ackRule } from '../domain/custom-acks.ts';
import { AckQueue } from './ack-queue.ts';

const leader = ackRule(ackLevel.leader, 0, 3);
const all = ackRule(ackLevel.all, 0, 3);
const three = ackRule(ackLevel.custom, 3, 3);
const error = new DomainError('TIMEOUT', 'late');

function waiters(queue: AckQueue, told: string[]) {
  return (rule: typeof all, endOffset: number, deadlineMs = 100): void => {
    const done = (failure: DomainError | undefined): void => {
      told.push(`${endOffset}:${failure?.code ?? 'ok'}`);
    };
    assert.ok(queue.add(rule, { endOffset, deadlineMs, done }));
  };
}

test('each rule has its own ack point', () => {
  const told: string[] = [];
  const queue = new AckQueue(10);
  const add = waiters(queue, told);
  add(leader, 5);
  add(all, 6);
  add(three, 7);
  add(all, 9);
  queue.advance((rule) => (rule.kind === 'leader' ? 8 : rule === all ? 6 : 5));
  assert.deepEqual(told, ['5:ok', '6:ok']);
  assert.equal(queue.size, 2);
  queue.advance(() => 100);
  assert.deepEqual(told, ['5:ok', '6:ok', '9:ok', '7:ok']);
});

test('whoever is late is told once, and those behind are not held up', () => {
  const told: string[] = [];
  const queue = new AckQueue(10);
  const add = waiters(queue, told);
  add(all, 1, 300);
  add(all, 2, 100);
  add(all, 3, 300);
  queue.expire(150, () => error);
  assert.deepEqual(told, ['2:TIMEOUT']);
  queue.advance(() => 3);
  assert.deepEqual(told, ['2:TIMEOUT', '1:ok', '3:ok']);
  queue.expire(1_000, () => error);
  assert.equal(told.length, 3);
  assert.equal(queue.size, 0);
});

test('a failure tells those whom it concerns', () => {
  const told: string[] = [];
  const queue = new AckQueue(10);
  const add = waiters(queue, told);
  add(leader, 1);
  add(all, 2);
  add(all, 8);
  queue.fail(error, (rule, waiter) => rule.kind === 'committed' && waiter.endOffset > 5);
  assert.deepEqual(told, ['8:TIMEOUT']);
  queue.fail(error);
  assert.equal(queue.size, 0);
});

test('a full queue takes no more', () => {
  const queue = new AckQueue(2);
  const add = waiters(queue, []);
  add(all, 1);
  assert.ok(queue.hasRoom(all));
  add(all, 2);
  assert.equal(queue.hasRoom(all), false);
  assert.equal(queue.add(all, { endOffset: 3, deadlineMs: 1, done: () => undefined }), false);
  assert.ok(queue.hasRoom(leader));
});
