/**
 * Changes of the metadata. An event carries the new whole value of one thing, so that applying it is deterministic and
 * applying it again does no harm. Commands decide (in the controllers); events only report.
 *
 * `differenceOf` finds events that lead from one snapshot to another: what a watcher needs when it is handed a snapshot
 * in place of the events that it missed.
 */
import type { BrokerId, TopicId } from '@fleetmq/shared';
import { equalValues } from './equal.ts';
import type {
  BrokerImage,
  ClusterImage,
  MetadataSnapshotImage,
  PartitionImage,
  ReassignmentImage,
  TopicImage,
} from './values.ts';

export type MetadataEvent =
  | { readonly kind: 'broker-changed'; readonly broker: BrokerImage }
  | { readonly kind: 'broker-removed'; readonly brokerId: BrokerId }
  | { readonly kind: 'topic-changed'; readonly topic: TopicImage }
  /** Its partitions are gone with it. */
  | { readonly kind: 'topic-removed'; readonly topicId: TopicId }
  | { readonly kind: 'partition-changed'; readonly partition: PartitionImage }
  | { readonly kind: 'cluster-changed'; readonly cluster: ClusterImage }
  | { readonly kind: 'reassignment-changed'; readonly reassignment: ReassignmentImage }
  | { readonly kind: 'reassignment-removed'; readonly reassignmentId: string };

/**
 * Events that turn `before` into `after`, in an order that keeps every step valid: removed topics first (a name may have
 * moved to a new id), partitions behind their topics, removed brokers last.
 */
export function differenceOf(before: MetadataSnapshotImage, after: MetadataSnapshotImage): MetadataEvent[] {
  const events: MetadataEvent[] = [];
  if (!equalValues(before.cluster, after.cluster)) events.push({ kind: 'cluster-changed', cluster: after.cluster });

  const topicsAfter = byKey(after.topics, (topic) => topic.topicId);
  for (const { topicId } of before.topics) {
    if (!topicsAfter.has(topicId)) events.push({ kind: 'topic-removed', topicId });
  }
  for (const broker of changed(before.brokers, after.brokers, (each) => each.brokerId)) {
    events.push({ kind: 'broker-changed', broker });
  }
  for (const topic of changed(before.topics, after.topics, (each) => each.topicId)) {
    events.push({ kind: 'topic-changed', topic });
  }
  for (const partition of changedPartitions(before.partitions, after.partitions)) {
    events.push({ kind: 'partition-changed', partition });
  }
  const brokersAfter = byKey(after.brokers, (broker) => broker.brokerId);
  for (const { brokerId } of before.brokers) {
    if (!brokersAfter.has(brokerId)) events.push({ kind: 'broker-removed', brokerId });
  }
  const reassignmentsAfter = byKey(after.reassignments, (each) => each.reassignmentId);
  for (const { reassignmentId } of before.reassignments) {
    if (!reassignmentsAfter.has(reassignmentId)) events.push({ kind: 'reassignment-removed', reassignmentId });
  }
  for (const reassignment of changed(before.reassignments, after.reassignments, (each) => each.reassignmentId)) {
    events.push({ kind: 'reassignment-changed', reassignment });
  }
  return events;
}

/** Unambiguous: a topic id has no colon. */
export function partitionKey(partition: { readonly topicId: TopicId; readonly partition: number }): string {
  return `${partition.topicId}:${partition.partition}`;
}

function byKey<Value, Key>(values: readonly Value[], keyOf: (value: Value) => Key): Map<Key, Value> {
  return new Map(values.map((value) => [keyOf(value), value]));
}

function changed<Value, Key>(
  before: readonly Value[],
  after: readonly Value[],
  keyOf: (value: Value) => Key,
): readonly Value[] {
  const known = byKey(before, keyOf);
  return after.filter((value) => !equalValues(known.get(keyOf(value)), value));
}

/** As `changed`, for values of which there are many. */
function changedPartitions(
  before: readonly PartitionImage[],
  after: readonly PartitionImage[],
): readonly PartitionImage[] {
  const known = new Map<TopicId, PartitionImage[]>();
  for (const partition of before) {
    const ofTopic = known.get(partition.topicId) ?? [];
    ofTopic[partition.partition] = partition;
    known.set(partition.topicId, ofTopic);
  }
  return after.filter((partition) => {
    const old = known.get(partition.topicId)?.[partition.partition];
    return old === undefined || !equalPartitions(old, partition);
  });
}

/** Of two values of one partition: every field counts. */
function equalPartitions(left: PartitionImage, right: PartitionImage): boolean {
  return (
    left.leaderId === right.leaderId &&
    left.leaderEpoch === right.leaderEpoch &&
    left.partitionEpoch === right.partitionEpoch &&
    equalIds(left.replicas, right.replicas) &&
    equalIds(left.inSyncReplicas, right.inSyncReplicas) &&
    equalValues(left.eligibleReplicas, right.eligibleReplicas) &&
    equalValues(left.move, right.move)
  );
}

function equalIds(left: readonly BrokerId[], right: readonly BrokerId[]): boolean {
  if (left === right) return true;
  if (left.length !== right.length) return false;
  for (let position = 0; position < left.length; position++) if (left[position] !== right[position]) return false;
  return true;
}
