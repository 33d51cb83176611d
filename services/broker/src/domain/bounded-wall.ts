/**
 * The wall clock, for deciding what is old enough to be deleted (P23). It goes as the monotonic clock does; what the wall clock
 * jumps ahead beside that is taken over slowly, so that a jump deletes at most a twentieth of the time that it lasts too early.
 * A wall clock that goes back, or that is behind, is believed at once: late is never wrong here.
 *
 * The first reading is believed: nothing else is known when a broker starts.
 */
import type { Clock } from '@fleetmq/shared';

const slewRatio = 0.05;

export class BoundedWall {
  readonly #clock: Clock;
  #readAtMs: number;
  #trustedMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#readAtMs = clock.monotonicMs();
    this.#trustedMs = clock.wallMs();
  }

  /** Milliseconds since 1970-01-01 UTC, whole. */
  nowMs(): number {
    const [monotonicMs, wallMs] = [this.#clock.monotonicMs(), this.#clock.wallMs()];
    const elapsedMs = monotonicMs - this.#readAtMs;
    const slewMs = elapsedMs * slewRatio;
    const expectedMs = this.#trustedMs + elapsedMs;
    this.#readAtMs = monotonicMs;
    this.#trustedMs = Math.min(Math.max(wallMs, expectedMs - slewMs), expectedMs + slewMs);
    return Math.floor(Math.min(wallMs, this.#trustedMs));
  }
}
