/** A verdict on records as lines for a terminal. */
import type { RecordReport } from './check-records.ts';
import type { Lag } from './lag.ts';

export function formatReport(report: RecordReport): readonly string[] {
  const { counts, operations, anomalies, findings, lags } = report;
  const called = Object.entries(operations).filter(([, { ok, fail, info, open }]) => ok + fail + info + open > 0);
  return [
    row('operations', ['ok', 'failed', 'unknown']),
    ...called.map(([kind, { ok, fail, info, open }]) => row(kind, [ok, fail, info + open])),
    '',
    row('records', ['count']),
    ...Object.entries(counts).map(([name, count]) => row(name, [count])),
    '',
    row('anomalies', ['found', 'exempt']),
    ...Object.entries(anomalies).map(([name, { found, exempt }]) => row(name, [found, exempt])),
    '',
    `worst realtime lag: ${describeLag(lags.worst)}; after healing: ${describeLag(lags.afterHealing)}`,
    '',
    ...findings.flatMap(({ name, text, operations: lines }) => [
      `${name}: ${text}`,
      ...lines.map((line) => `    ${line}`),
    ]),
    report.isGood ? 'all is well' : 'NOT WELL',
  ];
}

function describeLag(lag: Lag | undefined): string {
  if (lag === undefined) return 'none';
  const { lagMs, process, offset, partition, atMs } = lag;
  return `${lagMs.toFixed(0)} ms, process ${process} at ${offset} of ${partition}, polled at ${atMs.toFixed(1)}`;
}

const nameWidth = 24;
const columnWidth = 10;

function row(name: string, columns: readonly (string | number)[]): string {
  return `${name.padEnd(nameWidth)}${columns.map((each) => String(each).padStart(columnWidth)).join('')}`;
}
