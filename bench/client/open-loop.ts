/**
 * When the records of an open loop are due: at a fixed rate from the start on, whatever became of those before. Latency counts
 * from here, not from when a record was sent, so that a stall is charged to every record that it delays (coordinated omission).
 */
export interface OpenLoopOptions {
  readonly startMs: number;
  readonly perSecond: number;
  readonly count: number;
}

export class OpenLoop {
  readonly #options: OpenLoopOptions;
  #next = 0;

  constructor(options: OpenLoopOptions) {
    if (!(options.perSecond > 0)) throw new Error(`a rate is more than 0, not ${options.perSecond}`);
    this.#options = options;
  }

  get isDone(): boolean {
    return this.#next >= this.#options.count;
  }

  /** The times of all that have become due and were not taken yet, in order; none is left out, however late it is. */
  *take(nowMs: number): Iterable<number> {
    const { startMs, perSecond, count } = this.#options;
    while (this.#next < count) {
      const dueMs = startMs + (this.#next * 1000) / perSecond;
      if (dueMs > nowMs) return;
      this.#next++;
      yield dueMs;
    }
  }
}
