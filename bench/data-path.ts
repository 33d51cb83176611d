/**
 * The suite `data`: what one Node client gets out of FleetMQ, on this machine, now. Not the full cross product of sizes,
 * partitions, replicas, acknowledgments, codecs and ways in, but a case for each step along each of these axes, from one that
 * they share: 1 KiB, one partition, one replica, ACK_ALL after fdatasync, uncompressed, straight to the broker.
 * Beside them stands the same work done by a bare HTTP/2 + fdatasync loop, because only ratios travel between machines.
 */
import type { BenchCase } from './bench-case.ts';
import type { CaseSuite } from './case-suite.ts';
import { memoryPeaks } from './data-tables.ts';
import { dataCharts } from './plot/data-charts.ts';
import { startBareLoop } from './targets/bare.ts';
import { fleetOf } from './targets/fleet.ts';
import { type AckLevel, type CodecName, plainWorkload, type Workload } from './workload.ts';

type Replicas = 1 | 3;

/** What a case is besides its name; the rest is as in the case that all share. */
interface Step {
  readonly replicas?: Replicas;
  readonly entrance?: string;
  readonly cold?: boolean;
  readonly alsoIn?: readonly string[];
  readonly workload?: Partial<Workload>;
}

const sizes = [
  { name: '100b', title: '100 B', size: 100 },
  { name: '1k', title: '1 KiB', size: 1024 },
  { name: '64k', title: '64 KiB', size: 64 << 10 },
] as const;
const rates = [100, 500, 5_000] as const;
const unaryCallers = 64;
const latencySize = 100;

function throughput(section: string, name: string, title: string, step: Step = {}): BenchCase {
  const { replicas = 1, entrance = 'direct', cold = false, alsoIn = [] } = step;
  const workload = { ...plainWorkload, replication: replicas, ...step.workload };
  const sizeName = sizes.find(({ size }) => size === workload.size)?.name;
  return {
    ...{ name, section, title, workload, entrance, alsoIn },
    target: `fleet-${replicas}`,
    measure: { kind: 'throughput', cold },
    baseline: `bare-${sizeName}-r${replicas}`,
  };
}

/** The bare loop has one file, whatever the stage; it runs in both, so that ratios are of the same minutes. */
function bareThroughput(replicas: Replicas): BenchCase[] {
  return sizes.map(({ name, title, size }) => ({
    ...throughput('The bare loop', `bare-${name}-r${replicas}`, `${title}, beside replication ${replicas}`, {
      cold: replicas === 1,
      workload: { size },
    }),
    target: 'bare',
    baseline: `bare-${name}-r${replicas}`,
  }));
}

function latencies(section: string, replicas: Replicas, target: string, prefix: string): BenchCase[] {
  return rates.map((perSecond) => ({
    name: `${prefix}-${perSecond}-r${replicas}`,
    section,
    title: `${perSecond}/s, ${target === 'bare' ? `the bare loop, beside replication ${replicas}` : `replication ${replicas}`}`,
    target,
    entrance: 'direct',
    workload: { ...plainWorkload, size: latencySize, replication: target === 'bare' ? 1 : replicas },
    measure: { kind: 'latency', perSecond },
    baseline: `bare-latency-${perSecond}-r${replicas}`,
  }));
}

function unary(name: string, title: string, entrance: string): BenchCase {
  return {
    ...{ name, title, entrance, section: 'Unary Produce calls', target: 'fleet-1' },
    workload: { ...plainWorkload, size: latencySize },
    measure: { kind: 'calls', callers: unaryCallers },
  };
}

const acks: readonly AckLevel[] = ['none', 'leader', 'majority', 'all'];
const codecs: readonly CodecName[] = ['none', 'lz4', 'zstd', 'snappy'];
const latencySection = 'Publish to receive';

const one: readonly BenchCase[] = [
  ...bareThroughput(1),
  ...sizes.map(({ name, title, size }) => {
    const alsoIn = size === 1024 ? ['Partitions', 'Acknowledgments'] : [];
    return throughput('Record sizes', name, `${title}, ACK_ALL`, { cold: true, alsoIn, workload: { size } });
  }),
  throughput('Partitions', '1k-p12', '1 KiB, 12 partitions', { workload: { partitions: 12 } }),
  throughput('Partitions', '100b-p12', '100 B, 12 partitions', { workload: { size: 100, partitions: 12 } }),
  throughput('Acknowledgments', '1k-ack-none', '1 KiB, ACK_NONE', { workload: { acks: 'none' } }),
  throughput('Acknowledgments', '1k-os-cache', '1 KiB, ACK_ALL, flush.policy=unsafe-os-cache', {
    entrance: 'os-cache',
  }),
  ...codecs.map((codec) =>
    throughput('Codecs', `json-${codec}`, `JSON lines of 1 KiB, ${codec}`, { workload: { content: 'json', codec } }),
  ),
  ...sizes.map(({ name, title, size }) =>
    throughput('Through the gateway', `${name}-gateway`, title, { entrance: 'gateway', workload: { size } }),
  ),
  unary('unary-grpc-go', 'grpc-go, straight to the broker', 'grpc-go'),
  unary('unary-grpc-go-gateway', 'grpc-go, through the gateway', 'grpc-go-gateway'),
  unary('unary-grpc-js', '@grpc/grpc-js, straight to the broker', 'grpc-js'),
  unary('unary-grpc-js-gateway', '@grpc/grpc-js, through the gateway', 'grpc-js-gateway'),
  unary('unary-lane', 'our gRPC client, straight to the broker', 'lane'),
  unary('unary-lane-gateway', 'our gRPC client, through the gateway', 'lane-gateway'),
  ...latencies(latencySection, 1, 'bare', 'bare-latency'),
  ...latencies(latencySection, 1, 'fleet-1', 'latency'),
];

const three: readonly BenchCase[] = [
  ...bareThroughput(3),
  ...sizes.map(({ name, title, size }) =>
    throughput('Replication 3', `${name}-r3`, `${title}, ACK_ALL, replication 3`, {
      replicas: 3,
      alsoIn: size === 1024 ? ['Acknowledgments'] : [],
      workload: { size },
    }),
  ),
  throughput('Replication 3', '1k-p12-r3', '1 KiB, 12 partitions, replication 3', {
    replicas: 3,
    workload: { partitions: 12 },
  }),
  throughput('Replication 3', '1k-gateway-r3', '1 KiB, through the gateway, replication 3', {
    replicas: 3,
    entrance: 'gateway',
  }),
  ...acks
    .filter((level) => level !== 'all')
    .map((level) =>
      throughput('Acknowledgments', `1k-ack-${level}-r3`, `1 KiB, ACK_${level.toUpperCase()}, replication 3`, {
        replicas: 3,
        workload: { acks: level },
      }),
    ),
  ...latencies(latencySection, 3, 'bare', 'bare-latency'),
  ...latencies(latencySection, 3, 'fleet-3', 'latency'),
];

export const dataSuite: CaseSuite = {
  name: 'data',
  title: 'The data path',
  stages: [
    { targets: { bare: startBareLoop, 'fleet-1': fleetOf(1) }, cases: one },
    { targets: { bare: startBareLoop, 'fleet-3': fleetOf(3) }, cases: three },
  ],
  tablesOf: (cases) => [memoryPeaks(cases)],
  chartsOf: dataCharts,
};
