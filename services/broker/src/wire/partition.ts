/** A partition as the controllers state it, and as this broker shows it. */
import type { PartitionMetadata } from '@fleetmq/gen/common/metadata';
import type { Assignment } from '../domain/partition.ts';

export function assignmentFromProto(partition: PartitionMetadata): Assignment {
  const { leaderId, leaderEpoch, replicas, inSyncReplicas, partitionEpoch } = partition;
  return { leaderId, leaderEpoch, replicas, inSyncReplicas, partitionEpoch };
}
