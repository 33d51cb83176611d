/**
 * The window of idempotency keys: for callers without a producer id. The same key with the same content inside the window
 * gets the first answer; with other content it is DUPLICATE_REQUEST. Content is told by record count and CRC-32.
 *
 * Like the producer table it is a function of the frames and of append times, and it refuses new keys when it is full:
 * forgetting one early would let a batch in twice.
 */
import { DomainError } from '@fleetmq/shared';

/** Where the batch of a key was appended. */
export interface KeyedBatch {
  readonly crc: number;
  readonly recordCount: number;
  readonly baseOffset: number;
  readonly appendTimeMs: number;
}

export interface WindowBounds {
  readonly idempotencyWindowMs: number;
  readonly idempotencyKeysMax: number;
}

export class IdempotencyWindow {
  /** Oldest first. */
  readonly #batches = new Map<string, KeyedBatch>();
  #bounds: WindowBounds;

  constructor(bounds: WindowBounds) {
    this.#bounds = bounds;
  }

  get size(): number {
    return this.#batches.size;
  }

  entries(): IterableIterator<[string, KeyedBatch]> {
    return this.#batches.entries();
  }

  /** Where the batch of this key was appended before; undefined when it is new. Changes nothing. */
  check(
    key: string,
    content: { readonly crc: number; readonly recordCount: number },
    nowMs: number,
  ): KeyedBatch | undefined {
    if (key === '') return undefined;
    const first = this.#batches.get(key);
    if (first === undefined || this.#isExpired(first, nowMs)) {
      this.#checkRoom(nowMs);
      return undefined;
    }
    if (first.crc === content.crc && first.recordCount === content.recordCount) return first;
    throw new DomainError('DUPLICATE_REQUEST', `idempotency key ${JSON.stringify(key)} was used for other records`);
  }

  /** Takes note of a keyed batch in the log. */
  record(key: string, batch: KeyedBatch): void {
    if (key === '') return;
    this.#batches.delete(key);
    this.#batches.set(key, batch);
    for (const [oldest, { appendTimeMs }] of this.#batches) {
      if (batch.appendTimeMs - appendTimeMs <= this.#bounds.idempotencyWindowMs) break;
      this.#batches.delete(oldest);
    }
  }

  restore(key: string, batch: KeyedBatch): void {
    this.#batches.set(key, batch);
  }

  clear(): void {
    this.#batches.clear();
  }

  configure(bounds: WindowBounds): void {
    this.#bounds = bounds;
  }

  #isExpired(batch: KeyedBatch, nowMs: number): boolean {
    return nowMs - batch.appendTimeMs > this.#bounds.idempotencyWindowMs;
  }

  #checkRoom(nowMs: number): void {
    if (this.#batches.size < this.#bounds.idempotencyKeysMax) return;
    for (const oldest of this.#batches.values()) {
      if (this.#isExpired(oldest, nowMs)) return;
      const retryAfterMs = oldest.appendTimeMs + this.#bounds.idempotencyWindowMs - nowMs + 1;
      throw new DomainError('LIMIT_EXCEEDED', `the log remembers ${this.#batches.size} idempotency keys, no more`, {
        retryAfterMs,
      });
    }
  }
}
