/** Runs seeds with a planted bug of the fleet until an invariant catches it. */
import { type CatchOptions, catchPlanted } from '../mutants/catch.ts';
import type { FleetMutant } from '../mutants/fleet.ts';
import type { RunResult } from '../run-result.ts';
import { runFleet } from './run.ts';

/** The run that failed; undefined when none did. */
export function catchFleetMutant(
  { plant, twists = {}, fixed }: FleetMutant,
  options: CatchOptions,
): Promise<RunResult | undefined> {
  return catchPlanted(plant, options, (seed) => runFleet({ seed, twists, fixed }));
}
