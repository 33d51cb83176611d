/** Results of the suite: what each part gives back, and the pages that are made of it. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { median } from '../statistics.ts';

export interface Table {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** How it was measured, and what the columns mean. */
  readonly note: string;
}

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

function formatTable({ title, columns, rows, note }: Table): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [`### ${title}`, '', line(columns), line(columns.map(() => '---')), ...rows.map(line), '', note].join('\n');
}

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

export function formatCount(value: number): string {
  return whole.format(value);
}

/** A number of about three digits. */
export function formatNumber(value: number): string {
  return value >= 100 ? whole.format(value) : value.toFixed(value >= 10 ? 1 : 2);
}

/** The median, and how far the runs lie apart in percent of it. */
export function formatSpread(values: readonly number[], format: (value: number) => string = formatNumber): string {
  const middle = median(values);
  if (values.length < 2 || middle === 0) return format(middle);
  const spread = ((Math.max(...values) - Math.min(...values)) / middle) * 100;
  return `${format(middle)} (${spread.toFixed(0)} %)`;
}
