/** Results of the suite: what each part gives back, and the pages that are made of it. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { formatTable, type Table } from '../page.ts';

export interface PartResult {
  /** Raw figures, for whoever compares. */
  readonly figures: unknown;
  readonly tables: readonly Table[];
}

export interface PartReport extends PartResult {
  readonly at: string;
  readonly machine: string;
  readonly node: string;
  readonly runs: number;
  readonly scale: number;
  /** Load of the machine before the part and after it. */
  readonly load: readonly [number, number];
}

export type SuiteReport = Readonly<Record<string, PartReport>>;

const jsonFile = 'controllers.json';
const pageFile = 'controllers.md';

/** What is there from earlier runs: a run of some parts leaves the others as they are. */
export async function loadReport(folder: string): Promise<SuiteReport> {
  try {
    return JSON.parse(await readFile(join(folder, jsonFile), 'utf8')) as SuiteReport;
  } catch {
    return {};
  }
}

export async function saveReport(folder: string, report: SuiteReport): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, jsonFile), `${JSON.stringify(report, undefined, 2)}\n`);
  await writeFile(join(folder, pageFile), formatPage(report));
}

export function formatPart(name: string, part: PartReport): string {
  const [before, after] = part.load.map((load) => load.toFixed(1));
  const size = part.scale === 1 ? '' : `, scale ${part.scale}`;
  const head = `${part.at}: ${part.machine}, Node ${part.node}, ${part.runs} runs${size}, load ${before} before and ${after} after`;
  return [`## ${name}`, head, ...part.tables.map(formatTable)].join('\n\n');
}

function formatPage(report: SuiteReport): string {
  const parts = Object.entries(report).map(([name, part]) => formatPart(name, part));
  return `${['# Controllers', 'Made by `npm run bench -- --suite controllers`.', ...parts].join('\n\n')}\n`;
}
