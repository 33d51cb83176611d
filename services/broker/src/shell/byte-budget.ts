/**
 * Bytes that a group of buffers may take together. Whoever is about to add some asks first (`fits`, `free`), and refuses its
 * caller with LIMIT_EXCEEDED rather than queue what does not fit. What was noted is given back exactly once.
 */
import { assert } from '@fleetmq/shared';

export class ByteBudget {
  readonly #name: string;
  readonly bytesMax: number;
  #bytes = 0;

  /** `name` is for the assertion that nothing is given back twice. */
  constructor(name: string, bytesMax: number) {
    this.#name = name;
    this.bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get free(): number {
    return Math.max(0, this.bytesMax - this.#bytes);
  }

  /** Whether `bytes` more fit now. */
  fits(bytes: number): boolean {
    return this.#bytes === 0 || this.#bytes + bytes <= this.bytesMax;
  }

  /** Notes a change that has happened already; whoever causes growth asks `fits` before. */
  adjust(change: number): void {
    this.#bytes += change;
    assert(this.#bytes >= 0, `${this.#name}: more bytes were released than reserved`);
  }

  release(bytes: number): void {
    this.#bytes -= bytes;
    assert(this.#bytes >= 0, `${this.#name}: more bytes were released than reserved`);
  }
}
