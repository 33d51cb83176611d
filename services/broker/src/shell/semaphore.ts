/** At most `permits` jobs at a time; the others wait in order. The number of waiting jobs is bounded by their callers. */
export class Semaphore {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(permits: number) {
    this.#free = permits;
  }

  async run<Result>(job: () => Promise<Result>): Promise<Result> {
    await this.#take();
    try {
      return await job();
    } finally {
      this.#give();
    }
  }

  /** For a job that holds a permit: others have it while this part runs. */
  async lend<Result>(part: () => Promise<Result>): Promise<Result> {
    this.#give();
    try {
      return await part();
    } finally {
      await this.#take();
    }
  }

  async #take(): Promise<void> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #give(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }
}
