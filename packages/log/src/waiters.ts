/**
 * Those who wait until the log is durable up to some offset, in the order of these offsets. One promise per waiter, none
 * per batch. Every waiter is answered: by durability, by the failure of what it waits for, by its own signal.
 */
import { DomainError, type Offset } from '@fleetmq/shared';

interface Waiter {
  readonly end: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class DurabilityWaiters {
  /** Rising by `end`; settled ones before `#head` are given back in bulk. */
  #waiters: Waiter[] = [];
  #head = 0;

  /** Resolves at `release(end)` or later. LIMIT_EXCEEDED above `waitersMax`; rejects with the signal's reason when it fires. */
  add(end: Offset, waitersMax: number, signal?: AbortSignal): Promise<void> {
    if (this.#waiters.length - this.#head >= waitersMax) {
      return Promise.reject(new DomainError('LIMIT_EXCEEDED', `${waitersMax} callers wait for this log already`));
    }
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#remove(waiter);
        reject(signal?.reason);
      };
      const waiter: Waiter = {
        end,
        resolve: () => {
          signal?.removeEventListener('abort', onAbort);
          resolve();
        },
        reject: (error) => {
          signal?.removeEventListener('abort', onAbort);
          reject(error);
        },
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#insert(waiter);
    });
  }

  /** Answers those who wait for `end` or less. */
  release(end: number): void {
    while (this.#head < this.#waiters.length && (this.#waiters[this.#head] as Waiter).end <= end) {
      (this.#waiters[this.#head++] as Waiter).resolve();
    }
    if (this.#head < this.#waiters.length && this.#head < 1024) return;
    this.#waiters.splice(0, this.#head);
    this.#head = 0;
  }

  /** Answers all that are left with `error`. */
  fail(error: unknown): void {
    const waiters = this.#waiters.slice(this.#head);
    this.#waiters = [];
    this.#head = 0;
    for (const waiter of waiters) waiter.reject(error);
  }

  /** Mostly at the end: callers wait for what they have just appended. */
  #insert(waiter: Waiter): void {
    let at = this.#waiters.length;
    while (at > this.#head && (this.#waiters[at - 1] as Waiter).end > waiter.end) at--;
    if (at === this.#waiters.length) this.#waiters.push(waiter);
    else this.#waiters.splice(at, 0, waiter);
  }

  #remove(waiter: Waiter): void {
    const at = this.#waiters.indexOf(waiter, this.#head);
    if (at >= 0) this.#waiters.splice(at, 1);
  }
}
