/** `fleetmq cluster describe | health`. */
import type { ClusterDescription } from '@fleetmq/client';
import { type BrokerMetadata, BrokerState } from '@fleetmq/gen/common/metadata';
import type { FailedReplica } from '@fleetmq/gen/controller/admin';
import { controllerColumns, lagOf } from '../controllers-table.ts';
import { Unhealthy } from '../failure.ts';
import { type Column, formatTable, type OutputFormat, plainOf, printOne } from '../print.ts';
import { type CommonOptions, listFormats, outputOf, withClient } from '../session.ts';
import { type Terminal, write } from '../terminal.ts';
import { pause } from '../watching.ts';

const states = ['unknown', 'fenced', 'active', 'draining'];

const brokerColumns: Column<BrokerMetadata>[] = [
  { title: 'BROKER', value: ({ broker }) => broker?.id ?? '', align: 'right' },
  { title: 'STATE', value: ({ state }) => states[state] ?? '' },
  { title: 'CLIENTS', value: ({ endpoints }) => addressOf(endpoints) },
  { title: 'RACK', value: ({ broker }) => broker?.rackId ?? '' },
  { title: 'EPOCH', value: ({ brokerEpoch }) => brokerEpoch, align: 'right' },
];

export async function describeCluster(terminal: Terminal, options: CommonOptions): Promise<void> {
  const format = outputOf(options, listFormats, 'table');
  const { DescribeClusterResponseSchema } = await import('@fleetmq/gen/controller/admin');
  await withClient(terminal, options, async ({ admin }) => {
    const cluster = await admin.describeCluster();
    await printOne(terminal, format, plainOf(DescribeClusterResponseSchema, cluster), async () => {
      const { clusterId, topicCount, partitionCount, offlinePartitionCount, underReplicatedPartitionCount } = cluster;
      const lines = [
        `cluster ${clusterId}  term ${cluster.term}  metadata version ${cluster.metadataVersion}`,
        `topics ${topicCount}  partitions ${partitionCount}  offline ${offlinePartitionCount}  under-replicated ${underReplicatedPartitionCount}`,
      ];
      const brokers = await formatTable(terminal, cluster.brokers, brokerColumns);
      const controllers = await formatTable(terminal, cluster.controllers, controllerColumns);
      const failed = cluster.failedReplicas.map((each) => `${describeFailed(each)}\n`);
      return `${lines.join('\n')}\n\n${brokers}\n${controllers}${failed.length > 0 ? '\n' : ''}${failed.join('')}`;
    });
  });
}

function addressOf(endpoints: BrokerMetadata['endpoints']): string {
  const endpoint = endpoints.find(({ listener }) => listener === 'client') ?? endpoints[0];
  return endpoint === undefined ? '' : `${endpoint.host}:${endpoint.port}`;
}

export interface HealthOptions extends CommonOptions {
  readonly watch?: boolean;
  readonly exitWhenHealthy?: boolean;
  /** Between two looks, in ms. */
  readonly interval: number;
}

/** What is wrong, one line each; empty: nothing. */
export interface HealthReport {
  readonly healthy: boolean;
  readonly problems: readonly string[];
  readonly leaderId: number;
  readonly controllers: readonly { readonly id: number; readonly voter: boolean; readonly behind: string }[];
  readonly activeBrokers: number;
  readonly brokers: number;
  readonly offlinePartitions: number;
  readonly underReplicatedPartitions: number;
  readonly failedReplicas: number;
}

/** Fails (exit code 1) when something is wrong, unless it watches. */
export async function clusterHealth(terminal: Terminal, options: HealthOptions): Promise<void> {
  const format = outputOf(options, listFormats, 'table');
  const { watch = false, exitWhenHealthy = false, interval } = options;
  const isWatching = watch || exitWhenHealthy;
  await withClient(terminal, options, async ({ admin }) => {
    let told = '';
    for (;;) {
      const report = reportOf(await admin.describeCluster());
      const text = formatReport(report, format, isWatching);
      if (text !== told) await write(terminal.stdout, text);
      told = text;
      if (!isWatching && !report.healthy) throw new Unhealthy(report.problems.join('; '));
      if (!isWatching || (exitWhenHealthy && report.healthy)) return;
      if (!(await pause(interval, terminal.interrupted))) return;
    }
  });
}

/** Judges a cluster by what its controllers say. */
export function reportOf(cluster: ClusterDescription): HealthReport {
  const { controllers, brokers, offlinePartitionCount, underReplicatedPartitionCount, failedReplicas } = cluster;
  const problems: string[] = [];
  for (const controller of controllers) {
    const { controllerId, active, voter, promoting } = controller;
    const behind = lagOf(controller, controllers);
    if (!active) problems.push(`controller ${controllerId} is silent`);
    else if (!voter && promoting) problems.push(`controller ${controllerId} catches up: ${behind} entries behind`);
  }
  for (const { broker, state } of brokers) {
    if (state !== BrokerState.ACTIVE) problems.push(`broker ${broker?.id} is ${states[state]}`);
  }
  if (offlinePartitionCount > 0) problems.push(`${offlinePartitionCount} partitions have no leader`);
  if (underReplicatedPartitionCount > 0) problems.push(`${underReplicatedPartitionCount} partitions lack replicas`);
  problems.push(...failedReplicas.slice(0, failedShown).map(describeFailed));
  if (failedReplicas.length > failedShown)
    problems.push(`${failedReplicas.length - failedShown} more logs have failed`);
  return {
    healthy: problems.length === 0,
    problems,
    leaderId: controllers.find(({ leader }) => leader)?.controllerId ?? 0,
    controllers: controllers.map((each) => ({
      id: each.controllerId,
      voter: each.voter,
      behind: String(lagOf(each, controllers)),
    })),
    activeBrokers: brokers.filter(({ state }) => state === BrokerState.ACTIVE).length,
    brokers: brokers.length,
    offlinePartitions: offlinePartitionCount,
    underReplicatedPartitions: underReplicatedPartitionCount,
    failedReplicas: failedReplicas.length,
  };
}

/** Of many failed logs the first are told. */
const failedShown = 10;

export function describeFailed({ topicPartition, brokerId, reason }: FailedReplica): string {
  return `the log of ${topicPartition?.topic}-${topicPartition?.partition} on broker ${brokerId} has failed: ${reason}`;
}

/** A watch in JSON is one document per look, and so the same as NDJSON. */
function formatReport(report: HealthReport, format: OutputFormat, isWatching: boolean): string {
  if (format !== 'table') {
    return `${JSON.stringify(report, undefined, format === 'json' && !isWatching ? 2 : undefined)}\n`;
  }
  const { healthy, problems, leaderId, controllers, activeBrokers, brokers } = report;
  const voters = controllers.filter(({ voter }) => voter).length;
  const head = `${healthy ? 'healthy' : 'not healthy'}: ${voters} voting controllers, led by ${leaderId}; ${activeBrokers} of ${brokers} brokers in service`;
  return `${[head, ...problems.map((each) => `  ${each}`)].join('\n')}\n`;
}
