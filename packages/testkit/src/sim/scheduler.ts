/**
 * Runs a simulation: takes one event after the other, and lets every promise that follows from it settle before the next.
 *
 * All waiting of simulated code ends by virtual events alone: once the microtasks have run, nothing can happen any more
 * until the next event. A turn of Node's event loop (`setImmediate`) runs them all, and costs less than a microsecond.
 * The simulated code must use no real timer, no real I/O and no thread: none of it would be repeatable.
 */
import { VirtualTime } from './clock.ts';

export class Scheduler {
  readonly time: VirtualTime = new VirtualTime();
  #events = 0;

  get events(): number {
    return this.#events;
  }

  /**
   * Runs until the time is reached, or `check`, which sees the world after every event, returns true: that is the result.
   * What `check` throws ends the run.
   */
  async run(untilMs: number, check: () => boolean): Promise<boolean> {
    await settled();
    if (check()) return true;
    for (let run = this.time.next(untilMs); run !== undefined; run = this.time.next(untilMs)) {
      this.#events++;
      run();
      await settled();
      if (check()) return true;
    }
    return false;
  }
}

/** Resolves when no microtask is left. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
