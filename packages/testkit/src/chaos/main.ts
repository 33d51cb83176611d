/**
 * `npm run chaos -- --scenario controllers [--minutes N] [--seed S] [--controllers 3|5] [--out FOLDER] [--faults kind,...]`: real
 * processes in network namespaces, faults, and the verdict on what clients saw; docs/chaos.md. Needs root on Linux.
 * `npm run chaos -- --check FILE` judges a history that was kept. Exit code 0: all is well; 1: something was found; 2: it cannot
 * run here, or a flag is wrong.
 */
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { parseArgs } from 'node:util';
import { operationsOf, parseEvents } from '../check/history.ts';
import { type FaultKind, faultKinds } from './faults.ts';
import { judgeHistory } from './judge.ts';
import { formatSummary, formatVerdicts } from './report.ts';
import { missingRequirement } from './requirements.ts';
import { type ChaosOptions, runChaos } from './run.ts';

/** The history of a run is kept, and judged, in memory. */
const minutesMax = 60;

process.exitCode = await main();

async function main(): Promise<number> {
  const flags = readFlags();
  if (flags.check !== undefined) return checkAgain(flags.check);
  const options = optionsOf(flags);
  const refusal = typeof options === 'string' ? options : await missingRequirement();
  if (typeof options === 'string' || refusal !== undefined) {
    print(`chaos: ${refusal}`);
    return 2;
  }
  print(`seed ${options.seed}; history and summary go to ${options.out}`);
  const summary = await runChaos(options);
  for (const line of formatSummary(summary)) print(line);
  return summary.isGood ? 0 : 1;
}

function checkAgain(file: string): number {
  const verdicts = judgeHistory(operationsOf(parseEvents(fs.readFileSync(file, 'utf8'))));
  for (const line of formatVerdicts(verdicts)) print(line);
  return verdicts.every(({ isGood }) => isGood) ? 0 : 1;
}

function readFlags() {
  const { values } = parseArgs({
    options: {
      check: { type: 'string' },
      scenario: { type: 'string', default: 'controllers' },
      minutes: { type: 'string', default: '2' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      controllers: { type: 'string', default: '3' },
      out: { type: 'string' },
      faults: { type: 'string' },
    },
  });
  return values;
}

/** A text: what is wrong. */
function optionsOf(values: ReturnType<typeof readFlags>): ChaosOptions | string {
  const seed = Number(values.seed);
  const minutes = Number(values.minutes);
  const controllers = Number(values.controllers);
  const faults = values.faults?.split(',');
  const unknown = faults?.find((kind) => !(faultKinds as readonly string[]).includes(kind));
  if (values.scenario !== 'controllers')
    return `there is no scenario ${values.scenario}: the one that exists is controllers`;
  if (controllers !== 3 && controllers !== 5) return `--controllers is ${values.controllers}, expected 3 or 5`;
  if (!(minutes > 0 && minutes <= minutesMax))
    return `--minutes is ${values.minutes}, expected a number up to ${minutesMax}`;
  if (!Number.isInteger(seed)) return `--seed is ${values.seed}, expected a whole number`;
  if (unknown !== undefined) return `there is no fault ${unknown}; there are ${faultKinds.join(', ')}`;
  return {
    ...{ seed, minutes, controllers, print },
    out: path.resolve(values.out ?? path.join(os.tmpdir(), `fleetmq-chaos-${seed}`)),
    signal: interrupted(),
    ...(faults !== undefined && { faults: faults as FaultKind[] }),
  };
}

/** The first signal ends the run early, in order; the second ends the process, and the reaper cleans up. */
function interrupted(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => controller.abort());
  return controller.signal;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
