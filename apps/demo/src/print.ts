/** The table at the end of the demo. */
import type { Flow, Reading } from './flow.ts';
import type { Verdict } from './ledger.ts';

export interface DemoResult {
  readonly produced: Flow;
  readonly readings: readonly Reading[];
  /** Undefined: nobody was killed. */
  readonly outageMs: number | undefined;
  readonly verdict: Verdict;
}

const grouped = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

function flowLine(name: string, flow: Flow): string {
  const rate = grouped.format(flow.records / flow.seconds);
  const cells = [name.padEnd(26), grouped.format(flow.records).padStart(10), grouped.format(flow.bytes).padStart(14)];
  return [...cells, flow.seconds.toFixed(2).padStart(9), rate.padStart(12)].join('');
}

export function printResult({ produced, readings, outageMs, verdict }: DemoResult): void {
  const lines = [
    '',
    `${''.padEnd(26)}${'records'.padStart(10)}${'bytes'.padStart(14)}${'seconds'.padStart(9)}${'records/s'.padStart(12)}`,
    flowLine(outageMs === undefined ? 'in, ACK_ALL' : 'in, ACK_ALL, one kill -9', produced),
    ...readings.map(({ name, flow }) => flowLine(name, flow)),
    '',
    'partition   records  checksum  in = out',
    ...verdict.partitions.map(
      ({ partition, records, checksum, equal }) =>
        `${String(partition).padStart(9)}${grouped.format(records).padStart(10)}  ${checksum}  ${equal ? 'yes' : 'NO'}`,
    ),
    '',
    ...(outageMs === undefined ? [] : [`time without a leader: ${grouped.format(outageMs)} ms`]),
    `${verdict.lost} lost, ${verdict.duplicated} duplicated`,
    '',
    'To try next:',
    '  npm run fleetmq -- dev                                  a cluster of your own; stays until Ctrl-C',
    '  npm run fleetmq -- topic create orders --partitions 6',
    '  echo hello | npm run fleetmq -- produce orders',
    '  npm run fleetmq -- consume orders --from earliest --until end',
    '  npm run fleetmq -- cluster describe',
    '',
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}
