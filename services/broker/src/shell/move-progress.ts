/**
 * Moves of partitions whose leader this broker is: how fast they may go, and how far they have come, which it alone knows. For
 * replication, for the heartbeat to the controllers, and for whoever waits for a move.
 */
import { addingReplicas, type MetadataImage, type PartitionImage } from '@fleetmq/metadata';
import type { BrokerId, TopicId } from '@fleetmq/shared';
import type { MoveLimit } from './catch-up-throttles.ts';
import type { Partitions } from './partitions.ts';
import type { Replica } from './replica.ts';
import type { Replicator } from './replicator.ts';

export interface MoveProgress {
  readonly topicId: string;
  readonly partition: number;
  /** What the replicas that the move brings have of the log, summed up. */
  readonly copiedBytes: number;
  /** Of the log as it is now, once for each of them. */
  readonly totalBytes: number;
}

export interface MoveProgressContext {
  readonly image: MetadataImage;
  readonly partitions: Partitions;
  readonly replicator: Pick<Replicator, 'copiedBytesOf'>;
}

/** Of all partitions that move and are led here, by topic id and number. */
export function moveProgress(context: MoveProgressContext): MoveProgress[] {
  return context.image
    .movingPartitions()
    .map((partition) => progressOf(partition, context))
    .filter((progress) => progress !== undefined);
}

/** The bound of the move that brings this follower to the partition; undefined when there is none. */
export function moveLimit(
  image: MetadataImage,
  { topicId, partition }: Pick<Replica, 'topicId' | 'partition'>,
  followerId: BrokerId,
): MoveLimit | undefined {
  const moving = image.partition(topicId as TopicId, partition);
  if (moving?.move === undefined || !addingReplicas(moving).includes(followerId)) return undefined;
  const { reassignmentId } = moving.move;
  const bytesPerSecond = image.reassignment(reassignmentId)?.bytesPerSecondMax;
  return bytesPerSecond === undefined ? undefined : { key: reassignmentId, bytesPerSecond };
}

function progressOf(moving: PartitionImage, context: MoveProgressContext): MoveProgress | undefined {
  const { topicId, partition } = moving;
  const replica = context.partitions.find(topicId, partition);
  if (replica?.log === undefined || replica.state.leader === undefined) return undefined;
  const adding = addingReplicas(moving);
  const copied = adding.map((brokerId) => context.replicator.copiedBytesOf(replica, brokerId));
  return {
    ...{ topicId, partition },
    copiedBytes: copied.reduce((sum, bytes) => sum + bytes, 0),
    totalBytes: replica.log.sizeBytes * adding.length,
  };
}
