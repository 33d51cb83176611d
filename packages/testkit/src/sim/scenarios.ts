/** What can be simulated: each scenario runs a seed, and knows the bugs that may be planted in it. */
import { catchMutant } from './controllers/catch-mutant.ts';
import { runControllers } from './controllers/run.ts';
import { catchFleetMutant } from './fleet/catch-mutant.ts';
import { runFleet } from './fleet/run.ts';
import type { CatchOptions } from './mutants/catch.ts';
import { fleetMutants } from './mutants/fleet.ts';
import { mutants } from './mutants.ts';
import type { RunResult } from './run-result.ts';

export interface ScenarioRun {
  readonly seed: number;
  /** Length of the phase with faults; undefined: that of the seed. */
  readonly faultsMs: number | undefined;
  /** Prints every event. */
  readonly print: ((line: string) => void) | undefined;
}

export interface Scenario {
  readonly name: string;
  readonly run: (options: ScenarioRun) => Promise<RunResult>;
  /** Names of planted bugs. */
  readonly mutants: readonly string[];
  /** The run that failed; undefined when none did. */
  readonly catchMutant: (name: string, options: CatchOptions) => Promise<RunResult | undefined>;
}

export const scenarios: readonly Scenario[] = [
  {
    name: 'controllers',
    run: ({ seed, faultsMs, print }) => runControllers({ seed, fixed: lasting(faultsMs), print }),
    mutants: mutants.map(({ name }) => name),
    catchMutant: (name, options) => catchMutant(named(mutants, name), options),
  },
  {
    name: 'fleet',
    run: ({ seed, faultsMs, print }) => runFleet({ seed, fixed: lasting(faultsMs), print }),
    mutants: fleetMutants.map(({ name }) => name),
    catchMutant: (name, options) => catchFleetMutant(named(fleetMutants, name), options),
  },
];

/** Undefined when there is none of this name. */
export function scenarioOf(name: string): Scenario | undefined {
  return scenarios.find((each) => each.name === name);
}

function named<Planted extends { readonly name: string }>(planted: readonly Planted[], name: string): Planted {
  const found = planted.find((each) => each.name === name);
  if (found === undefined) throw new Error(`there is no mutant ${name}`);
  return found;
}

function lasting(faultsMs: number | undefined): { readonly faultsMs?: number } {
  return faultsMs === undefined ? {} : { faultsMs };
}
