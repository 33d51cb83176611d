/**
 * Bytes that a group of buffers may take together. What does not fit is refused with LIMIT_EXCEEDED and a time to come
 * back, never queued: whoever is told so slows down. Each reservation is given back exactly once.
 */
import { assert, DomainError } from '@fleetmq/shared';

export class ByteBudget {
  readonly #name: string;
  readonly bytesMax: number;
  #bytes = 0;

  /** `name` says in errors what is full. */
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

  /** LIMIT_EXCEEDED when `bytes` more do not fit; what is larger than the whole budget fits only when it is empty. */
  reserve(bytes: number): void {
    if (this.#bytes > 0 && this.#bytes + bytes > this.bytesMax) {
      throw new DomainError('LIMIT_EXCEEDED', `${this.#name} hold ${this.#bytes} of ${this.bytesMax} bytes`, {
        retryAfterMs: 50,
      });
    }
    this.#bytes += bytes;
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
