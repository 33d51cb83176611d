import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock, Timers } from '@fleetmq/shared';
import { Alarm } from './alarm.ts';

/** A clock that is moved by hand, and the timers that are set by it. */
class HandClock {
  nowMs = 0;
  readonly #set = new Set<{ readonly atMs: number; readonly run: () => void }>();
  readonly clock: Clock = { monotonicMs: () => this.nowMs, wallMs: () => this.nowMs };
  readonly timers: Timers = {
    after: (delayMs, run) => {
      const timer = { atMs: this.nowMs + delayMs, run };
      this.#set.add(timer);
      return { cancel: () => this.#set.delete(timer) };
    },
    every: () => assert.fail('an alarm has no period'),
  };

  get timerCount(): number {
    return this.#set.size;
  }

  moveTo(nowMs: number): void {
    this.nowMs = nowMs;
    for (const timer of [...this.#set]) {
      if (timer.atMs > nowMs) continue;
      this.#set.delete(timer);
      timer.run();
    }
  }
}

function start(time: HandClock, next: (nowMs: number) => number = () => Number.POSITIVE_INFINITY) {
  const rings: number[] = [];
  const onRing = (nowMs: number): number => {
    rings.push(nowMs);
    return next(nowMs);
  };
  return { rings, alarm: new Alarm({ clock: time.clock, timers: time.timers, onRing }) };
}

test('it rings at the earliest time that was asked for, once, and then rests', () => {
  const time = new HandClock();
  const { alarm, rings } = start(time);
  assert.equal(time.timerCount, 0);
  alarm.at(50);
  alarm.within(20);
  alarm.at(40);
  assert.equal(time.timerCount, 1);
  time.moveTo(19);
  assert.deepEqual(rings, []);
  time.moveTo(20);
  time.moveTo(100);
  assert.deepEqual(rings, [20]);
  assert.equal(time.timerCount, 0);
  alarm.at(90);
  time.moveTo(100);
  assert.deepEqual(rings, [20, 100], 'a time that is over is now');
});

test('it rings again when its owner says so, and what is asked for while it rings counts', () => {
  const time = new HandClock();
  const { alarm, rings } = start(time, (nowMs) => {
    if (nowMs === 10) alarm.at(15);
    return nowMs < 30 ? nowMs + 10 : Number.POSITIVE_INFINITY;
  });
  alarm.at(10);
  for (let nowMs = 1; nowMs < 100; nowMs++) time.moveTo(nowMs);
  assert.deepEqual(rings, [10, 15, 25, 35]);
});

test('after it was disposed of it is never set again', () => {
  const time = new HandClock();
  const { alarm, rings } = start(time);
  alarm.at(10);
  alarm[Symbol.dispose]();
  alarm.at(20);
  time.moveTo(100);
  assert.deepEqual(rings, []);
  assert.equal(time.timerCount, 0);
});
