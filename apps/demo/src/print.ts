/** The table at the end of the demo. */
import type { Flow } from './flow.ts';
import type { Verdict } from './ledger.ts';

export interface DemoResult {
  readonly produced: Flow;
  readonly gatewayRead: Flow;
  readonly directRead: Flow;
  readonly outageMs: number;
  readonly verdict: Verdict;
}

const grouped = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

function flowLine(name: string, flow: Flow): string {
  const rate = grouped.format(flow.records / flow.seconds);
  const cells = [name.padEnd(26), grouped.format(flow.records).padStart(10), grouped.format(flow.bytes).padStart(14)];
  return [...cells, flow.seconds.toFixed(2).padStart(9), rate.padStart(12)].join('');
}

export function printResult({ produced, gatewayRead, directRead, outageMs, verdict }: DemoResult): void {
  const lines = [
    '',
    `${''.padEnd(26)}${'records'.padStart(10)}${'bytes'.padStart(14)}${'seconds'.padStart(9)}${'records/s'.padStart(12)}`,
    flowLine('in, ACK_ALL, one kill -9', produced),
    flowLine('out, through the gateway', gatewayRead),
    flowLine('out, from the brokers', directRead),
    '',
    'partition   records  checksum  in = gateway = brokers',
    ...verdict.partitions.map(
      ({ partition, records, checksum, equal }) =>
        `${String(partition).padStart(9)}${grouped.format(records).padStart(10)}  ${checksum}  ${equal ? 'yes' : 'NO'}`,
    ),
    '',
    `time without a leader: ${grouped.format(outageMs)} ms`,
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
