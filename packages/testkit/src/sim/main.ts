/**
 * `npm run sim -- [--scenario controllers] [--seeds N] [--from S] [--trace] [--twice]`: runs seeds S to S+N-1 of a scenario
 * and prints what they covered. `--twice` runs each seed two times and compares the traces. `--trace` prints every event.
 * `--mutants [name,...]` plants each bug of `mutants.ts` in turn and runs seeds until it is caught; exit code 1 if one is not.
 * `--seconds T` begins no further seed after that time. The exit code says what was found first: 10 crash, 11 safety, 12 liveness, 13 a seed in which nothing happened.
 */
import { parseArgs } from 'node:util';
import { catchMutant } from './controllers/catch-mutant.ts';
import { type RunResult, runControllers } from './controllers/run.ts';
import { Counts } from './controllers/world.ts';
import { exitCodes } from './failure.ts';
import { mutants } from './mutants.ts';

const { values, positionals } = parseArgs({
  options: {
    scenario: { type: 'string', default: 'controllers' },
    seeds: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
    trace: { type: 'boolean', default: false },
    twice: { type: 'boolean', default: false },
    mutants: { type: 'boolean', default: false },
    seconds: { type: 'string', default: '86400' },
  },
  allowPositionals: true,
});

// Errors are part of every run, and their stacks cost more than all that is compared; a replay has them.
if (!values.trace) Error.stackTraceLimit = 0;

/** More seeds than that a planted bug may not take. */
const mutantSeedsMax = 2_000;

const counts = new Counts();
const startedMs = performance.now();
let virtualMs = 0;
let events = 0;
let runs = 0;
let exitCode = 0;

if (values.scenario !== 'controllers') {
  print(`there is no scenario ${values.scenario}: the one that exists is controllers`);
  process.exitCode = 2;
} else if (values.mutants) {
  process.exitCode = (await catchMutants()) ? 0 : 1;
} else {
  const from = Number(values.from);
  for (let seed = from; seed < from + Number(values.seeds) && hasTime(); seed++) {
    const result = await run(seed);
    if (report(result)) break;
    if (!values.twice) continue;
    const again = await run(seed);
    if (again.traceHash === result.traceHash) continue;
    print(`seed ${seed} is not repeatable: ${result.traceHash}, then ${again.traceHash}`);
    exitCode = exitCodes.crash;
    break;
  }
  printCoverage();
  process.exitCode = exitCode;
}

async function run(seed: number): Promise<RunResult> {
  const result = await runControllers({ seed, print: values.trace ? print : undefined });
  counts.merge(result.counts);
  virtualMs += result.virtualMs;
  events += result.events;
  runs++;
  return result;
}

/** True when the run failed. */
function report({ seed, failure, traceHash }: RunResult): boolean {
  if (failure === undefined) return false;
  print(`seed ${seed}: ${failure.kind} at ${failure.atMs.toFixed(3)} ms: ${failure.name}\n  ${failure.text}`);
  print(`  trace ${traceHash}; again: npm run sim -- --scenario controllers --seeds 1 --from ${seed} --trace`);
  exitCode = exitCodes[failure.kind];
  return true;
}

/** True when all are caught. */
async function catchMutants(): Promise<boolean> {
  const from = Number(values.from);
  const names = positionals.flatMap((text) => text.split(','));
  const unknown = names.filter((name) => !mutants.some((mutant) => mutant.name === name));
  if (unknown.length > 0) throw new Error(`there is no mutant ${unknown.join(', ')}`);
  let isAllCaught = true;
  for (const mutant of mutants) {
    if (names.length > 0 && !names.includes(mutant.name)) continue;
    const caught = await catchMutant(mutant, { from, seedsMax: mutantSeedsMax, hasTime });
    const { failure, seed } = caught ?? {};
    isAllCaught &&= failure !== undefined;
    const verdict =
      failure === undefined ? 'NOT CAUGHT' : `seed ${String(seed).padEnd(6)} ${failure.kind}: ${failure.name}`;
    print(`${mutant.name.padEnd(26)} ${verdict}`);
    if (values.trace && failure !== undefined) print(`  ${failure.text}`);
  }
  return isAllCaught;
}

function printCoverage(): void {
  for (const [name, count] of counts.entries()) print(`${name.padEnd(44)} ${count}`);
  const seconds = (performance.now() - startedMs) / 1_000;
  print(
    `${runs} runs, ${events} events, ${(virtualMs / 1_000).toFixed(0)} virtual seconds in ${seconds.toFixed(1)} s: ` +
      `${(runs / seconds).toFixed(1)} runs/s, ${(virtualMs / 1_000 / runs).toFixed(1)} virtual seconds each`,
  );
}

function hasTime(): boolean {
  return performance.now() - startedMs < Number(values.seconds) * 1_000;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
