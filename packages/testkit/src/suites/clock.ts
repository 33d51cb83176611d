/** What every implementation of the Clock and Timers ports keeps, as tests. Real clocks are waited for, simulated ones advanced. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Clock, Timers } from '@fleetmq/shared';

export interface ClockUnderTest {
  readonly clock: Clock;
  readonly timers: Timers;
  /** Lets `ms` pass and everything run that is due by then. */
  advance(ms: number): Promise<void>;
}

export function clockSuite(name: string, create: () => ClockUnderTest): void {
  describe(`${name} keeps the Clock port`, () => clockTests(create));
  describe(`${name} keeps the Timers port`, () => timerTests(create));
}

function clockTests(create: () => ClockUnderTest): void {
  test('monotonic time passes and never goes back', async () => {
    const { clock, advance } = create();
    const started = clock.monotonicMs();
    let last = started;
    for (let i = 0; i < 1000; i++) {
      const now = clock.monotonicMs();
      assert.ok(now >= last, `${now} after ${last}`);
      last = now;
    }
    await advance(5);
    assert.ok(clock.monotonicMs() - started >= 5);
  });

  test('wall time is whole milliseconds of this century', () => {
    const now = create().clock.wallMs();
    assert.ok(Number.isSafeInteger(now), `${now}`);
    assert.ok(now > 946_684_800_000 && now < 4_102_444_800_000, `${now}`);
  });
}

function timerTests(create: () => ClockUnderTest): void {
  test('a timer runs once, and not before its delay has passed', async () => {
    const { clock, timers, advance } = create();
    const ran: number[] = [];
    for (const delayMs of [0, 1, 2.5, 10]) {
      const started = clock.monotonicMs();
      timers.after(delayMs, () => {
        ran.push(delayMs);
        assert.ok(clock.monotonicMs() - started >= delayMs, `${clock.monotonicMs() - started} < ${delayMs}`);
      });
    }
    assert.deepEqual(ran, [], 'nothing runs inside after()');
    await advance(30);
    assert.deepEqual(ran, [0, 1, 2.5, 10]);
  });

  test('a cancelled timer does not run, and may be cancelled again', async () => {
    const { timers, advance } = create();
    let runs = 0;
    const timer = timers.after(5, () => runs++);
    timer.cancel();
    timer.cancel();
    await advance(20);
    assert.equal(runs, 0);
  });

  test('a timer may be cancelled by a timer that runs before it', async () => {
    const { timers, advance } = create();
    let runs = 0;
    timers.after(2, () => second.cancel());
    const second = timers.after(15, () => runs++);
    await advance(40);
    assert.equal(runs, 0);
  });

  test('a delay beyond 2^31 ms waits', async () => {
    const { timers, advance } = create();
    let runs = 0;
    const timer = timers.after(2 ** 40, () => runs++);
    await advance(10);
    assert.equal(runs, 0);
    timer.cancel();
  });

  test('a period runs again and again until it is cancelled, by itself too', async () => {
    const { clock, timers, advance } = create();
    const started = clock.monotonicMs();
    let runs = 0;
    const timer = timers.every(5, () => {
      runs++;
      // Two milliseconds of grace: Node rounds each period on its own.
      assert.ok(clock.monotonicMs() - started >= 5 - 2, 'the first run is one period away');
      if (runs === 3) timer.cancel();
    });
    for (let i = 0; i < 100 && runs < 3; i++) await advance(10);
    await advance(20);
    assert.equal(runs, 3);
  });
}
