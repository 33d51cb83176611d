/** What the simulator does for one seed or one planted bug, in this thread. What goes in and comes out is plain data. */
import type { Failure } from './failure.ts';
import type { RunResult } from './run-result.ts';
import { type Scenario, scenarioOf } from './scenarios.ts';

export interface SeedTask {
  readonly kind: 'seed';
  readonly scenario: string;
  readonly seed: number;
  /** Runs it again and compares the traces. */
  readonly twice: boolean;
  /** Length of the phase with faults; undefined: that of the seed. */
  readonly faultsMs: number | undefined;
}

export interface MutantTask {
  readonly kind: 'mutant';
  readonly scenario: string;
  readonly name: string;
  readonly from: number;
  readonly seedsMax: number;
  /** By the wall clock: no seed begins later. */
  readonly untilMs: number;
}

export type Task = SeedTask | MutantTask;

export interface SeedDone {
  readonly task: SeedTask;
  readonly traceHash: string;
  readonly failure: Failure | undefined;
  readonly counts: readonly (readonly [string, number])[];
  readonly virtualMs: number;
  readonly events: number;
}

export interface MutantDone {
  readonly task: MutantTask;
  /** That caught it; undefined: none did. */
  readonly seed: number | undefined;
  readonly failure: Failure | undefined;
  readonly seconds: number;
}

export type Done = SeedDone | MutantDone;

/** `print` gets every event of a seed. */
export function perform(task: Task, print?: (line: string) => void): Promise<Done> {
  return task.kind === 'seed' ? runSeed(task, print) : runMutant(task);
}

async function runSeed(task: SeedTask, print: ((line: string) => void) | undefined): Promise<SeedDone> {
  const { seed, twice, faultsMs } = task;
  const scenario = requireScenario(task.scenario);
  const run = (): Promise<RunResult> => scenario.run({ seed, faultsMs, print });
  const { traceHash, failure, counts, virtualMs, events } = await run();
  const again = twice && failure === undefined ? (await run()).traceHash : traceHash;
  return {
    task,
    traceHash,
    failure: again === traceHash ? failure : unrepeatable(traceHash, again),
    counts: counts.entries(),
    virtualMs,
    events,
  };
}

function unrepeatable(first: string, second: string): Failure {
  return { kind: 'crash', name: 'a seed is repeatable', text: `trace ${first}, then ${second}`, atMs: 0 };
}

async function runMutant(task: MutantTask): Promise<MutantDone> {
  const scenario = requireScenario(task.scenario);
  const startedMs = performance.now();
  const caught = await scenario.catchMutant(task.name, { ...task, hasTime: () => Date.now() < task.untilMs });
  return { task, seed: caught?.seed, failure: caught?.failure, seconds: (performance.now() - startedMs) / 1_000 };
}

function requireScenario(name: string): Scenario {
  const scenario = scenarioOf(name);
  if (scenario === undefined) throw new Error(`there is no scenario ${name}`);
  return scenario;
}
