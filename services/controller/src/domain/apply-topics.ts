/**
 * Commands about topics and settings. Names, assignments and counts are checked again here, because the metadata may have
 * changed since the command was proposed; limits and the values of settings are checked before (`plan.ts`), because they
 * depend on the node's options and version, and every node must decide alike.
 *
 * Invariants: a name belongs to one topic; all partitions of a call have the same number of replicas, each a registered
 * broker; a new partition begins with leader epoch 1 and partition epoch 1, and its ISR is what is active of its replicas.
 */
import {
  compareText,
  equalValues,
  levelOf,
  type MetadataEvent,
  type PartitionImage,
  type TopicImage,
} from '@fleetmq/metadata';
import {
  type BrokerId,
  DomainError,
  isTopicName,
  type LeaderEpoch,
  type MetadataVersion,
  type PartitionEpoch,
  type PartitionId,
  type TopicId,
} from '@fleetmq/shared';
import type { AddPartitions, AlterConfig, Assignment, CreateTopic, DeleteTopic } from './commands.ts';
import { chooseLeader, membersOf } from './elect.ts';
import { MoveTally } from './moves.ts';
import type { Applied, ApplyContext, MetadataView } from './view.ts';

export function applyCreateTopic(view: MetadataView, command: CreateTopic): Applied<undefined> {
  const { name, topicId, assignments } = command;
  if (!isTopicName(name)) {
    throw new DomainError('INVALID_REQUEST', `"${name.slice(0, 260)}" is no topic name: 1 to 249 of A-Z a-z 0-9 . _ -`);
  }
  if (view.topicByName(name) !== undefined) {
    throw new DomainError('TOPIC_ALREADY_EXISTS', `topic ${name} exists already`);
  }
  if (topicId === '' || view.topicById(topicId) !== undefined) {
    throw new DomainError('INVALID_REQUEST', `topic id "${topicId}" is empty or taken`);
  }
  checkAssignments(view, assignments, assignments[0]?.length ?? 0);
  const topic: TopicImage = {
    topicId,
    name,
    config: sortedMap(command.config),
    internal: command.internal,
    partitionCount: assignments.length,
  };
  return {
    events: [{ kind: 'topic-changed', topic }, ...newPartitions(view, topicId, 0, assignments)],
    result: undefined,
  };
}

/** What moves of its partitions counts as cancelled. */
export function applyDeleteTopic(
  view: MetadataView,
  command: DeleteTopic,
  { timestampMs }: ApplyContext,
): Applied<undefined> {
  const { topicId } = requireTopic(view, command.topicId);
  const tally = new MoveTally();
  for (const partition of view.partitions(topicId)) tally.note(partition, undefined);
  return { events: [{ kind: 'topic-removed', topicId }, ...tally.events(view, timestampMs)], result: undefined };
}

export function applyAddPartitions(view: MetadataView, command: AddPartitions): Applied<undefined> {
  const topic = requireTopic(view, command.topicId);
  if (topic.partitionCount !== command.currentCount) {
    throw new DomainError(
      'STALE_EPOCH',
      `topic ${topic.name} has ${topic.partitionCount} partitions, not ${command.currentCount}`,
    );
  }
  checkAssignments(view, command.assignments, view.replicationFactor(topic.topicId));
  const partitionCount = topic.partitionCount + command.assignments.length;
  const partitions = newPartitions(view, topic.topicId, topic.partitionCount, command.assignments);
  return { events: [{ kind: 'topic-changed', topic: { ...topic, partitionCount } }, ...partitions], result: undefined };
}

export function applyAlterConfig(view: MetadataView, command: AlterConfig, context: ApplyContext): Applied<undefined> {
  if (command.topicId === undefined) return alterClusterConfig(view, command, context);
  const topic = requireTopic(view, command.topicId);
  const config = alteredConfig(topic.config, command);
  if (equalValues(config, topic.config)) return { events: [], result: undefined };
  return { events: [{ kind: 'topic-changed', topic: { ...topic, config } }], result: undefined };
}

function alterClusterConfig(
  { cluster }: MetadataView,
  command: AlterConfig,
  { index }: ApplyContext,
): Applied<undefined> {
  const { expectedVersion } = command;
  if (expectedVersion !== undefined && cluster.configVersion > expectedVersion) {
    throw new DomainError(
      'STALE_EPOCH',
      `the settings changed at version ${cluster.configVersion}, after version ${expectedVersion}: read them again`,
    );
  }
  const config = alteredConfig(cluster.config, command);
  if (equalValues(config, cluster.config)) return { events: [], result: undefined };
  const hasVersion = levelOf(cluster.features, 'metadata.version') >= 2;
  const configVersion = hasVersion ? (index as number as MetadataVersion) : cluster.configVersion;
  return { events: [{ kind: 'cluster-changed', cluster: { ...cluster, config, configVersion } }], result: undefined };
}

/** Throws TOPIC_NOT_FOUND. */
export function requireTopic(view: MetadataView, topicId: TopicId): TopicImage {
  const topic = view.topicById(topicId);
  if (topic === undefined) throw new DomainError('TOPIC_NOT_FOUND', `no topic has the id "${topicId}"`);
  return topic;
}

/** The settings after the change, by name. */
export function alteredConfig(
  config: ReadonlyMap<string, string>,
  change: Pick<AlterConfig, 'set' | 'remove'>,
): ReadonlyMap<string, string> {
  const altered = new Map(config);
  for (const name of change.remove) altered.delete(name);
  for (const [name, value] of change.set) altered.set(name, value);
  return sortedMap(altered);
}

function checkAssignments(view: MetadataView, assignments: readonly Assignment[], replicationFactor: number): void {
  if (assignments.length === 0) throw new DomainError('INVALID_REQUEST', 'no partition is asked for');
  for (const [position, replicas] of assignments.entries()) {
    if (replicas.length === 0 || replicas.length !== replicationFactor) {
      throw new DomainError(
        'INVALID_REPLICATION_FACTOR',
        `assignment ${position} has ${replicas.length} replicas; all partitions of a topic have the same number, ` +
          `here ${replicationFactor}, and at least 1`,
      );
    }
    if (new Set(replicas).size !== replicas.length) {
      throw new DomainError('INVALID_REQUEST', `assignment ${position} names a broker twice: ${replicas.join(', ')}`);
    }
    const unknown = replicas.find((brokerId) => view.broker(brokerId) === undefined);
    if (unknown !== undefined) {
      throw new DomainError(
        'BROKER_NOT_FOUND',
        `assignment ${position} names broker ${unknown}, which is not registered`,
      );
    }
  }
}

function newPartitions(
  view: MetadataView,
  topicId: TopicId,
  firstNumber: number,
  assignments: readonly Assignment[],
): MetadataEvent[] {
  return assignments.map((replicas, position) => ({
    kind: 'partition-changed',
    partition: newPartition(view, topicId, (firstNumber + position) as PartitionId, replicas),
  }));
}

function newPartition(
  view: MetadataView,
  topicId: TopicId,
  partition: PartitionId,
  replicas: Assignment,
): PartitionImage {
  const stateOf = (brokerId: BrokerId) => view.broker(brokerId)?.state;
  const active = replicas.filter((brokerId) => stateOf(brokerId) === 'active');
  const inSyncReplicas = membersOf(replicas, active);
  if (inSyncReplicas.length === 0) {
    throw new DomainError('NOT_AVAILABLE', `no broker of partition ${partition} is active: ${replicas.join(', ')}`);
  }
  return {
    topicId,
    partition,
    leaderId: chooseLeader({ replicas, inSyncReplicas }, stateOf),
    leaderEpoch: 1 as LeaderEpoch,
    replicas,
    inSyncReplicas,
    partitionEpoch: 1 as PartitionEpoch,
  };
}

/** Equal settings are equal bytes in snapshots, whatever order they were set in. */
function sortedMap(map: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  return new Map([...map].sort(([left], [right]) => compareText(left, right)));
}
