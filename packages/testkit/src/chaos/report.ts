/** A summary as lines for a terminal. */

import type { Summary, Verdict } from './judge.ts';
import type { Spread } from './measures.ts';

export function formatSummary(summary: Summary): readonly string[] {
  const { seed, controllers, seconds, operations, faults, counts, outagesMs, recoveriesMs, verdicts } = summary;
  const rows = Object.entries(operations).map(([kind, { ok, refused, fail, info }]) =>
    row(kind, [ok, refused, fail, info]),
  );
  const total = Object.values(operations).reduce(
    (sum, { ok, refused, fail, info }) => sum + ok + refused + fail + info,
    0,
  );
  const spread = ({ count, p50, p99, max }: Spread): number[] => [count, p50, p99, max].map(Math.round);
  return [
    '',
    `seed ${seed}, ${controllers} controllers, ${seconds} s, ${total} operations`,
    '',
    header('operations', ['ok', 'refused', 'failed', 'unknown']),
    ...rows,
    '',
    header('faults', ['fired']),
    ...Object.entries(faults).map(([kind, count]) => row(kind, [count])),
    ...Object.entries(counts).map(([what, count]) => row(what, [count])),
    '',
    header('without a change, in ms', ['times', 'p50', 'p99', 'max']),
    ...Object.entries(outagesMs).map(([kind, values]) =>
      row(kind === 'all' ? 'after any of these' : `after ${kind}`, spread(values)),
    ),
    row('after the end of a fault', spread(recoveriesMs)),
    '',
    ...formatVerdicts(verdicts),
    '',
    summary.isGood ? 'all is well' : 'NOT WELL',
  ];
}

export function formatVerdicts(verdicts: readonly Verdict[]): readonly string[] {
  return verdicts.map(({ name, isGood, text }) => `${isGood ? 'good' : 'BAD '}  ${name.padEnd(30)} ${text}`);
}

const nameWidth = 52;
const columnWidth = 9;

function header(name: string, columns: readonly string[]): string {
  return `${name.padEnd(nameWidth)}${columns.map((each) => each.padStart(columnWidth)).join('')}`;
}

function row(name: string, values: readonly number[]): string {
  return header(name, values.map(String));
}
