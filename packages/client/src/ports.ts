/**
 * What the client wants from the world: clocks, timers, chance. Users get those of their platform, which are the same in Node
 * and in pages; a simulation brings its own.
 */
import { type Clock, type Random, seededRandom, type Timers } from '@fleetmq/shared';

export interface ClientPorts {
  readonly clock: Clock;
  /** May be early by a millisecond, as those of platforms are: who has to be exact looks at the clock. */
  readonly timers: Timers;
  /** For delays and sticky choices; nothing here needs a secret. */
  readonly random: Random;
}

export const ambientPorts: ClientPorts = {
  clock: {
    monotonicMs: () => performance.now(),
    wallMs: () => Date.now(),
  },
  timers: {
    after(delayMs, callback) {
      const timer = setTimeout(callback, delayMs);
      return { cancel: () => clearTimeout(timer) };
    },
    every(periodMs, callback) {
      const timer = setInterval(callback, periodMs);
      return { cancel: () => clearInterval(timer) };
    },
  },
  random: seededRandom(crypto.getRandomValues(new Uint32Array(1))[0] as number),
};
