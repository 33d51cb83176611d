/** Real time for the tests of this folder, and a seeded random source. */
import { type Clock, seededRandom, type Timers } from '@fleetmq/shared';

const clock: Clock = { monotonicMs: () => performance.now(), wallMs: () => Date.now() };

const timers: Timers = {
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  every(periodMs, callback) {
    const timer = setInterval(callback, periodMs);
    return { cancel: () => clearInterval(timer) };
  },
};

export const ports = { clock, timers, random: seededRandom(1) };

export const soon = (): AbortSignal => AbortSignal.timeout(5_000);

/** Polls until the condition holds; fails after 5 s. */
export async function eventually(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 5_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within 5 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
