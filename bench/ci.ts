/**
 * The suite `ci`: has the data path become slower? Writing and reading 1 KiB and 100 B, beside the bare loop in the same round,
 * against ratios that are committed (ratio-check.ts). Rounds go on until all figures are good, five are done or the time is up:
 * a busy machine makes the check longer, hardly ever wrong. The last line is `bench: N passed, N failed`, one per figure; the
 * exit code is 1 when a figure has fallen by more than a quarter.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dataSuite } from './data-path.ts';
import { describeMachine } from './machine.ts';
import { type CaseResult, runStage } from './matrix.ts';
import { formatTable } from './page.ts';
import { type Baseline, fallMax, judge, type Verdict } from './ratio-check.ts';
import { say } from './say.ts';
import type { SuiteOptions } from './suite.ts';
import { type Spread, summarise } from './summary.ts';

/** In the order of a round: what is compared runs one right after the other. */
const caseNames: readonly string[] = ['bare-1k-r1', '1k', 'bare-100b-r1', '100b'];
const roundsMax = 5;
const roundsMin = 2;
const scale = 0.5;
/** No round begins after that, once there is one: the whole takes less than two minutes. */
const enoughMs = 75_000;
const file = fileURLToPath(new URL('./results/ci-baseline.json', import.meta.url));

export async function checkRatios({ folder, update }: SuiteOptions): Promise<void> {
  const startMs = performance.now();
  const baseline = update ? undefined : (JSON.parse(await readFile(file, 'utf8')) as Baseline);
  const isEnough = (results: readonly CaseResult[]): boolean => {
    if (baseline === undefined) return false;
    if (performance.now() - startMs > enoughMs) return true;
    const isEarly = results.every(({ runs }) => runs.length < roundsMin);
    return !isEarly && judge(baseline, ratiosOf(results)).every(({ isGood }) => isGood);
  };
  const [stage] = dataSuite.stages;
  if (stage === undefined) throw new Error('the suite data has no stage');
  const cases = caseNames
    .flatMap((wanted) => stage.cases.filter(({ name }) => name === wanted))
    .map((bench) => ({ ...bench, measure: { kind: 'throughput', cold: false } as const }));
  const options = { folder: join(folder, 'ci'), runs: roundsMax, scale, calibrates: true, isEnough };
  const ratios = ratiosOf(await runStage({ ...stage, cases }, options));
  if (baseline === undefined) return await save(ratios);
  const verdicts = judge(baseline, ratios);
  const failed = verdicts.filter(({ isGood }) => !isGood).length;
  process.stdout.write(`${formatVerdicts(baseline, verdicts)}\n\n`);
  process.stdout.write(`bench: ${verdicts.length - failed} passed, ${failed} failed\n`);
  if (failed > 0) process.exitCode = 1;
}

function ratiosOf(results: readonly CaseResult[]): Readonly<Record<string, Spread>> {
  const entries = summarise(results).flatMap(({ name, target, phases }) =>
    target === 'bare'
      ? []
      : Object.entries(phases).flatMap(([phase, { ratio }]) =>
          ratio === undefined ? [] : [[`${phase} ${name}`, ratio] as const],
        ),
  );
  return Object.fromEntries(entries);
}

async function save(ratios: Readonly<Record<string, Spread>>): Promise<void> {
  const medians = Object.entries(ratios).map(([name, { median }]) => [name, Number(median.toFixed(3))] as const);
  const baseline: Baseline = {
    at: new Date().toISOString(),
    machine: describeMachine(),
    node: process.version,
    ratios: Object.fromEntries(medians),
  };
  await writeFile(file, `${JSON.stringify(baseline, undefined, 2)}\n`);
  say(`written: ${file}`);
}

function formatVerdicts({ at, machine, node }: Baseline, verdicts: readonly Verdict[]): string {
  const rows = verdicts.map(({ name, usual, found, isGood }) => {
    const figures = found === undefined ? ['-', '-'] : [found.max.toFixed(2), found.median.toFixed(2)];
    const change = found === undefined ? '-' : `${((found.max / usual - 1) * 100).toFixed(0)} %`;
    return [name, usual.toFixed(2), ...figures, change, isGood ? 'good' : 'FALLEN'];
  });
  return formatTable({
    title: 'Ratios to the bare loop',
    columns: ['work', 'committed', 'best round', 'median', 'best to committed', 'verdict'],
    rows,
    note: `Committed ratios are of ${at}, ${machine}, Node ${node}. A best round of less than ${100 * (1 - fallMax)} % of the committed ratio is a fall. After a change that is meant: \`npm run bench -- --suite ci --update\`.`,
  });
}
