/**
 * At most `permits` jobs at a time; the others wait. Owners of waiting jobs take turns, so that one with hundreds of them holds
 * up the others by one job each; jobs of one owner go in order. The number of waiting jobs is bounded by their callers.
 */
export class Semaphore {
  #free: number;
  /** In the order of their turns. No list is empty. */
  readonly #waiting = new Map<object, (() => void)[]>();

  constructor(permits: number) {
    this.#free = permits;
  }

  /** Without an owner, jobs are of one and the same. */
  async run<Result>(job: () => Promise<Result>, owner: object = this): Promise<Result> {
    await this.#take(owner);
    try {
      return await job();
    } finally {
      this.#give();
    }
  }

  /** For a job that holds a permit: others have it while this part runs. */
  async lend<Result>(part: () => Promise<Result>, owner: object = this): Promise<Result> {
    this.#give();
    try {
      return await part();
    } finally {
      await this.#take(owner);
    }
  }

  async #take(owner: object): Promise<void> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#wait(owner, resolve));
  }

  #wait(owner: object, start: () => void): void {
    const others = this.#waiting.get(owner);
    if (others === undefined) this.#waiting.set(owner, [start]);
    else others.push(start);
  }

  #give(): void {
    const [turn] = this.#waiting;
    if (turn === undefined) {
      this.#free++;
      return;
    }
    const [owner, starts] = turn;
    const start = starts.shift();
    this.#waiting.delete(owner);
    if (starts.length > 0) this.#waiting.set(owner, starts);
    start?.();
  }
}
