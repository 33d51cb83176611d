/** Delays between attempts: exponential with full jitter (AWS Architecture Blog, "Exponential Backoff And Jitter", 2015). */
import type { Random } from './ports.ts';

export interface BackoffOptions {
  /** Upper bound of the first delay. */
  readonly baseMs: number;
  /** Upper bound of every delay. */
  readonly maxMs: number;
}

/** Delay before attempt number `attempt` (the first retry is 1): between half of the bound and the bound. */
export function backoffMs(attempt: number, options: BackoffOptions, random: Random): number {
  const bound = Math.min(options.maxMs, options.baseMs * 2 ** Math.min(30, attempt - 1));
  return bound / 2 + random.next() * (bound / 2);
}
