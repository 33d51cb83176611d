/**
 * The suite `peers`: the same work done by other systems, each through the fastest of its Node clients, on the same disk, in
 * turn with FleetMQ and the bare loop. What an acknowledgment is worth differs, and with it the price: each row says it, and
 * ratios are those of systems that promise the same. One partition (stream, subject), uncompressed; one node, and three.
 */
import type { BenchCase, PhaseName } from '../bench-case.ts';
import type { CaseSuite } from '../case-suite.ts';
import type { Table } from '../page.ts';
import { peerCharts } from '../plot/peer-charts.ts';
import { type CaseSummary, ratioOf } from '../summary.ts';
import { startBareLoop } from '../targets/bare.ts';
import { fleetOf } from '../targets/fleet.ts';
import { plainWorkload } from '../workload.ts';
import { kafkaOf } from './kafka.ts';
import { natsWith } from './nats.ts';
import { redisWith } from './redis.ts';
import { oneNode, type System, threeNodes } from './systems.ts';

const works = [
  { name: '1k', title: '1 KiB', size: 1024, measure: { kind: 'throughput', cold: false } },
  { name: '100b', title: '100 B', size: 100, measure: { kind: 'throughput', cold: false } },
  { name: 'latency', title: '100 B, 500/s', size: 100, measure: { kind: 'latency', perSecond: 500 } },
] as const;

function casesOf(systems: readonly System[], replication: 1 | 3): BenchCase[] {
  const nodes = replication === 1 ? 'one node' : 'three nodes';
  const bare: System = { name: `bare-r${replication}`, title: 'bare loop', target: 'bare', entrance: 'direct' };
  return works.flatMap((work) =>
    [bare, ...systems].map(({ name, title, target, entrance }) => ({
      ...{ name: `${name}-${work.name}`, title, target, entrance },
      section: `${work.title}, ${nodes}`,
      workload: { ...plainWorkload, size: work.size, replication: target === 'bare' ? 1 : replication },
      measure: work.measure,
      baseline: `bare-r${replication}-${work.name}`,
    })),
  );
}

const oneNodeTargets = {
  bare: startBareLoop,
  'fleet-1': fleetOf(1),
  redis: redisWith('everysec'),
  'redis-always': redisWith('always'),
  nats: natsWith('2m'),
  'nats-always': natsWith('always'),
  'kafka-1': kafkaOf(1),
};
const threeNodeTargets = { bare: startBareLoop, 'fleet-3': fleetOf(3), 'kafka-3': kafkaOf(3) };

export const peersSuite: CaseSuite = {
  name: 'peers',
  title: 'FleetMQ and its peers',
  stages: [
    { targets: oneNodeTargets, cases: casesOf(oneNode, 1) },
    { targets: threeNodeTargets, cases: casesOf(threeNodes, 3) },
  ],
  tablesOf: (cases) => [ratios(cases), promises(cases)],
  chartsOf: peerCharts,
};

/** FleetMQ to each peer that promises the same. */
function ratios(cases: readonly CaseSummary[]): Table {
  const byName = new Map(cases.map((each) => [each.name, each]));
  const rows = [...oneNode, ...threeNodes].flatMap(({ name, title, peerOf }) => {
    if (peerOf === undefined) return [];
    const cells = works.flatMap((work) => {
      const ours = byName.get(`${peerOf}-${work.name}`);
      const theirs = byName.get(`${name}-${work.name}`);
      if (work.measure.kind === 'latency') return [latencyRatio(ours, theirs)];
      return [rateRatio(ours, theirs, 'produce'), rateRatio(ours, theirs, 'consume')];
    });
    return [[`\`${peerOf}\``, `\`${name}\``, title, ...cells]];
  });
  const columns = works.flatMap(({ title, measure }) =>
    measure.kind === 'latency' ? [`p99 at ${title}`] : [`produce ${title}`, `consume ${title}`],
  );
  return {
    title: 'FleetMQ to its peers',
    columns: ['ours', 'theirs', '', ...columns],
    rows,
    note: 'Rates: ours divided by theirs, median and the least and the most of the rounds; more than 1 is faster. p99: theirs divided by ours; more than 1 is quicker.',
  };
}

function rateRatio(ours: CaseSummary | undefined, theirs: CaseSummary | undefined, phase: PhaseName): string {
  const ratio = ratioOf(ours?.phases[phase]?.perSecond, theirs?.phases[phase]?.perSecond);
  if (ratio === undefined) return '-';
  const [middle, least, most] = [ratio.median, ratio.min, ratio.max].map((value) => value.toFixed(2));
  return `${middle} (${least} to ${most})`;
}

function latencyRatio(ours: CaseSummary | undefined, theirs: CaseSummary | undefined): string {
  if (ours?.latency === undefined || theirs?.latency === undefined) return '-';
  return (theirs.latency.p99 / ours.latency.p99).toFixed(2);
}

function promises(cases: readonly CaseSummary[]): Table {
  const rows = [...oneNode, ...threeNodes].map(({ name, title, target, entrance }) => {
    const own = cases.filter((each) => each.target === target && each.entrance === entrance);
    const [first] = own;
    const clients = [...new Set(own.flatMap(({ driver }) => driver ?? []))].join(', ');
    const known = first?.problem?.kind === 'skipped' ? `skipped: ${first.problem.reason}` : first?.durability;
    return [`\`${name}\``, title, first?.version ?? '-', known ?? '-', clients === '' ? '-' : clients];
  });
  return {
    title: 'What an acknowledgment is worth',
    columns: ['system', '', 'version', 'when it is given', 'client'],
    rows,
    note: 'Redis keeps all records in memory and reads them from there. Where a system has several clients, the one that was faster in the warm-up counts.',
  };
}
