/** Work that is done again and again, one round at a time, and that a stop waits for. */
export class Chore {
  readonly #round: () => Promise<void>;
  #running: Promise<void> | undefined;
  isStopped = false;

  /** A round looks at `isStopped` between its steps. */
  constructor(round: () => Promise<void>) {
    this.#round = round;
  }

  /** To be called periodically. Does nothing while the round before is not done. */
  tick(): void {
    if (this.isStopped) return;
    this.#running ??= this.#round().finally(() => {
      this.#running = undefined;
    });
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    await this.#running;
  }
}
