/** Values from events, as an async iterable: for the two directions of a simulated stream. */

export class AsyncQueue<Value> implements AsyncIterable<Value> {
  readonly #values: Value[] = [];
  readonly #onTaken: ((value: Value) => void) | undefined;
  #end: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;

  /** `onTaken` is called with each value that its reader takes. */
  constructor(onTaken?: (value: Value) => void) {
    this.#onTaken = onTaken;
  }

  push(value: Value): void {
    if (this.#end !== undefined) return;
    this.#values.push(value);
    this.#wake?.();
  }

  /** After what is queued; with an error, at once. The first end counts. */
  end(error?: unknown): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    if (error !== undefined) this.#values.length = 0;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Value> {
    for (;;) {
      if (this.#values.length > 0) {
        const value = this.#values.shift() as Value;
        this.#onTaken?.(value);
        yield value;
      } else if (this.#end !== undefined) {
        if (this.#end.error !== undefined) throw this.#end.error;
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
      }
    }
  }
}
