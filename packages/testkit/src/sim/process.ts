/**
 * One simulated process: what it has scheduled waits while it is paused (as under SIGSTOP), and never runs once it is dead.
 *
 * Its clock starts anywhere and may run a little fast or slow; the wall clock may jump. Timers follow the monotonic clock.
 * A repeated timer that was held up fires once, not once for each period that it missed, as Node's do.
 */
import type { Clock, Timer, Timers } from '@fleetmq/shared';
import type { Scheduled, VirtualTime } from './clock.ts';

export interface ProcessOptions {
  readonly name: string;
  readonly time: VirtualTime;
  /** Its seconds per real second. Default 1. */
  readonly rate?: number;
  /** What its monotonic clock shows at the start. Default 0. */
  readonly originMs?: number;
}

/** The wall clock of a run begins here: 2026-01-01. */
const wallStartMs = Date.UTC(2026, 0, 1);

export class SimProcess {
  readonly name: string;
  readonly #time: VirtualTime;
  readonly #rate: number;
  readonly #originMs: number;
  #isAlive = true;
  #isPaused = false;
  #held: (() => void)[] = [];
  #wallSkewMs = 0;

  constructor({ name, time, rate = 1, originMs = 0 }: ProcessOptions) {
    this.name = name;
    this.#time = time;
    this.#rate = rate;
    this.#originMs = originMs;
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Runs in this process after `delayMs` of real time. */
  after(delayMs: number, run: () => void): Scheduled {
    let isCancelled = false;
    const fire = (): void => {
      if (!isCancelled) this.run(fire, run);
    };
    const scheduled = this.#time.after(delayMs, fire);
    return {
      cancel: () => {
        isCancelled = true;
        scheduled.cancel();
      },
    };
  }

  /** Now, or, as `again`, when the process is resumed. */
  run(again: () => void, work: () => void = again): void {
    if (!this.#isAlive) return;
    if (this.#isPaused) this.#held.push(again);
    else work();
  }

  pause(): void {
    this.#isPaused = true;
  }

  /** What was held up runs now, in its order, each as an event of its own. */
  resume(): void {
    this.#isPaused = false;
    const held = this.#held;
    this.#held = [];
    for (const fire of held) this.#time.after(0, fire);
  }

  /** For good. */
  kill(): void {
    this.#isAlive = false;
    this.#held = [];
  }

  jumpWallClock(byMs: number): void {
    this.#wallSkewMs += byMs;
  }

  /** The wall clock is wrong by this much; what it has jumped before counts no more. */
  setWallClock(skewMs: number): void {
    this.#wallSkewMs = skewMs;
  }

  readonly clock: Clock = {
    monotonicMs: () => this.#originMs + this.#time.nowMs * this.#rate,
    wallMs: () => wallStartMs + this.#wallSkewMs + this.#time.nowMs * this.#rate,
  };

  readonly timers: Timers = {
    after: (delayMs: number, callback: () => void): Timer => this.after(atLeast(delayMs) / this.#rate, callback),
    every: (periodMs: number, callback: () => void): Timer => {
      const delayMs = periodMs / this.#rate;
      let next: Scheduled;
      const fire = (): void => {
        next = this.after(delayMs, fire);
        callback();
      };
      next = this.after(delayMs, fire);
      return { cancel: () => next.cancel() };
    },
  };
}

/** A rest of a wait that is less than what the clock can show would never be over. */
function atLeast(delayMs: number): number {
  return delayMs > 0 ? Math.max(delayMs, 1e-3) : delayMs;
}
