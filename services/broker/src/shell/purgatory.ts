/**
 * Deadlines of those who wait for acknowledgments. The waiters themselves stand in the queues of their partitions; one timer
 * for the whole broker, set to the earliest deadline, looks at them, so a deadline costs no timer of its own and an idle
 * broker has none. Deadlines that come close together are kept to within a period.
 */
import type { Clock, Timers } from '@fleetmq/shared';
import { Alarm } from './alarm.ts';
import type { Partitions } from './partitions.ts';

export interface PurgatoryOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly partitions: Partitions;
  /** Default 25 ms. */
  readonly periodMs?: number;
}

export class Purgatory implements Disposable {
  readonly #alarm: Alarm;

  constructor({ clock, timers, partitions, periodMs = 25 }: PurgatoryOptions) {
    const expire = (nowMs: number): number => {
      let nextMs = Number.POSITIVE_INFINITY;
      for (const replica of partitions.all()) {
        if (replica.acks.size > 0) nextMs = Math.min(nextMs, replica.expireAcks(nowMs));
      }
      return Math.max(nextMs, nowMs + periodMs);
    };
    this.#alarm = new Alarm({ clock, timers, onRing: expire });
  }

  /** Somebody waits for acknowledgments, until then by the monotonic clock. */
  watch(deadlineMs: number): void {
    this.#alarm.at(deadlineMs);
  }

  [Symbol.dispose](): void {
    this.#alarm[Symbol.dispose]();
  }
}
