/** The pictures of the suite `data`: throughput by size, replication and way in; latency by rate and replication. */
import type { CaseSummary } from '../summary.ts';
import type { BarChart, BarGroup, BarRow } from './bar-chart.ts';
import { latencyColumns, rowOf, throughputColumns } from './bars.ts';

const sizes = [
  ['100b', '100 B'],
  ['1k', '1 KiB'],
  ['64k', '64 KiB'],
] as const;
const rates = [100, 500, 5_000] as const;

export function dataCharts(cases: readonly CaseSummary[]): Readonly<Record<string, BarChart>> {
  const byName = new Map(cases.map((each) => [each.name, each]));
  const row = (label: string, tone: BarRow['tone'], name: string): BarRow[] => rowOf(label, tone, byName.get(name));
  const filled = (groups: readonly BarGroup[]): BarGroup[] => groups.filter(({ rows }) => rows.length > 0);
  return {
    'bench-data': {
      title: 'FleetMQ: one Node client, one partition, uncompressed',
      subtitle:
        'ACK_ALL, fdatasync on each replica before the ack; the bare loop is HTTP/2 and fdatasync with nothing in between',
      columns: throughputColumns,
      groups: filled(
        sizes.map(([name, title]) => ({
          title: `Records of ${title}`,
          rows: [
            ...row('bare loop', 'ceiling', `bare-${name}-r1`),
            ...row('straight to the broker', 'ours', name),
            ...row('through the gateway', 'ours', `${name}-gateway`),
            ...row('replication 3', 'ours', `${name}-r3`),
          ],
        })),
      ),
    },
    'bench-latency': {
      title: 'FleetMQ: from publish to receive',
      subtitle: 'Records of 100 B at a fixed rate, open loop, counted from when each was due; ACK_ALL after fdatasync',
      columns: latencyColumns,
      groups: filled(
        rates.map((rate) => ({
          title: `${rate} records/s`,
          rows: [
            ...row('bare loop', 'ceiling', `bare-latency-${rate}-r1`),
            ...row('replication 1', 'ours', `latency-${rate}-r1`),
            ...row('replication 3', 'ours', `latency-${rate}-r3`),
          ],
        })),
      ),
    },
  };
}
