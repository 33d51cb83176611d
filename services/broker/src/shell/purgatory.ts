/**
 * Deadlines of those who wait for acknowledgments. The waiters themselves stand in the queues of their partitions; one tick
 * for the whole broker looks at them, so a deadline costs no timer and is kept to within a period.
 */
import type { Clock, Timer, Timers } from '@fleetmq/shared';
import type { Partitions } from './partitions.ts';

export interface PurgatoryOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly partitions: Partitions;
  /** Default 25 ms. */
  readonly periodMs?: number;
}

export class Purgatory implements Disposable {
  readonly #timer: Timer;

  constructor({ clock, timers, partitions, periodMs = 25 }: PurgatoryOptions) {
    this.#timer = timers.every(periodMs, () => {
      const nowMs = clock.monotonicMs();
      for (const replica of partitions.all()) if (replica.acks.size > 0) replica.expireAcks(nowMs);
    });
  }

  [Symbol.dispose](): void {
    this.#timer.cancel();
  }
}
