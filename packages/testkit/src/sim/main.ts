/**
 * `npm run sim -- [--scenario controllers | fleet] [--seeds N] [--from S | --fresh] [options]`: runs seeds S to S+N-1 of a scenario and
 * prints what they covered. `--fresh` takes seeds that depend on the time. `--twice` runs each seed two times and compares the
 * traces. `--faults-ms T` is the length of the phase with faults, in virtual ms. `--trace` prints every event.
 * `--mutants [name,...]` plants each bug of `mutants.ts` in turn and runs seeds until it is caught; exit code 1 if one is not.
 * `--workers N` uses N threads. `--seconds T` begins no further seed after that time. `--keep-going` does not stop at the first
 * failure. `-o json` prints one JSON value instead of lines. The exit code says what was found first: 10 crash, 11 safety, 12
 * liveness, 13 a seed in which nothing happened; 2 for arguments that are none.
 */
import { parseArgs } from 'node:util';
import { performAll } from './pool.ts';
import { describeFailure, Report } from './report.ts';
import { type Scenario, scenarioOf, scenarios } from './scenarios.ts';
import type { MutantDone, MutantTask, SeedDone, SeedTask } from './tasks.ts';

const { values, positionals } = parseArgs({
  options: {
    scenario: { type: 'string', default: 'controllers' },
    seeds: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
    fresh: { type: 'boolean', default: false },
    trace: { type: 'boolean', default: false },
    twice: { type: 'boolean', default: false },
    mutants: { type: 'boolean', default: false },
    'faults-ms': { type: 'string' },
    seconds: { type: 'string', default: '86400' },
    workers: { type: 'string', default: '1' },
    'keep-going': { type: 'boolean', default: false },
    output: { type: 'string', short: 'o', default: 'text' },
  },
  allowPositionals: true,
});

/** More seeds than that a planted bug may not take. */
const mutantSeedsMax = 2_000;
/** Between two lines about progress, where nobody watches a terminal. */
const progressEveryMs = 30_000;

// Errors are part of every run, and their stacks cost more than all that is compared; a replay has them.
if (!values.trace) Error.stackTraceLimit = 0;

const isJson = values.output === 'json';
const workers = values.trace ? 1 : Math.max(1, Number(values.workers));
const untilMs = Date.now() + Number(values.seconds) * 1_000;
const from = values.fresh ? Date.now() % 1_000_000_000 : Number(values.from);

const scenario = scenarioOf(values.scenario);
if (scenario === undefined) {
  print(`there is no scenario ${values.scenario}, but ${scenarios.map(({ name }) => name).join(' and ')}`);
  process.exitCode = 2;
} else if (values.mutants) {
  process.exitCode = (await catchMutants(scenario)) ? 0 : 1;
} else {
  process.exitCode = await runSeeds();
}

async function runSeeds(): Promise<number> {
  const report = new Report();
  if (values.fresh && !isJson) print(`fresh seeds, from ${from} on`);
  const isTerminal = process.stderr.isTTY === true;
  const showProgress = (): void => {
    process.stderr.write(isTerminal ? `\r${report.progress} ` : `${report.progress}\n`);
  };
  const progress = setInterval(showProgress, isTerminal ? 1_000 : progressEveryMs);
  await performAll(seedTasks(), {
    workers,
    print: values.trace ? print : undefined,
    onDone: (done) => {
      const failed = report.add(done as SeedDone);
      if (failed === undefined) return true;
      if (!isJson) print(describeFailure(failed));
      return values['keep-going'];
    },
  });
  clearInterval(progress);
  if (isTerminal) process.stderr.write('\n');
  if (isJson) print(JSON.stringify({ scenario: values.scenario, from, ...report.toJSON() }));
  else for (const line of report.lines()) print(line);
  return report.exitCode;
}

function* seedTasks(): Generator<SeedTask> {
  const faultsMs = values['faults-ms'] === undefined ? undefined : Number(values['faults-ms']);
  for (let seed = from; seed < from + Number(values.seeds) && Date.now() < untilMs; seed++) {
    yield { kind: 'seed', scenario: values.scenario, seed, twice: values.twice, faultsMs };
  }
}

/** True when all are caught. */
async function catchMutants({ name: scenario, mutants }: Scenario): Promise<boolean> {
  const names = positionals.flatMap((text) => text.split(','));
  const unknown = names.filter((name) => !mutants.includes(name));
  if (unknown.length > 0) throw new Error(`there is no mutant ${unknown.join(', ')}`);
  const chosen = mutants.filter((name) => names.length === 0 || names.includes(name));
  const tasks = chosen.map(
    (name): MutantTask => ({ kind: 'mutant', scenario, name, from, seedsMax: mutantSeedsMax, untilMs }),
  );
  const results: MutantDone[] = [];
  await performAll(tasks, {
    workers,
    onDone: (done) => {
      results.push(done as MutantDone);
      if (!isJson) print(describeMutant(done as MutantDone));
      return true;
    },
  });
  const caught = results.filter(({ failure }) => failure !== undefined).length;
  if (isJson) print(JSON.stringify(results.map(({ task, ...rest }) => ({ name: task.name, ...rest }))));
  else print(`planted bugs: ${caught} passed, ${results.length - caught} failed`);
  return caught === results.length;
}

function describeMutant({ task, seed, failure, seconds }: MutantDone): string {
  const seeds = seed === undefined ? '' : `${seed - task.from + 1} seeds`;
  const verdict = failure === undefined ? 'NOT CAUGHT' : `${failure.kind}: ${failure.name}`;
  const line = `${task.name.padEnd(30)} ${seeds.padStart(10)} ${seconds.toFixed(0).padStart(5)} s  ${verdict}`;
  return values.trace && failure !== undefined ? `${line}\n  seed ${seed}: ${failure.text}` : line;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
