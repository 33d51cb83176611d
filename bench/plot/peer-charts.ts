/** The pictures of the suite `peers`: systems in groups of those that promise the same. */
import { oneNode, type System, threeNodes } from '../peers/systems.ts';
import type { CaseSummary } from '../summary.ts';
import type { BarChart, BarGroup } from './bar-chart.ts';
import { latencyColumns, rowOf, throughputColumns } from './bars.ts';

const clusters = [
  { systems: oneNode, where: 'one node', bare: 'bare-r1' },
  { systems: threeNodes, where: 'three nodes', bare: undefined },
] as const;

export function peerCharts(cases: readonly CaseSummary[]): Readonly<Record<string, BarChart>> {
  const byName = new Map(cases.map((each) => [each.name, each]));
  const groupsOf = (work: string, title: string): BarGroup[] =>
    clusters.flatMap(({ systems, where, bare }) =>
      systems
        .filter(({ peerOf }) => peerOf === undefined)
        .map((ours, index) => ({
          title: `${title}${where}, ${index === 0 ? 'flushed to the disk before the ack' : 'in the page cache at the ack'}`,
          rows: [
            ...(index === 0 && bare !== undefined ? rowOf('bare loop', 'ceiling', byName.get(`${bare}-${work}`)) : []),
            ...[ours, ...peersOf(systems, ours)].flatMap((system) =>
              rowOf(system.title, system === ours ? 'ours' : 'other', byName.get(`${system.name}-${work}`)),
            ),
          ],
        }))
        .filter(({ rows }) => rows.length > 0),
    );
  return {
    'bench-peers': {
      title: 'FleetMQ and its peers: one Node client, one partition',
      subtitle:
        'Each through the fastest of its Node clients, same disk, in turn; see bench/results/peers.md for versions and promises',
      columns: throughputColumns,
      groups: [...groupsOf('1k', '1 KiB, '), ...groupsOf('100b', '100 B, ')],
    },
    'bench-peers-latency': {
      title: 'FleetMQ and its peers: from publish to receive',
      subtitle: 'Records of 100 B, 500 per second, open loop, counted from when each was due',
      columns: latencyColumns,
      groups: groupsOf('latency', '').map((group) => ({ ...group, title: capital(group.title) })),
    },
  };
}

function peersOf(systems: readonly System[], { name }: System): readonly System[] {
  return systems.filter(({ peerOf }) => peerOf === name);
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
