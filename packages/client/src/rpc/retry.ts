/**
 * Repeats a call while its error is retriable and its time is not over. Decides nothing about what may be repeated: only
 * calls without side effects, or with a guard against doubles, come here.
 * Bounds: the deadline; delays grow from `baseMs` to `maxMs` and are never shorter than the server's `retry_after`.
 */
import { type BackoffOptions, backoffMs, DomainError, type Random, type Timers } from '@fleetmq/shared';
import type { ClientPorts } from '../ports.ts';
import { cancelled, toClientError } from './errors.ts';

export interface RetryOptions {
  /** Of all attempts together, in milliseconds. */
  readonly timeoutMs: number;
  /** Bound of one attempt, in milliseconds. Default: what is left. */
  readonly attemptTimeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Default 20 ms growing to 300 ms: a leader is usually there again within seconds. */
  readonly backoff?: BackoffOptions | undefined;
  /** Runs before the next attempt; may refresh what the call depends on. */
  readonly onRetry?: ((error: DomainError) => void | Promise<void>) | undefined;
}

const defaultBackoff: BackoffOptions = { baseMs: 20, maxMs: 300 };

/** Delay before attempt `attempt` (the first retry is 1) after `error`, in milliseconds. */
export function retryDelayMs(
  attempt: number,
  error: DomainError,
  random: Random,
  backoff: BackoffOptions = defaultBackoff,
): number {
  const delay = backoffMs(attempt, backoff, random);
  return Math.max(delay, error.retryAfterMs ?? 0);
}

/** Runs `call` until it succeeds. Throws its last error, or CANCELLED. */
export async function withRetries<Result>(
  call: (left: { readonly timeoutMs: number; readonly signal: AbortSignal | undefined }) => Promise<Result>,
  options: RetryOptions,
  { clock, timers, random }: ClientPorts,
): Promise<Result> {
  const deadlineMs = clock.monotonicMs() + options.timeoutMs;
  for (let attempt = 1; ; attempt++) {
    if (options.signal?.aborted === true) throw cancelled(options.signal.reason);
    const leftMs = Math.max(1, deadlineMs - clock.monotonicMs());
    try {
      const timeoutMs = Math.min(leftMs, options.attemptTimeoutMs ?? leftMs);
      return await call({ timeoutMs, signal: options.signal });
    } catch (thrown) {
      const error = toClientError(thrown);
      const delayMs = retryDelayMs(attempt, error, random, options.backoff);
      if (!error.retriable || clock.monotonicMs() + delayMs >= deadlineMs) throw error;
      await options.onRetry?.(error);
      await sleep(delayMs, timers, options.signal);
    }
  }
}

/** Resolves after `ms`; rejects with CANCELLED when the signal aborts first. */
export function sleep(ms: number, timers: Timers, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(cancelled(signal.reason));
      return;
    }
    const onAbort = (): void => {
      timer.cancel();
      reject(cancelled(signal?.reason));
    };
    const timer = timers.after(ms, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** The promise, or CANCELLED when the signal aborts first, or TIMEOUT after `timeoutMs`. The promise itself goes on. */
export function withDeadline<Result>(
  promise: Promise<Result>,
  what: string,
  timers: Timers,
  options: { readonly timeoutMs?: number | undefined; readonly signal?: AbortSignal | undefined },
): Promise<Result> {
  const { timeoutMs, signal } = options;
  if (timeoutMs === undefined && signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const timer =
      timeoutMs === undefined
        ? undefined
        : timers.after(timeoutMs, () =>
            finish(() => reject(new DomainError('TIMEOUT', `${what}: not done after ${timeoutMs} ms`))),
          );
    const onAbort = (): void => finish(() => reject(cancelled(signal?.reason)));
    const finish = (settle: () => void): void => {
      timer?.cancel();
      signal?.removeEventListener('abort', onAbort);
      settle();
    };
    if (signal?.aborted === true) return onAbort();
    signal?.addEventListener('abort', onAbort, { once: true });
    promise.then(
      (value) => finish(() => resolve(value)),
      (error) => finish(() => reject(error)),
    );
  });
}
