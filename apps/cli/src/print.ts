/**
 * Results on stdout: a table for people, JSON (proto3 JSON: 64-bit numbers are strings) for programs, NDJSON for pipes. A
 * command gives rows once, and says which columns a table shows.
 */
import { type DescMessage, type MessageShape, toJson } from '@bufbuild/protobuf';
import { type Terminal, write } from './terminal.ts';

export type OutputFormat = 'table' | 'json' | 'ndjson';

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string | number | bigint;
  /** Numbers stand on the right. */
  readonly align?: 'left' | 'right';
}

/** One list in the chosen format. */
export async function printRows<Row>(
  terminal: Terminal,
  format: OutputFormat,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  toPlain: (row: Row) => unknown,
): Promise<void> {
  if (format === 'table') return await write(terminal.stdout, await formatTable(terminal, rows, columns));
  if (format === 'json') return await write(terminal.stdout, `${stringify(rows.map(toPlain), 2)}\n`);
  for (const row of rows) await write(terminal.stdout, `${stringify(toPlain(row))}\n`);
}

/** One thing: its text for people, or its plain form. */
export async function printOne(
  terminal: Terminal,
  format: OutputFormat,
  plain: unknown,
  toText: () => string | Promise<string>,
): Promise<void> {
  const text = format === 'table' ? await toText() : `${stringify(plain, format === 'json' ? 2 : undefined)}\n`;
  await write(terminal.stdout, text);
}

/** Columns without lines, as `ls` and `kubectl` have them. */
export async function formatTable<Row>(
  terminal: Pick<Terminal, 'hasColour'>,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
): Promise<string> {
  const [{ default: Table }, { default: colours }] = await Promise.all([import('cli-table3'), import('picocolors')]);
  const { bold } = colours.createColors(terminal.hasColour);
  const noLine = '';
  const places = ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'];
  const middles = ['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid'];
  const table = new Table({
    head: columns.map(({ title }) => bold(title)),
    colAligns: columns.map(({ align }) => align ?? 'left'),
    chars: { ...Object.fromEntries([...places, ...middles].map((place) => [place, noLine])), middle: '  ' },
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
  });
  for (const row of rows) table.push(columns.map(({ value }) => String(value(row))));
  const lines = table.toString().split('\n');
  return `${lines.map((line) => line.trimEnd()).join('\n')}\n`;
}

const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** `0 B`, `1.5 KiB`, `20 GiB`. */
export function formatBytes(bytes: number | bigint): string {
  let value = Number(bytes);
  let unit = 0;
  while (value >= 1024 && unit < byteUnits.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value < 10 && unit > 0 ? value.toFixed(1) : Math.round(value)} ${byteUnits[unit]}`;
}

/** proto3 JSON of a message. */
export function plainOf<Schema extends DescMessage>(schema: Schema, message: MessageShape<Schema>): unknown {
  return toJson(schema, message, { alwaysEmitImplicit: true });
}

function stringify(value: unknown, indent?: number): string {
  return JSON.stringify(value, (_key, entry) => (typeof entry === 'bigint' ? entry.toString() : entry), indent);
}
