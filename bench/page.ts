/** Tables of Markdown, and numbers as people read them. */
import { median } from './statistics.ts';

export interface Table {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** How it was measured, and what the columns mean. */
  readonly note: string;
}

export function formatTable({ title, columns, rows, note }: Table): string {
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
