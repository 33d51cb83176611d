import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SimProcess } from './process.ts';
import { Scheduler } from './scheduler.ts';
import { Trace } from './trace.ts';

const never = (): boolean => false;

describe('virtual time', () => {
  test('events run by time, and in the order of their scheduling within one moment', async () => {
    const scheduler = new Scheduler();
    const seen: string[] = [];
    for (const [delayMs, name] of [
      [5, 'c'],
      [1, 'a'],
      [5, 'd'],
      [3, 'b'],
    ] as const) {
      scheduler.time.after(delayMs, () => seen.push(`${name}@${scheduler.time.nowMs}`));
    }
    scheduler.time.after(4, () => seen.push('cancelled')).cancel();
    assert.equal(await scheduler.run(10, never), false);
    assert.deepEqual(seen, ['a@1', 'b@3', 'c@5', 'd@5']);
    assert.deepEqual([scheduler.time.nowMs, scheduler.events], [10, 4]);
  });

  test('all that follows from an event is done before the next one, however long the chain of promises', async () => {
    const scheduler = new Scheduler();
    let depth = 0;
    const dig = async (): Promise<void> => {
      for (let i = 0; i < 1_000; i++) {
        await undefined;
        depth++;
      }
    };
    scheduler.time.after(1, () => void dig());
    scheduler.time.after(1, () => assert.equal(depth, 1_000));
    await scheduler.run(2, never);
    assert.equal(scheduler.events, 2);
  });

  test('stops when the check says so, and when time stands still', async () => {
    const scheduler = new Scheduler();
    scheduler.time.after(1, () => undefined);
    scheduler.time.after(2, () => assert.fail('not reached'));
    assert.equal(await scheduler.run(10, () => scheduler.time.nowMs === 1), true);
    const stuck = new Scheduler();
    const again = (): void => void stuck.time.after(0, again);
    again();
    await assert.rejects(stuck.run(1, never), /time stands still/);
  });
});

describe('simulated processes', () => {
  test('a paused one does nothing until it is resumed, and catches up on a repeated timer once', async () => {
    const scheduler = new Scheduler();
    const process = new SimProcess({ name: 'p', time: scheduler.time });
    const seen: number[] = [];
    process.timers.every(10, () => seen.push(scheduler.time.nowMs));
    process.timers.after(25, () => seen.push(-scheduler.time.nowMs));
    scheduler.time.after(15, () => process.pause());
    scheduler.time.after(57, () => process.resume());
    await scheduler.run(70, never);
    assert.deepEqual(seen, [10, 57, -57, 67]);
  });

  test('a dead one does nothing any more; clocks may run fast', async () => {
    const scheduler = new Scheduler();
    const process = new SimProcess({ name: 'p', time: scheduler.time, rate: 2, originMs: 100 });
    const seen: number[] = [];
    process.timers.every(10, () => seen.push(process.clock.monotonicMs()));
    scheduler.time.after(12, () => process.kill());
    await scheduler.run(50, never);
    assert.deepEqual(seen, [110, 120]);
  });
});

test('a trace tells runs apart by what happened, when, and in which order', () => {
  const hashOf = (...notes: readonly (readonly [string, number])[]): string => {
    const trace = new Trace(() => 1);
    for (const [label, value] of notes) trace.note(label, [value]);
    return trace.hash;
  };
  assert.equal(hashOf(['a', 1], ['b', 2]), hashOf(['a', 1], ['b', 2]));
  assert.notEqual(hashOf(['a', 1], ['b', 2]), hashOf(['b', 2], ['a', 1]));
  assert.notEqual(hashOf(['a', 1]), hashOf(['a', 2 ** 32 + 1]));
});
