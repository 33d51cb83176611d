/**
 * The memory bound of a producer: bytes and records that are accepted and not settled. Who finds no room waits in line, first
 * come first served, so a large record is not overtaken for ever by small ones. The line itself is bounded too. A caller's
 * turn is told to it at once, by a call and not by a promise, so that nobody slips in before it.
 * Invariant: 0 <= used <= max, except that one record may be taken when nothing is in use, whatever its size.
 */
import { DomainError, Ring, type Timers } from '@fleetmq/shared';
import { cancelled } from '../rpc/errors.ts';

export interface BudgetOptions {
  readonly bytesMax: number;
  readonly recordsMax: number;
  /** Callers that may wait at once. Default 100,000. */
  readonly waitersMax?: number;
  readonly timers: Timers;
  /** Runs the turns of those who wait, after room was given back. */
  readonly later: Later;
}

/** Runs something soon, behind what is about to be sent: filling batches must not hold up those that are full. */
export type Later = (run: () => void) => void;

export interface TakeOptions {
  readonly bytes: number;
  /** Default 1. */
  readonly records?: number;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

interface Waiter {
  readonly bytes: number;
  readonly records: number;
  readonly onTurn: () => void;
  isGone: boolean;
}

export class Budget {
  readonly #options: BudgetOptions;
  readonly #waiters: Ring<Waiter>;
  #bytes = 0;
  #records = 0;
  #isServing = false;

  constructor(options: BudgetOptions) {
    this.#options = options;
    this.#waiters = new Ring(options.waitersMax ?? 100_000);
  }

  get usedBytes(): number {
    return this.#bytes;
  }

  get usedRecords(): number {
    return this.#records;
  }

  get hasWaiters(): boolean {
    return this.#waiters.size > 0;
  }

  /** False, and nothing is taken, when there is no room or others wait. */
  tryTake(bytes: number, records = 1): boolean {
    if (this.#waiters.size > 0 || !this.#hasRoom(bytes, records)) return false;
    this.#bytes += bytes;
    this.#records += records;
    return true;
  }

  /**
   * Gets in line; `onTurn` runs when the room is taken, and the promise resolves after it. LIMIT_EXCEEDED after `timeoutMs`
   * or when the line is full, CANCELLED by the signal; then `onTurn` never runs.
   */
  take({ bytes, records = 1, timeoutMs, signal }: TakeOptions, onTurn: () => void = () => undefined): Promise<void> {
    if (this.tryTake(bytes, records)) {
      onTurn();
      return Promise.resolve();
    }
    if (signal?.aborted === true) return Promise.reject(cancelled(signal.reason));
    return new Promise((resolve, reject) => {
      const leave = (error: DomainError): void => {
        waiter.isGone = true;
        settle();
        reject(error);
        this.#serve();
      };
      const onAbort = (): void => leave(cancelled(signal?.reason));
      const settle = (): void => {
        timer.cancel();
        signal?.removeEventListener('abort', onAbort);
      };
      const waiter: Waiter = {
        bytes,
        records,
        isGone: false,
        onTurn: () => {
          settle();
          onTurn();
          resolve();
        },
      };
      const timer = this.#options.timers.after(timeoutMs, () => leave(this.#full(`no room after ${timeoutMs} ms`)));
      signal?.addEventListener('abort', onAbort, { once: true });
      if (!this.#waiters.push(waiter)) leave(this.#full(`${this.#waiters.capacity} callers wait already`));
    });
  }

  give(bytes: number, records: number): void {
    this.#bytes -= bytes;
    this.#records -= records;
    if (this.#waiters.size === 0 || this.#isServing) return;
    this.#isServing = true;
    this.#options.later(() => {
      this.#isServing = false;
      this.#serve();
    });
  }

  #serve(): void {
    for (let first = this.#waiters.peek(); first !== undefined; first = this.#waiters.peek()) {
      if (!first.isGone && !this.#hasRoom(first.bytes, first.records)) return;
      this.#waiters.shift();
      if (first.isGone) continue;
      this.#bytes += first.bytes;
      this.#records += first.records;
      first.onTurn();
    }
  }

  #hasRoom(bytes: number, records: number): boolean {
    if (this.#records === 0) return true;
    return this.#bytes + bytes <= this.#options.bytesMax && this.#records + records <= this.#options.recordsMax;
  }

  #full(why: string): DomainError {
    return new DomainError(
      'LIMIT_EXCEEDED',
      `the producer's buffer is full (${this.#bytes} bytes, ${this.#records} records): ${why}`,
    );
  }
}
