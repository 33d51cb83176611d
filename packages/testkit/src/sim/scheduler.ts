/**
 * Runs a simulation: takes one event after the other, and lets every promise that follows from it settle before the next.
 *
 * All waiting of simulated code ends by virtual events alone: once the microtasks have run, nothing can happen any more
 * until the next event. The simulated code must use no real timer, no real I/O and no thread: none of it would be repeatable.
 * Microtasks are run by what Node itself calls between two callbacks, where it is there; a turn of the event loop for each
 * event does the same and costs several times as much.
 */
import { assert } from '@fleetmq/shared';
import { VirtualTime } from './clock.ts';

/** Events between two turns of the event loop, so that signals and output of the process get their chance. */
const eventsPerTurn = 2_000;

/** More events of one moment than that are no progress: something answers itself without end. */
const eventsPerMomentMax = 200_000;

const runMicrotasks = (process as { _tickCallback?: () => void })._tickCallback?.bind(process);

export class Scheduler {
  readonly time: VirtualTime = new VirtualTime();
  #events = 0;
  #momentMs = -1;
  #eventsOfMoment = 0;

  get events(): number {
    return this.#events;
  }

  /**
   * Runs until the time is reached, or `check`, which sees the world after every event, returns true: that is the result.
   * What an event or `check` throws ends the run.
   */
  async run(untilMs: number, check: () => boolean): Promise<boolean> {
    for (;;) {
      // Also what the turn before left undone.
      if (check()) return true;
      const outcome = await new Promise<'found' | 'time' | 'turn'>((resolve, reject) => {
        // From here on no microtask is on the stack, so that those of each event can be run to their end.
        setImmediate(() => {
          try {
            resolve(this.#runTurn(untilMs, check));
          } catch (error) {
            reject(error);
          }
        });
      });
      if (outcome !== 'turn') return outcome === 'found';
    }
  }

  #runTurn(untilMs: number, check: () => boolean): 'found' | 'time' | 'turn' {
    const count = runMicrotasks === undefined ? 1 : eventsPerTurn;
    for (let position = 0; position < count; position++) {
      const run = this.time.next(untilMs);
      if (run === undefined) return 'time';
      this.#count();
      run();
      if (runMicrotasks === undefined) break;
      runMicrotasks();
      if (check()) return 'found';
    }
    return 'turn';
  }

  #count(): void {
    this.#events++;
    this.#eventsOfMoment = this.time.nowMs === this.#momentMs ? this.#eventsOfMoment + 1 : 0;
    this.#momentMs = this.time.nowMs;
    assert(this.#eventsOfMoment < eventsPerMomentMax, `time stands still at ${this.#momentMs} ms`);
  }
}
