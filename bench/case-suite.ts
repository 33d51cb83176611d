/** Runs a suite of cases stage by stage, and reports: page to stdout, page and JSON to files, pictures beside them. */
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type BenchCase, selectCases } from './bench-case.ts';
import { type BareSyncResult, measureBareSync } from './controllers/bare-sync.ts';
import { describeKernel, describeMachine, loadNow } from './machine.ts';
import { type CaseResult, runStage, type Stage } from './matrix.ts';
import type { Table } from './page.ts';
import { type BarChart, drawBarChart } from './plot/bar-chart.ts';
import { formatReport, type SuiteReport, saveReport } from './report.ts';
import { say } from './say.ts';
import type { SuiteOptions } from './suite.ts';
import { type CaseSummary, summarise } from './summary.ts';

export interface CaseSuite {
  readonly name: string;
  readonly title: string;
  /** One after the other: what need not be up at the same time is in a stage of its own. */
  readonly stages: readonly Stage[];
  /** Tables beside those of the cases' sections. */
  readonly tablesOf?: (cases: readonly CaseSummary[]) => readonly Table[];
  /** Pictures by the names of their files. */
  readonly chartsOf: (cases: readonly CaseSummary[]) => Readonly<Record<string, BarChart>>;
}

const diskSeconds = 1;

/** The exit code is 1 when a case has failed. */
export async function runSuite(suite: CaseSuite, options: SuiteOptions): Promise<void> {
  const { folder, runs, scale, calibrates, only, out } = options;
  const names = new Set(
    selectCases(
      suite.stages.flatMap(({ cases }) => cases),
      only,
    ).map(({ name }) => name),
  );
  const isSelected = ({ name }: BenchCase): boolean => names.has(name);
  const startMs = performance.now();
  const load = loadNow();
  const disk = measureBareSync(folder, diskSeconds);
  const results: CaseResult[] = [];
  for (const [index, stage] of suite.stages.entries()) {
    const cases = stage.cases.filter(isSelected);
    if (cases.length === 0) continue;
    const own = join(folder, `stage-${index + 1}`);
    results.push(...(await runStage({ ...stage, cases }, { folder: own, runs, scale, calibrates })));
  }
  const report = reportOf(suite, options, results, { load, disk });
  const page = formatReport(report, suite.tablesOf?.(report.cases) ?? []);
  process.stdout.write(page);
  await saveReport(out, report, page);
  await drawCharts(suite, report, options.plots);
  say(`took ${((performance.now() - startMs) / 60_000).toFixed(1)} min; results are in ${out}`);
  if (results.some(({ problem }) => problem?.kind === 'failed')) process.exitCode = 1;
}

/** Draws the pictures of a suite anew, from the results that are there; undefined when there are none. */
export async function redraw(suite: CaseSuite, { out, plots }: SuiteOptions): Promise<SuiteReport | undefined> {
  const file = join(out, `${suite.name}.json`);
  if (!existsSync(file)) {
    say(`there is no ${file}`);
    return undefined;
  }
  const report = JSON.parse(await readFile(file, 'utf8')) as SuiteReport;
  await drawCharts(suite, report, plots);
  return report;
}

async function drawCharts(suite: CaseSuite, report: SuiteReport, folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const footer = `${report.at.slice(0, 10)}, ${report.machine}, Node ${report.node}, ${report.runs} runs`;
  for (const [name, chart] of Object.entries(suite.chartsOf(report.cases))) {
    if (chart.groups.length > 0) await writeFile(join(folder, `${name}.svg`), drawBarChart(chart, footer));
  }
}

function reportOf(
  { name, title }: CaseSuite,
  { folder, runs, scale }: SuiteOptions,
  results: readonly CaseResult[],
  before: { readonly load: number; readonly disk: BareSyncResult },
): SuiteReport {
  const versions = results.flatMap(({ bench, version }) =>
    version === undefined ? [] : [[bench.target, version] as const],
  );
  return {
    suite: name,
    title,
    at: new Date().toISOString(),
    machine: describeMachine(),
    kernel: describeKernel(),
    node: process.version,
    versions: Object.fromEntries(versions),
    runs,
    scale,
    load: [before.load, loadNow()],
    disk: [before.disk, measureBareSync(folder, diskSeconds)],
    cases: summarise(results),
  };
}
