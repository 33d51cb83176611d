/**
 * A timer that runs only while something waits: it is set by whoever begins to wait, rings at the earliest of the times that
 * were asked for, and rests when its owner says that nothing waits any more. So what is idle costs no timer.
 * Invariant: it is set whenever a time was asked for that has not come.
 */
import type { Clock, Timer, Timers } from '@fleetmq/shared';

export interface AlarmOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  /** What is due by now; returns when to ring again by the monotonic clock, infinity: not until somebody asks. */
  readonly onRing: (nowMs: number) => number;
}

export class Alarm implements Disposable {
  readonly #options: AlarmOptions;
  #timer: Timer | undefined;
  #atMs = Number.POSITIVE_INFINITY;
  #isStopped = false;

  constructor(options: AlarmOptions) {
    this.#options = options;
  }

  /** Rings at this time by the monotonic clock, or before. */
  at(atMs: number): void {
    if (atMs >= this.#atMs || this.#isStopped) return;
    const { clock, timers } = this.#options;
    this.#timer?.cancel();
    this.#atMs = atMs;
    this.#timer = timers.after(Math.max(0, atMs - clock.monotonicMs()), () => this.#ring());
  }

  /** Rings within this time. */
  within(delayMs: number): void {
    this.at(this.#options.clock.monotonicMs() + delayMs);
  }

  [Symbol.dispose](): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  #ring(): void {
    const { clock, onRing } = this.#options;
    this.#atMs = Number.POSITIVE_INFINITY;
    this.at(onRing(clock.monotonicMs()));
  }
}
