/** Results of a suite of cases: a page of tables for people, JSON for programs, both of the same figures. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Measure, PhaseName } from './bench-case.ts';
import type { BareSyncResult } from './controllers/bare-sync.ts';
import { formatCount, formatNumber, formatSpread, formatTable, type Table } from './page.ts';
import { median } from './statistics.ts';
import type { CaseSummary, PhaseSummary, Spread } from './summary.ts';

export interface SuiteReport {
  readonly suite: string;
  readonly title: string;
  readonly at: string;
  readonly machine: string;
  readonly kernel: string;
  readonly node: string;
  /** Of each target. */
  readonly versions: Readonly<Record<string, string>>;
  readonly runs: number;
  readonly scale: number;
  /** Load of the machine, and what its disk gave to a loop of writes of 1 KiB with fdatasync, before the suite and after it. */
  readonly load: readonly [number, number];
  readonly disk: readonly [BareSyncResult, BareSyncResult];
  readonly cases: readonly CaseSummary[];
}

/** The order of their tables. */
const kinds: readonly Measure['kind'][] = ['throughput', 'calls', 'latency'];

/** Kept as they are in JSON, where they are numbers of some digits. */
function digits(_: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value;
}

export async function saveReport(folder: string, report: SuiteReport, page: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, `${report.suite}.json`), `${JSON.stringify(report, digits, 2)}\n`);
  await writeFile(join(folder, `${report.suite}.md`), page);
}

/** `more`: tables after those of the sections. */
export function formatReport(report: SuiteReport, more: readonly Table[]): string {
  const head = [
    `# ${report.title}`,
    `Made by \`npm run bench -- --suite ${report.suite}\`.`,
    ...describeRun(report),
    'Rates are medians of the runs, in parentheses how far these lie apart. Ratios are medians of the ratios of single rounds. µs: processor time per record of all servers and of the client. MB: the most memory of a broker (VmHWM). *: other processes or other machines used more than a tenth of the processors during one of the runs.',
  ];
  const tables = kinds.flatMap((kind) => tablesOf(kind, report.cases));
  return `${[...head, ...[...tables, ...more].map(formatTable)].join('\n\n')}\n`;
}

/** When, where, of what, and how quiet it was. */
export function describeRun({ at, machine, kernel, node, runs, scale, load, versions, disk }: SuiteReport): string[] {
  const size = scale === 1 ? '' : `, scale ${scale}`;
  const [before, after] = disk.map(({ p50, p99 }) => `${formatNumber(p50)} ms (p99 ${formatNumber(p99)} ms)`);
  const named = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return [
    `${at}: ${machine}, ${kernel}, Node ${node}, ${runs} runs${size}. Load ${load[0].toFixed(1)} before and ${load[1].toFixed(1)} after; a write of 1 KiB with fdatasync took ${before} before and ${after} after.`,
    `Versions: ${named.join(', ')}.`,
  ];
}

/** A table per section that has cases of this kind. */
export function tablesOf(kind: Measure['kind'], cases: readonly CaseSummary[]): Table[] {
  const own = cases.filter(({ measure }) => measure.kind === kind);
  return [...new Set(own.map(({ section }) => section))].map((section) => tableOf(kind, section, own));
}

function tableOf(kind: Measure['kind'], section: string, all: readonly CaseSummary[]): Table {
  const cases = all.filter((each) => each.section === section || each.alsoIn?.includes(section));
  const { columns, cellsOf } = shapes[kind](cases);
  const rows = cases.map((each) => {
    const head = [`\`${each.name}\``, each.title];
    if (each.problem !== undefined) return [...head, formatProblem(each.problem)];
    return [...head, ...cellsOf(each)];
  });
  return { title: section, columns: ['case', 'work', ...columns], rows, note: noteOf(cases) };
}

export function formatProblem({ kind, reason }: NonNullable<CaseSummary['problem']>): string {
  return `${kind === 'skipped' ? 'not available' : 'failed'}: ${reason}`;
}

interface Shape {
  readonly columns: readonly string[];
  readonly cellsOf: (summary: CaseSummary) => string[];
}

function throughputTable(cases: readonly CaseSummary[]): Shape {
  const isCold = cases.some(({ phases }) => phases.cold !== undefined);
  const phases: readonly PhaseName[] = isCold ? ['produce', 'consume', 'cold'] : ['produce', 'consume'];
  const heads = { produce: 'produce', consume: 'consume', cold: 'consume from disk' } as Readonly<
    Record<string, string>
  >;
  return {
    columns: [
      ...phases.flatMap((name) => [`${heads[name]} /s`, 'MB/s', 'of bare loop']),
      'server µs in, out',
      'client µs in, out',
      'MB',
    ],
    cellsOf: (summary) => [
      ...phases.flatMap((name) => rateCells(summary.phases[name], summary.workload.size)),
      costCell(summary, ({ serverUs }) => serverUs),
      costCell(summary, ({ clientUs }) => clientUs),
      memoryCell(summary),
    ],
  };
}

const shapes: Readonly<Record<Measure['kind'], (cases: readonly CaseSummary[]) => Shape>> = {
  throughput: throughputTable,
  calls: () => callsTable,
  latency: () => latencyTable,
};

function rateCells(phase: PhaseSummary | undefined, size: number): string[] {
  if (phase === undefined) return ['-', '-', '-'];
  const rate = `${formatSpread(phase.perSecond, formatCount)}${phase.isDisturbed ? ' *' : ''}`;
  return [rate, formatNumber((median(phase.perSecond) * size) / 1e6), ratioCell(phase.ratio)];
}

function ratioCell(ratio: Spread | undefined): string {
  return ratio === undefined ? '-' : ratio.median.toFixed(2);
}

function costCell({ phases }: CaseSummary, costOf: (phase: PhaseSummary) => number): string {
  return [phases.produce, phases.consume]
    .map((phase) => (phase === undefined ? '-' : formatNumber(costOf(phase))))
    .join(', ');
}

function memoryCell({ peakMb }: CaseSummary): string {
  return peakMb === undefined ? '-' : formatCount(peakMb);
}

const latencyTable: Shape = {
  columns: ['p50 ms', 'p99 ms', 'p99.9 ms', 'max ms', 'p50, p99 of bare loop', 'records', 'MB'],
  cellsOf: (summary) => {
    const { latency, phases } = summary;
    if (latency === undefined) return [];
    const { p50, p99, p999, max, p99PerRun, records, ratio } = latency;
    const mark = phases.latency?.isDisturbed ? ' *' : '';
    const p99Cell = `${formatNumber(p99)} (${formatNumber(Math.min(...p99PerRun))} to ${formatNumber(Math.max(...p99PerRun))})`;
    return [
      `${formatNumber(p50)}${mark}`,
      p99Cell,
      formatNumber(p999),
      formatNumber(max),
      ratio === undefined ? '-' : `${formatNumber(ratio.p50)}, ${formatNumber(ratio.p99)}`,
      formatCount(records),
      memoryCell(summary),
    ];
  },
};

const callsTable: Shape = {
  columns: ['calls/s', 'server µs', 'client µs', 'MB'],
  cellsOf: (summary) => {
    const { calls } = summary.phases;
    if (calls === undefined) return [];
    const rate = `${formatSpread(calls.perSecond, formatCount)}${calls.isDisturbed ? ' *' : ''}`;
    return [rate, formatNumber(calls.serverUs), formatNumber(calls.clientUs), memoryCell(summary)];
  },
};

function noteOf(cases: readonly CaseSummary[]): string {
  const [{ measure, workload } = {}] = cases;
  if (measure?.kind === 'latency') {
    return `Records of ${workload?.size} B, sent in an open loop; each latency counts from when the record was due. p99 of all records, and of the best and the worst run.`;
  }
  if (measure?.kind === 'calls') {
    return `One record of ${workload?.size} B per call, ${measure.callers} callers that each wait for their answer.`;
  }
  const isCold = cases.some(({ phases }) => phases.cold !== undefined);
  return `Every value is looked at.${isCold ? ' From disk: the files were taken out of the page cache before.' : ''}`;
}
