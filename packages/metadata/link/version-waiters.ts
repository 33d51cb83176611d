/** Those who wait for a version of the metadata. Bounded; each leaves by its version, its signal, or `close`. */
import { DomainError } from '@fleetmq/shared';

interface Waiter {
  readonly version: number;
  resolve(): void;
  reject(reason: unknown): void;
}

export class VersionWaiters {
  readonly #waitersMax: number;
  readonly #waiters = new Set<Waiter>();
  #closed: DomainError | undefined;

  constructor(waitersMax: number) {
    this.#waitersMax = waitersMax;
  }

  /** Rejects with the signal's reason, LIMIT_EXCEEDED when too many wait, or the reason of `close`. */
  wait(current: number, version: number, signal: AbortSignal): Promise<void> {
    if (version <= current) return Promise.resolve();
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    if (signal.aborted) return Promise.reject(signal.reason);
    if (this.#waiters.size >= this.#waitersMax) {
      return Promise.reject(new DomainError('LIMIT_EXCEEDED', `${this.#waitersMax} calls wait for newer metadata`));
    }
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiters.delete(waiter);
        signal.removeEventListener('abort', onAbort);
      };
      const waiter: Waiter = {
        version,
        resolve: () => {
          leave();
          resolve();
        },
        reject: (reason) => {
          leave();
          reject(reason);
        },
      };
      const onAbort = (): void => waiter.reject(signal.reason);
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiters.add(waiter);
    });
  }

  /** Wakes everyone who waits for this version or an older one. */
  reach(version: number): void {
    for (const waiter of this.#waiters) if (waiter.version <= version) waiter.resolve();
  }

  close(reason: DomainError): void {
    this.#closed = reason;
    for (const waiter of this.#waiters) waiter.reject(reason);
  }
}
