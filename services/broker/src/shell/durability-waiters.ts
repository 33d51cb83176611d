/**
 * Those who wait until a follower's log is durable up to some offset, in the order of their offsets. Each is told exactly once:
 * that it is so, or why it will not be.
 */
import type { DomainError } from '@fleetmq/shared';

export type TellDurable = (error: DomainError | undefined) => void;

interface Waiter {
  readonly endOffset: number;
  readonly done: TellDurable;
}

export class DurabilityWaiters {
  #waiters: Waiter[] = [];

  get isEmpty(): boolean {
    return this.#waiters.length === 0;
  }

  add(endOffset: number, done: TellDurable): void {
    this.#waiters.push({ endOffset, done });
  }

  /** The log is durable up to `end`. */
  tell(end: number): void {
    let told = 0;
    while (told < this.#waiters.length && (this.#waiters[told] as Waiter).endOffset <= end) told++;
    for (const { done } of this.#waiters.splice(0, told)) done(undefined);
  }

  /** It stays durable up to `durableEnd`; all others are told the error. */
  fail(durableEnd: number, error: DomainError): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const { endOffset, done } of waiters) done(endOffset <= durableEnd ? undefined : error);
  }
}
