/** Runs seeds with a planted bug until an invariant catches it. */
import type { Mutant } from '../mutants/mutant.ts';
import { type RunResult, runControllers } from './run.ts';

/** The run that failed; undefined when none did. */
export async function catchMutant(
  { plant, twists = {}, fixed }: Mutant,
  { from, seedsMax, hasTime }: { readonly from: number; readonly seedsMax: number; readonly hasTime: () => boolean },
): Promise<RunResult | undefined> {
  const undo = plant?.();
  try {
    for (let seed = from; seed < from + seedsMax && hasTime(); seed++) {
      const result = await runControllers({ seed, twists, fixed });
      if (result.failure !== undefined && result.failure.kind !== 'generator') return result;
    }
    return undefined;
  } finally {
    undo?.();
  }
}
