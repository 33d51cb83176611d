/**
 * The figures in docs/benchmarks.md, between two marks: made of results, never written by hand, so that the page and the JSON
 * cannot disagree. The words around them are people's.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { memoryPeaks, throughputInShort } from './data-tables.ts';
import { formatTable } from './page.ts';
import { peerTables } from './peers/tables.ts';
import { describeRun, type SuiteReport, tablesOf } from './report.ts';
import { say } from './say.ts';

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

export function formatFigures({ data, peers }: Reports): string {
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
    formatTable(throughputInShort(report.cases)),
    formatTable(memoryPeaks(report.cases)),
    ...tablesOf('calls', report.cases).map(formatTable),
    image('Latency of FleetMQ', 'bench-latency'),
    ...tablesOf('latency', report.cases).map(formatTable),
    'Everything that was measured: [bench/results/data.md](../bench/results/data.md).',
  ];
}

function image(words: string, name: string): string {
  return `![${words}](img/${name}.svg)`;
}
