/**
 * The Clock and Timers ports on Node. Two promises of Timers need help from here: Node runs a timer up to a millisecond
 * before its delay has passed by the monotonic clock, and fires at once when a delay is above 2^31-1 ms.
 * Timers keep the process alive on purpose: a timer that its owner forgot shows as a process, or a test, that does not end.
 */
import { assert, type Clock, type Timer, type Timers } from '@fleetmq/shared';

/** The longest delay that Node keeps as it is: about 24.8 days. */
const NODE_DELAY_MAX_MS = 2 ** 31 - 1;

export const nodeClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
};

export const nodeTimers: Timers = {
  after(delayMs: number, callback: () => void): Timer {
    assert(delayMs >= 0, `a delay is 0 or more, not ${delayMs}`);
    return new NodeTimer(performance.now() + delayMs, callback);
  },

  every(periodMs: number, callback: () => void): Timer {
    assert(periodMs >= 1 && periodMs <= NODE_DELAY_MAX_MS, `a period is 1..${NODE_DELAY_MAX_MS} ms, not ${periodMs}`);
    const interval = setInterval(callback, periodMs);
    return { cancel: () => clearInterval(interval) };
  },
};

class NodeTimer implements Timer {
  readonly #deadline: number;
  readonly #callback: () => void;
  #timeout: NodeJS.Timeout | undefined;

  constructor(deadline: number, callback: () => void) {
    this.#deadline = deadline;
    this.#callback = callback;
    this.#arm(deadline - performance.now());
  }

  cancel(): void {
    clearTimeout(this.#timeout);
  }

  #arm(delayMs: number): void {
    const delay = Math.max(0, Math.min(Math.ceil(delayMs), NODE_DELAY_MAX_MS));
    this.#timeout = setTimeout(() => this.#fire(), delay);
  }

  #fire(): void {
    const restMs = this.#deadline - performance.now();
    if (restMs > 0) this.#arm(restMs);
    else this.#callback();
  }
}
