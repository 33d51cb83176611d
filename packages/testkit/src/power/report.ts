/** A summary as lines for a terminal. */
import type { Spread } from '../chaos/measures.ts';
import { formatVerdicts } from '../chaos/report.ts';
import type { PowerSummary } from './judge.ts';

export function formatSummary(summary: PowerSummary): readonly string[] {
  const { seed, rounds, seconds, cuts, counts, records, writableMs, wholeMs, roundMs, verdicts } = summary;
  const spread = ({ count, p50, p99, max }: Spread): number[] => [count, p50, p99, max].map(Math.round);
  return [
    '',
    `seed ${seed}, ${rounds} rounds, ${seconds} s`,
    '',
    row('power lost', ['times']),
    ...Object.entries(cuts).map(([what, count]) => row(what, [count])),
    '',
    row('records', ['count']),
    ...Object.entries(records).map(([what, count]) => row(what, [count])),
    '',
    row('what brokers did', ['times']),
    ...Object.entries(counts).map(([what, count]) => row(what, [count])),
    '',
    row('in ms', ['rounds', 'p50', 'p99', 'max']),
    row('ready until every partition takes writes', spread(writableMs)),
    row('ready until every replica is in sync', spread(wholeMs)),
    row('a whole round', spread(roundMs)),
    '',
    ...formatVerdicts(verdicts),
    '',
    summary.isGood ? 'all is well' : 'NOT WELL',
  ];
}

const nameWidth = 52;
const columnWidth = 9;

function row(name: string, columns: readonly (string | number)[]): string {
  return `${name.padEnd(nameWidth)}${columns.map((each) => String(each).padStart(columnWidth)).join('')}`;
}
