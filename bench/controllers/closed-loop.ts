/** A closed loop: so many callers, each of which calls again when it has its answer. */
import { build } from 'hdr-histogram-js';

export interface ClosedLoopOptions {
  readonly callers: number;
  readonly seconds: number;
  /** Before the clock starts. */
  readonly warmUpSeconds: number;
}

/** Latencies in milliseconds. */
export interface ClosedLoopResult {
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  /** Calls that failed; they are not counted otherwise. */
  readonly errors: number;
}

export async function closedLoop(
  { callers, seconds, warmUpSeconds }: ClosedLoopOptions,
  call: (caller: number) => Promise<unknown>,
): Promise<ClosedLoopResult> {
  const histogram = build({ lowestDiscernibleValue: 1, highestTrackableValue: 60_000_000 });
  const fromMs = performance.now() + warmUpSeconds * 1000;
  const untilMs = fromMs + seconds * 1000;
  let errors = 0;
  const run = async (caller: number): Promise<void> => {
    for (let startMs = performance.now(); startMs < untilMs; startMs = performance.now()) {
      try {
        await call(caller);
      } catch {
        errors++;
        continue;
      }
      const endMs = performance.now();
      if (startMs >= fromMs && endMs <= untilMs)
        histogram.recordValue(Math.max(1, Math.round((endMs - startMs) * 1000)));
    }
  };
  await Promise.all(Array.from({ length: callers }, (_, caller) => run(caller)));
  return {
    perSecond: histogram.totalCount / seconds,
    p50: histogram.getValueAtPercentile(50) / 1000,
    p99: histogram.getValueAtPercentile(99) / 1000,
    errors,
  };
}
