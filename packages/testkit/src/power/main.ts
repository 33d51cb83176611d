/**
 * `npm run power -- [--rounds N] [--seed S] [--out FOLDER] [--cuts one,two,all] [--unsafe] [-o json]`: brokers on disks that lose their
 * power under load, and the verdict on what was promised; docs/chaos.md. Needs root on Linux. With `-o json` the summary alone goes to
 * stdout, progress to stderr. Exit code 0: all is well; 1: something was found; 2: it cannot run here, or a flag is wrong.
 */
import * as os from 'node:os';
import * as path from 'node:path';
import { parseArgs } from 'node:util';
import { formatSummary } from './report.ts';
import { missingRequirement } from './requirements.ts';
import { type CutKind, cutKinds } from './rounds.ts';
import { type PowerOptions, runPower } from './run.ts';

/** What a run has read stays in memory until its end. */
const roundsMax = 2_000;

process.exitCode = await main();

async function main(): Promise<number> {
  const flags = readFlags();
  const options = optionsOf(flags);
  const refusal = typeof options === 'string' ? options : await missingRequirement();
  if (typeof options === 'string' || refusal !== undefined) {
    process.stderr.write(`power: ${refusal}\n`);
    return 2;
  }
  options.print(`seed ${options.seed}; history and summary go to ${options.out}`);
  const summary = await runPower(options);
  const lines = flags.output === 'json' ? [JSON.stringify(summary, undefined, 2)] : formatSummary(summary);
  for (const line of lines) process.stdout.write(`${line}\n`);
  return summary.isGood ? 0 : 1;
}

function readFlags() {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '20' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
      out: { type: 'string' },
      cuts: { type: 'string' },
      unsafe: { type: 'boolean', default: false },
      output: { type: 'string', short: 'o', default: 'table' },
    },
  });
  return values;
}

/** A text: what is wrong. */
function optionsOf(values: ReturnType<typeof readFlags>): PowerOptions | string {
  const seed = Number(values.seed);
  const rounds = Number(values.rounds);
  const cuts = values.cuts?.split(',');
  const unknown = cuts?.find((kind) => !(cutKinds as readonly string[]).includes(kind));
  if (!(Number.isInteger(rounds) && rounds >= 1 && rounds <= roundsMax)) {
    return `--rounds is ${values.rounds}, expected 1 to ${roundsMax}`;
  }
  if (!Number.isInteger(seed)) return `--seed is ${values.seed}, expected a whole number`;
  if (unknown !== undefined) return `there is no cut ${unknown}; there are ${cutKinds.join(', ')}`;
  if (values.output !== 'table' && values.output !== 'json') return `-o is ${values.output}, expected table or json`;
  const stream = values.output === 'json' ? process.stderr : process.stdout;
  return {
    ...{ seed, rounds, isUnsafe: values.unsafe },
    out: path.resolve(values.out ?? path.join(os.tmpdir(), `fleetmq-power-${seed}`)),
    print: (line) => void stream.write(`${line}\n`),
    signal: interrupted(),
    ...(cuts !== undefined && { kinds: cuts as CutKind[] }),
  };
}

/** The first signal ends the rounds, in order; the second ends the process, and the reaper cleans up. */
function interrupted(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => controller.abort());
  return controller.signal;
}
