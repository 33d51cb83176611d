/** Waiting for a condition, never for a time. */
import { setTimeout as delay } from 'node:timers/promises';

/** Polls until the condition holds; fails with `what` and the last error after the deadline. */
export async function waitFor(
  what: string,
  condition: () => boolean | Promise<boolean>,
  deadlineMs: number,
): Promise<number> {
  const start = performance.now();
  let lastError: unknown;
  for (;;) {
    try {
      if (await condition()) return performance.now() - start;
    } catch (error) {
      lastError = error;
    }
    if (performance.now() - start > deadlineMs) {
      throw new Error(`not within ${deadlineMs} ms: ${what}`, { cause: lastError });
    }
    await delay(10);
  }
}
