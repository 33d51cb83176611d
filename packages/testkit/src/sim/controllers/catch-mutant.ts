/** Runs seeds with a planted bug of the controllers until an invariant catches it. */
import { type CatchOptions, catchPlanted } from '../mutants/catch.ts';
import type { Mutant } from '../mutants/mutant.ts';
import type { RunResult } from '../run-result.ts';
import { runControllers } from './run.ts';

/** The run that failed; undefined when none did. */
export function catchMutant(
  { plant, twists = {}, fixed }: Mutant,
  options: CatchOptions,
): Promise<RunResult | undefined> {
  return catchPlanted(plant, options, (seed) => runControllers({ seed, twists, fixed }));
}
