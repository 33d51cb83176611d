import type { Timers } from '@fleetmq/shared';

/** Resolves after `delayMs`, or as soon as the signal aborts; never rejects. */
export function pause(timers: Timers, delayMs: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const wake = (): void => {
      timer.cancel();
      signal.removeEventListener('abort', wake);
      resolve();
    };
    const timer = timers.after(delayMs, wake);
    signal.addEventListener('abort', wake, { once: true });
  });
}
