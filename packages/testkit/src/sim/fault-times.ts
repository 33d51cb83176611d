/** When faults begin, and when they are undone: at random moments, until all is healed. */
import type { Random } from '@fleetmq/shared';
import type { RunWorld, WorldSeed } from './run-world.ts';

interface FaultSeed extends WorldSeed {
  /** Between two faults, in the mean. */
  readonly faultEveryMs: number;
  /** What is undone is, after so long in the mean. */
  readonly faultLastsMs: number;
}

export class FaultTimes {
  readonly #world: RunWorld<FaultSeed>;
  readonly #random: Random;
  #isOver = false;

  constructor(world: RunWorld<FaultSeed>, random: Random) {
    this.#world = world;
    this.#random = random;
  }

  /** Injects again and again, for the first time by then. */
  start(firstByMs: number, inject: () => void): void {
    this.#next(Math.min(firstByMs, this.exponential(this.#world.seed.faultEveryMs)), inject);
  }

  /** No more of them; and what waits to be undone is left to whoever heals. */
  end(): void {
    this.#isOver = true;
  }

  undoLater(undo: () => void): void {
    this.after(this.lasts(), undo);
  }

  healLater(): void {
    this.undoLater(() => this.#world.network.healAll());
  }

  /** Unless all is over by then. */
  after(delayMs: number, run: () => void): void {
    this.#world.scheduler.time.after(delayMs, () => {
      if (!this.#isOver) run();
    });
  }

  lasts(): number {
    return this.exponential(this.#world.seed.faultLastsMs);
  }

  exponential(meanMs: number): number {
    return -Math.log(1 - this.#random.next()) * meanMs;
  }

  #next(delayMs: number, inject: () => void): void {
    this.after(delayMs, () => {
      inject();
      this.#next(this.exponential(this.#world.seed.faultEveryMs), inject);
    });
  }
}
