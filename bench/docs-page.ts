/**
 * The figures in docs/benchmarks.md, between two marks: made of results, never written by hand, so that the page and the JSON
 * cannot disagree. The words around them are people's.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { formatCount, formatNumber, formatTable, type Table } from './page.ts';
import { peerTables } from './peers/tables.ts';
import { describeRun, formatProblem, type SuiteReport, tablesOf } from './report.ts';
import { say } from './say.ts';
import { median } from './statistics.ts';
import type { CaseSummary, PhaseSummary } from './summary.ts';

export interface Reports {
  readonly data: SuiteReport | undefined;
  readonly peers: SuiteReport | undefined;
}

const template = fileURLToPath(new URL('../docs/benchmarks.md', import.meta.url));
const begin = '<!-- figures: made by `npm run bench -- --suite plots`, not by hand -->';
const end = '<!-- end of figures -->';

/** The words are those of docs/benchmarks.md, wherever the page goes. */
export async function writeDocsPage(path: string, reports: Reports): Promise<void> {
  await writeFile(path, replaceFigures(await readFile(template, 'utf8'), formatFigures(reports)));
  say(`written: ${path}`);
}

/** Throws when the page has no place for them. */
export function replaceFigures(page: string, figures: string): string {
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`the page has no "${begin}" before "${end}"`);
  return `${page.slice(0, from + begin.length)}\n\n${figures}\n\n${page.slice(to)}`;
}

function formatFigures({ data, peers }: Reports): string {
  if (data === undefined && peers === undefined) return 'There are none yet.';
  return [...(peers === undefined ? [] : peerFigures(peers)), ...(data === undefined ? [] : dataFigures(data))].join(
    '\n\n',
  );
}

function peerFigures(report: SuiteReport): string[] {
  return [
    '## FleetMQ and its peers',
    ...describeRun(report),
    image('Throughput of FleetMQ and its peers', 'bench-peers'),
    image('Latency of FleetMQ and its peers', 'bench-peers-latency'),
    ...peerTables(report.cases).map(formatTable),
    'Everything that was measured: [bench/results/peers.md](../bench/results/peers.md).',
  ];
}

function dataFigures(report: SuiteReport): string[] {
  return [
    '## FleetMQ alone',
    ...describeRun(report),
    image('Throughput of FleetMQ', 'bench-data'),
    formatTable(inShort(report.cases)),
    ...tablesOf('calls', report.cases).map(formatTable),
    image('Latency of FleetMQ', 'bench-latency'),
    ...tablesOf('latency', report.cases).map(formatTable),
    'Everything that was measured: [bench/results/data.md](../bench/results/data.md).',
  ];
}

function image(words: string, name: string): string {
  return `![${words}](img/${name}.svg)`;
}

function inShort(cases: readonly CaseSummary[]): Table {
  const own = cases.filter(({ measure }) => measure.kind === 'throughput');
  const rows = own.map(({ section, title, phases, peakMb, problem }) => {
    if (problem !== undefined) return [section, title, formatProblem(problem)];
    const rates = [phases.produce, phases.consume, phases.cold].map(rateCell);
    return [section, title, ...rates, peakMb === undefined ? '-' : formatCount(peakMb)];
  });
  return {
    title: 'Throughput',
    columns: ['', 'work', 'produce /s', 'consume /s', 'consume from disk /s', 'memory MB'],
    rows,
    note: 'Medians; in parentheses the ratio to the bare loop, the median of the rounds. Memory: the most of the largest broker (VmHWM).',
  };
}

function rateCell(phase: PhaseSummary | undefined): string {
  if (phase === undefined) return '-';
  const ratio = phase.ratio === undefined ? '' : ` (${formatNumber(phase.ratio.median)})`;
  return `${formatCount(median(phase.perSecond))}${ratio}`;
}
