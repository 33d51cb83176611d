/**
 * The suite `peers`: the same work done by other systems, each through the fastest of its Node clients, on the same disk, in
 * turn with FleetMQ and the bare loop. What an acknowledgment is worth differs, and with it the price: each row says it, and
 * ratios are those of systems that promise the same. One partition (stream, subject), uncompressed; one node, and three.
 */
import type { BenchCase } from '../bench-case.ts';
import type { CaseSuite } from '../case-suite.ts';
import { peerCharts } from '../plot/peer-charts.ts';
import { startBareLoop } from '../targets/bare.ts';
import { fleetOf } from '../targets/fleet.ts';
import { plainWorkload } from '../workload.ts';
import { kafkaOf } from './kafka.ts';
import { natsWith } from './nats.ts';
import { redisWith } from './redis.ts';
import { oneNode, type System, threeNodes } from './systems.ts';
import { peerTables } from './tables.ts';
import { works } from './works.ts';

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
  tablesOf: peerTables,
  chartsOf: peerCharts,
};
