/**
 * Commands about one partition: the leader's change of its in-sync replicas, the hand-over of a leadership, and what follows
 * from a log that has failed.
 *
 * The first two are compare-and-set: a leader that was deposed, restarted or overtaken by another change is refused and changes
 * nothing (KIP-497). A broker joins the ISR only when it is active and under the registration that the leader saw
 * (KIP-841, KIP-903); leaders come from the ISR alone. The change that brings the last target replica of a move into the ISR
 * ends the move.
 */
import { mayJoinIsr, type PartitionImage, requireLevel, type TopicImage } from '@fleetmq/metadata';
import { DomainError, formatTopicPartition, type PartitionEpoch, type TopicId } from '@fleetmq/shared';
import { requireLife, standingOf, statesOf } from './apply-brokers.ts';
import { requireTopic } from './apply-topics.ts';
import type { ChangeIsr, ElectLeader, FailReplica } from './commands.ts';
import { changePartition, withFailedLog } from './elect.ts';
import { arrived, MoveTally } from './moves.ts';
import type { Applied, ApplyContext, MetadataView } from './view.ts';

export function applyChangeIsr(
  view: MetadataView,
  command: ChangeIsr,
  { timestampMs }: ApplyContext,
): Applied<PartitionImage> {
  const { topic, partition } = requirePartition(view, command.topicId, command.partition);
  const name = formatTopicPartition(topic.name, partition.partition);
  requireLife(view, command);
  if (command.leaderEpoch !== partition.leaderEpoch) {
    throw new DomainError(
      'STALE_EPOCH',
      `${name} has leader epoch ${partition.leaderEpoch}, not ${command.leaderEpoch}`,
    );
  }
  if (command.brokerId !== partition.leaderId) {
    throw new DomainError('NOT_LEADER', `${name} is led by broker ${partition.leaderId}, not ${command.brokerId}`);
  }
  if (command.partitionEpoch !== partition.partitionEpoch) {
    throw new DomainError(
      'STALE_EPOCH',
      `${name} has partition epoch ${partition.partitionEpoch}, not ${command.partitionEpoch}`,
    );
  }
  checkMembers(view, command, partition, name);
  const inSyncReplicas = command.inSyncReplicas.map(({ brokerId }) => brokerId);
  const next = voided(partition, changePartition(partition, { inSyncReplicas }));
  const result = arrived(next, statesOf(view));
  const tally = new MoveTally();
  tally.note(partition, result);
  return {
    events: [{ kind: 'partition-changed', partition: result }, ...tally.events(view, timestampMs)],
    result,
  };
}

/**
 * A leader that asks for the set that is there already voids its earlier proposals: whatever of them is still on its way
 * compares with an older partition epoch from now on. So a leader can stop to count a member that it once proposed.
 */
function voided(before: PartitionImage, after: PartitionImage): PartitionImage {
  return after === before ? { ...before, partitionEpoch: (before.partitionEpoch + 1) as PartitionEpoch } : after;
}

export function applyElectLeader(view: MetadataView, command: ElectLeader): Applied<PartitionImage> {
  const { topic, partition } = requirePartition(view, command.topicId, command.partition);
  const name = formatTopicPartition(topic.name, partition.partition);
  if (command.leaderEpoch !== undefined && command.leaderEpoch !== partition.leaderEpoch) {
    throw new DomainError(
      'STALE_EPOCH',
      `${name} has leader epoch ${partition.leaderEpoch}, not ${command.leaderEpoch}`,
    );
  }
  const target = command.targetId === 0 ? partition.replicas[0] : command.targetId;
  if (target === undefined || !partition.replicas.includes(target)) {
    throw new DomainError('INVALID_REQUEST', `broker ${target} is no replica of ${name}`);
  }
  if (target === partition.leaderId) return { events: [], result: partition };
  const state = view.broker(target)?.state;
  if (!partition.inSyncReplicas.includes(target) || state !== 'active') {
    const why = partition.inSyncReplicas.includes(target) ? `is ${state ?? 'not registered'}` : 'is not in sync';
    throw new DomainError('NOT_AVAILABLE', `broker ${target} cannot lead ${name}: it ${why}`);
  }
  const result = changePartition(partition, { leaderId: target });
  return { events: [{ kind: 'partition-changed', partition: result }], result };
}

export function applyFailReplica(
  view: MetadataView,
  command: FailReplica,
  { timestampMs }: ApplyContext,
): Applied<undefined> {
  requireLevel(view.cluster.features, { name: 'metadata.version', level: 3, what: 'giving up a replica' });
  const { partition } = requirePartition(view, command.topicId, command.partition);
  const { brokerId } = requireLife(view, command);
  const standing = standingOf(view);
  const next = arrived(withFailedLog(partition, brokerId, standing), standing.stateOf);
  if (next === partition) return { events: [], result: undefined };
  const tally = new MoveTally();
  tally.note(partition, next);
  return {
    events: [{ kind: 'partition-changed', partition: next }, ...tally.events(view, timestampMs)],
    result: undefined,
  };
}

/** Throws TOPIC_NOT_FOUND, PARTITION_NOT_FOUND. */
export function requirePartition(
  view: MetadataView,
  topicId: TopicId,
  number: number,
): { readonly topic: TopicImage; readonly partition: PartitionImage } {
  const topic = requireTopic(view, topicId);
  const partition = view.partition(topicId, number);
  if (partition === undefined) {
    throw new DomainError(
      'PARTITION_NOT_FOUND',
      `topic ${topic.name} has partitions 0 to ${topic.partitionCount - 1}, not ${number}`,
    );
  }
  return { topic, partition };
}

function checkMembers(view: MetadataView, command: ChangeIsr, partition: PartitionImage, name: string): void {
  const ids = command.inSyncReplicas.map(({ brokerId }) => brokerId);
  if (new Set(ids).size !== ids.length) {
    throw new DomainError('INVALID_REQUEST', `the new ISR of ${name} names a broker twice: ${ids.join(', ')}`);
  }
  if (!ids.includes(command.brokerId)) {
    throw new DomainError('INVALID_REQUEST', `the new ISR of ${name} lacks its leader ${command.brokerId}`);
  }
  for (const member of command.inSyncReplicas) {
    if (!partition.replicas.includes(member.brokerId)) {
      throw new DomainError('INVALID_REQUEST', `broker ${member.brokerId} is no replica of ${name}`);
    }
    const broker = requireLife(view, member);
    if (!mayJoinIsr(broker) && !partition.inSyncReplicas.includes(member.brokerId)) {
      throw new DomainError(
        'NOT_AVAILABLE',
        `broker ${member.brokerId} is ${broker.state} and cannot join the ISR of ${name}`,
      );
    }
  }
}
