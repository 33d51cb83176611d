/**
 * Lets many readers in, or one who changes what is read. Truncation and deletion take the place of the bytes that a read is
 * about to look at; a read that met the change half-way would report corruption where there is none.
 *
 * Readers that come while a change waits or runs wait for its end, so a steady stream of reads cannot hold it off.
 */
export class Gate {
  #readers = 0;
  #change: Promise<void> | undefined;
  #drained: (() => void) | undefined;

  async read<Result>(run: () => Promise<Result>): Promise<Result> {
    while (this.#change !== undefined) await this.#change;
    this.#readers++;
    try {
      return await run();
    } finally {
      this.#readers--;
      if (this.#readers === 0) this.#drained?.();
    }
  }

  /** Runs `change` once no reader is inside. Changes do not overlap: the caller sees to that. */
  async change<Result>(change: () => Promise<Result>): Promise<Result> {
    let done: () => void = () => undefined;
    this.#change = new Promise((resolve) => {
      done = resolve;
    });
    try {
      if (this.#readers > 0) {
        await new Promise<void>((resolve) => {
          this.#drained = resolve;
        });
      }
      return await change();
    } finally {
      this.#drained = undefined;
      this.#change = undefined;
      done();
    }
  }
}

/** Runs asynchronous jobs one after the other. A job that fails does not stop the next. */
export class Serial {
  #last: Promise<unknown> = Promise.resolve();

  run<Result>(job: () => Promise<Result>): Promise<Result> {
    const mine = this.#last.then(job, job);
    this.#last = mine.catch(() => undefined);
    return mine;
  }
}
