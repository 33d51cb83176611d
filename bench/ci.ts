/**
 * The suite `ci`: has the data path become slower? Writing and reading 1 KiB and 100 B, beside the bare loop in the same round,
 * against ratios that are committed. Of each figure the best round counts, and rounds go on until all figures are good or five
 * are done: a busy machine makes the check longer, hardly ever wrong. Exit code 1 when a figure has fallen by more than a quarter.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dataSuite } from './data-path.ts';
import { describeMachine } from './machine.ts';
import { type CaseResult, runStage } from './matrix.ts';
import { formatTable } from './page.ts';
import { say } from './say.ts';
import type { SuiteOptions } from './suite.ts';
import { type Spread, summarise } from './summary.ts';

interface Baseline {
  readonly at: string;
  readonly machine: string;
  readonly node: string;
  /** To the bare loop, by case and phase: medians. */
  readonly ratios: Readonly<Record<string, number>>;
}

const caseNames: readonly string[] = ['bare-1k-r1', '1k', 'bare-100b-r1', '100b'];
const roundsMax = 5;
const roundsMin = 2;
const scale = 0.5;
const fallMax = 0.25;
const file = fileURLToPath(new URL('./results/ci-baseline.json', import.meta.url));

export async function checkRatios({ folder, update }: SuiteOptions): Promise<void> {
  const [stage] = dataSuite.stages;
  if (stage === undefined) throw new Error('the suite data has no stage');
  const cases = stage.cases
    .filter(({ name }) => caseNames.includes(name))
    .map((bench) => ({ ...bench, measure: { kind: 'throughput', cold: false } as const }));
  const baseline = update ? undefined : (JSON.parse(await readFile(file, 'utf8')) as Baseline);
  const isEnough = (results: readonly CaseResult[]): boolean => {
    if (baseline === undefined || results.every(({ runs }) => runs.length < roundsMin)) return false;
    const ratios = ratiosOf(results);
    return Object.entries(baseline.ratios).every(([name, usual]) => isGood(ratios[name], usual));
  };
  const results = await runStage(
    { ...stage, cases },
    { folder: join(folder, 'ci'), runs: roundsMax, scale, calibrates: true, isEnough },
  );
  const ratios = ratiosOf(results);
  if (baseline === undefined) return await save(ratios);
  const bad = Object.entries(baseline.ratios).filter(([name, usual]) => !isGood(ratios[name], usual));
  process.stdout.write(`${formatVerdict(baseline, ratios)}\n`);
  if (bad.length > 0) process.exitCode = 1;
}

function isGood(ratio: Spread | undefined, usual: number): boolean {
  return ratio !== undefined && ratio.max >= usual * (1 - fallMax);
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

function formatVerdict(baseline: Baseline, ratios: Readonly<Record<string, Spread>>): string {
  const rows = Object.entries(baseline.ratios).map(([name, usual]) => {
    const ratio = ratios[name];
    const found = ratio === undefined ? ['-', '-'] : [ratio.max.toFixed(2), ratio.median.toFixed(2)];
    const change = ratio === undefined ? '-' : `${((ratio.max / usual - 1) * 100).toFixed(0)} %`;
    return [name, usual.toFixed(2), ...found, change, isGood(ratio, usual) ? 'good' : 'FALLEN'];
  });
  return formatTable({
    title: 'Ratios to the bare loop',
    columns: ['work', 'committed', 'best round', 'median', 'best to committed', 'verdict'],
    rows,
    note: `Committed ratios are of ${baseline.at}, ${baseline.machine}, Node ${baseline.node}. A best round of less than ${100 * (1 - fallMax)} % of the committed ratio is a fall. After a change that is meant: \`npm run bench -- --suite ci --update\`.`,
  });
}
