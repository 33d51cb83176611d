/** `fleetmq topic create | list | describe | alter | grow | delete-records | delete`. */
import type { OffsetListing } from '@fleetmq/client';
import type { TopicSummary } from '@fleetmq/gen/client/metadata';
import type { ConfigEntry, PartitionMetadata, TopicMetadata } from '@fleetmq/gen/common/metadata';
import { type Place, UsageError } from '../parse.ts';
import { type Column, formatTable, plainOf, printOne, printRows } from '../print.ts';
import { type CommonOptions, confirm, listFormats, outputOf, say, withClient } from '../session.ts';
import type { Terminal } from '../terminal.ts';
import { describeFailed } from './cluster.ts';

export interface CreateOptions extends CommonOptions {
  readonly partitions?: number;
  readonly replicationFactor?: number;
  readonly config?: readonly (readonly [string, string])[];
  readonly ifNotExists?: boolean;
}

export async function createTopic(terminal: Terminal, name: string, options: CreateOptions): Promise<void> {
  const format = outputOf(options, listFormats, 'table');
  const { TopicMetadataSchema } = await import('@fleetmq/gen/common/metadata');
  await withClient(terminal, options, async ({ admin }) => {
    const { partitions, replicationFactor, config = [] } = options;
    let topic: TopicMetadata;
    try {
      topic = await admin.createTopic(name, {
        ...(partitions !== undefined && { partitions }),
        ...(replicationFactor !== undefined && { replicationFactor }),
        config: Object.fromEntries(config),
      });
    } catch (error) {
      if (options.ifNotExists !== true || (error as { code?: string }).code !== 'TOPIC_ALREADY_EXISTS') throw error;
      topic = (await admin.describeTopic(name)).topic;
    }
    await printOne(terminal, format, plainOf(TopicMetadataSchema, topic), () => {
      const replicas = topic.partitions[0]?.replicas.length ?? 0;
      return `topic ${name}: ${count(topic.partitions.length, 'partition')}, ${count(replicas, 'replica')} each\n`;
    });
  });
}

export interface ListOptions extends CommonOptions {
  readonly prefix?: string;
  readonly internal?: boolean;
}

export async function listTopics(terminal: Terminal, options: ListOptions): Promise<void> {
  const format = outputOf(options, listFormats, 'table');
  const { TopicSummarySchema } = await import('@fleetmq/gen/client/metadata');
  const columns: Column<TopicSummary>[] = [
    { title: 'TOPIC', value: ({ name }) => name },
    { title: 'PARTITIONS', value: ({ partitionCount }) => partitionCount, align: 'right' },
    { title: 'REPLICAS', value: ({ replicationFactor }) => replicationFactor, align: 'right' },
    { title: 'ID', value: ({ topicId }) => topicId },
  ];
  await withClient(terminal, options, async ({ admin }) => {
    const { prefix = '', internal = false } = options;
    const topics = await admin.listTopics({ prefix, includeInternal: internal });
    await printRows(terminal, format, topics, columns, (topic) => plainOf(TopicSummarySchema, topic));
  });
}

export async function describeTopic(terminal: Terminal, name: string, options: CommonOptions): Promise<void> {
  const format = outputOf(options, listFormats, 'table');
  const { ConfigEntrySchema, TopicMetadataSchema } = await import('@fleetmq/gen/common/metadata');
  const { FailedReplicaSchema } = await import('@fleetmq/gen/controller/admin');
  await withClient(terminal, options, async ({ admin }) => {
    const { topic, config, failedReplicas } = await admin.describeTopic(name);
    const plain = {
      topic: plainOf(TopicMetadataSchema, topic),
      config: config.map((entry) => plainOf(ConfigEntrySchema, entry)),
      failedReplicas: failedReplicas.map((each) => plainOf(FailedReplicaSchema, each)),
    };
    await printOne(terminal, format, plain, async () => {
      const partitions = await formatTable(terminal, topic.partitions, partitionColumns);
      const settings = await formatTable(terminal, config, configColumns);
      const failed = failedReplicas.map((each) => `${describeFailed(each)}\n`);
      return `topic ${topic.name}  id ${topic.topicId}\n\n${partitions}${failed.join('')}\n${settings}`;
    });
  });
}

const partitionColumns: Column<PartitionMetadata>[] = [
  { title: 'PARTITION', value: ({ partition }) => partition, align: 'right' },
  { title: 'LEADER', value: ({ leaderId }) => (leaderId === 0 ? 'none' : leaderId), align: 'right' },
  { title: 'EPOCH', value: ({ leaderEpoch }) => leaderEpoch, align: 'right' },
  { title: 'REPLICAS', value: ({ replicas }) => replicas.join(',') },
  { title: 'IN SYNC', value: ({ inSyncReplicas }) => inSyncReplicas.join(',') },
  { title: 'ELIGIBLE', value: ({ eligibleReplicas }) => eligibleReplicas.join(',') },
];

const sources = ['', 'default', 'cluster', 'topic'];
const configColumns: Column<ConfigEntry>[] = [
  { title: 'SETTING', value: ({ name }) => name },
  { title: 'VALUE', value: ({ value }) => value },
  { title: 'SOURCE', value: ({ source }) => sources[source] ?? '' },
];

export interface AlterOptions extends CommonOptions {
  readonly config?: readonly (readonly [string, string])[];
  readonly remove?: readonly string[];
  readonly dryRun?: boolean;
}

/** Sets and removes settings one by one; prints all of them as they are then. */
export async function alterTopic(terminal: Terminal, name: string, options: AlterOptions): Promise<void> {
  const format = outputOf(options, listFormats, 'table');
  const { config = [], remove = [], dryRun: validateOnly = false } = options;
  if (config.length + remove.length === 0) throw new UsageError('nothing is to be changed: give --config or --remove');
  const { ConfigEntrySchema } = await import('@fleetmq/gen/common/metadata');
  await withClient(terminal, options, async ({ admin }) => {
    const change = { set: Object.fromEntries(config), remove };
    const entries = await admin.alterTopicConfig(name, change, { validateOnly });
    await printRows(terminal, format, entries, configColumns, (entry) => plainOf(ConfigEntrySchema, entry));
  });
}

export interface GrowOptions extends CommonOptions {
  readonly dryRun?: boolean;
}

/** `total` is how many partitions there shall be. */
export async function growTopic(
  terminal: Terminal,
  { name, total }: { readonly name: string; readonly total: number },
  options: GrowOptions,
): Promise<void> {
  const format = outputOf(options, listFormats, 'table');
  const { TopicMetadataSchema } = await import('@fleetmq/gen/common/metadata');
  await withClient(terminal, options, async ({ admin }) => {
    const topic = await admin.addPartitions(name, total, { validateOnly: options.dryRun ?? false });
    await printOne(terminal, format, plainOf(TopicMetadataSchema, topic), () =>
      formatTable(terminal, topic.partitions, partitionColumns),
    );
  });
}

export interface DeleteRecordsOptions extends CommonOptions {
  readonly before: Place;
  readonly partition?: readonly number[];
  readonly yes?: boolean;
}

/** Deletes what lies before a place in each partition, for ever; prints where the logs begin then. */
export async function deleteRecords(terminal: Terminal, name: string, options: DeleteRecordsOptions): Promise<void> {
  const format = outputOf(options, listFormats, 'table');
  const { before } = options;
  if (before === 'earliest' || (typeof before === 'object' && 'back' in before)) {
    throw new UsageError('--before takes latest, an offset or @<time>');
  }
  await confirm(terminal, `Delete records of topic ${name} for ever?`, options.yes);
  await withClient(terminal, options, async ({ admin }) => {
    const numbers =
      options.partition ?? (await admin.describeTopic(name)).topic.partitions.map((each) => each.partition);
    const refs = numbers.map((partition) => ({ topic: name, partition }));
    const places = await admin.listOffsets(refs, before);
    const starts = await admin.deleteRecords(places.map(({ offset, ...ref }) => ({ ...ref, beforeOffset: offset })));
    await printRows(terminal, format, starts, startColumns, (each) => each);
  });
}

const startColumns: Column<OffsetListing>[] = [
  { title: 'PARTITION', value: ({ partition }) => partition, align: 'right' },
  { title: 'BEGINS AT', value: ({ offset }) => offset, align: 'right' },
];

export interface DeleteOptions extends CommonOptions {
  readonly yes?: boolean;
}

export async function deleteTopic(terminal: Terminal, name: string, options: DeleteOptions): Promise<void> {
  await confirm(terminal, `Delete topic ${name} with all its records?`, options.yes);
  await withClient(terminal, options, ({ admin }) => admin.deleteTopic(name));
  await say(terminal, options, `topic ${name} is deleted`);
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}
