/** Plants a bug in this process and runs seeds of its scenario until one of them fails. */
import type { RunResult } from '../run-result.ts';

export interface CatchOptions {
  readonly from: number;
  readonly seedsMax: number;
  readonly hasTime: () => boolean;
}

/** The run that failed; undefined when none did. A seed in which nothing happened shows nothing. */
export async function catchPlanted(
  plant: (() => () => void) | undefined,
  { from, seedsMax, hasTime }: CatchOptions,
  run: (seed: number) => Promise<RunResult>,
): Promise<RunResult | undefined> {
  const undo = plant?.();
  try {
    for (let seed = from; seed < from + seedsMax && hasTime(); seed++) {
      const result = await run(seed);
      if (result.failure !== undefined && result.failure.kind !== 'generator') return result;
    }
    return undefined;
  } finally {
    undo?.();
  }
}
