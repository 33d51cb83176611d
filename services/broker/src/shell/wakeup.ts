/** Wakes whoever waits for something to change, without a promise while nobody waits. One waiter at a time. */
export class Wakeup {
  #wake: (() => void) | undefined;
  #isSet = false;

  /** Wakes the waiter, or lets the next `wait` return at once. */
  set(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    if (wake === undefined) this.#isSet = true;
    else wake();
  }

  /** Resolves at the next `set`, or at once when one came since the last wait. */
  wait(): Promise<void> {
    if (this.#isSet) {
      this.#isSet = false;
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}
