/** `fleetmq cluster describe`. */
import type { BrokerMetadata } from '@fleetmq/gen/common/metadata';
import type { ControllerStatus } from '@fleetmq/gen/controller/admin';
import { type Column, formatTable, plainOf, printOne } from '../print.ts';
import { type CommonOptions, listFormats, outputOf, withClient } from '../session.ts';
import type { Terminal } from '../terminal.ts';

const states = ['unknown', 'fenced', 'active', 'draining'];

const brokerColumns: Column<BrokerMetadata>[] = [
  { title: 'BROKER', value: ({ broker }) => broker?.id ?? '', align: 'right' },
  { title: 'STATE', value: ({ state }) => states[state] ?? '' },
  { title: 'CLIENTS', value: ({ endpoints }) => addressOf(endpoints) },
  { title: 'RACK', value: ({ broker }) => broker?.rackId ?? '' },
  { title: 'EPOCH', value: ({ brokerEpoch }) => brokerEpoch, align: 'right' },
];

const controllerColumns: Column<ControllerStatus>[] = [
  { title: 'CONTROLLER', value: ({ controllerId }) => controllerId, align: 'right' },
  { title: 'ROLE', value: ({ leader, voter }) => (leader ? 'leader' : voter ? 'follower' : 'learner') },
  { title: 'STATE', value: ({ active }) => (active ? 'active' : 'silent') },
  { title: 'INTERNAL', value: ({ host, port }) => (host === '' ? '' : `${host}:${port}`) },
  { title: 'MATCH', value: ({ matchIndex }) => matchIndex, align: 'right' },
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
      return `${lines.join('\n')}\n\n${brokers}\n${controllers}`;
    });
  });
}

function addressOf(endpoints: BrokerMetadata['endpoints']): string {
  const endpoint = endpoints.find(({ listener }) => listener === 'client') ?? endpoints[0];
  return endpoint === undefined ? '' : `${endpoint.host}:${endpoint.port}`;
}
