/** Requests and answers of AdminService, and of the calls of BrokerReplicationService that controllers serve. */
import { create } from '@bufbuild/protobuf';
import type { UpdateISRRequest } from '@fleetmq/gen/broker/replication';
import { type ConfigEntry, type TopicMetadata, TopicMetadataSchema } from '@fleetmq/gen/common/metadata';
import type { TopicPartition as TopicPartitionMessage } from '@fleetmq/gen/common/types';
import type { CreateTopicRequest } from '@fleetmq/gen/controller/admin';
import { describeTopicConfig, type MetadataImage } from '@fleetmq/metadata';
import { configEntryToProto, partitionToProto, topicIdFromProto } from '@fleetmq/metadata/wire';
import {
  DomainError,
  type LeaderEpoch,
  type PartitionEpoch,
  type PartitionId,
  type TopicPartition,
} from '@fleetmq/shared';
import type { ChangeIsr } from '../domain/commands.ts';
import type { CreateTopicPlan } from '../domain/plan.ts';
import type { TopicAnswer } from '../domain/view.ts';
import { assignmentFromProto, lifeFromProto, toMap } from './commands.ts';

export function createTopicFromProto(request: CreateTopicRequest): Omit<CreateTopicPlan, 'topicId'> {
  const { name, partitionCount, replicationFactor, config, assignments } = request;
  return {
    name,
    partitionCount: partitionCount === 0 ? undefined : partitionCount,
    replicationFactor: replicationFactor === 0 ? undefined : replicationFactor,
    config: toMap(config),
    assignments: assignments.map(assignmentFromProto),
  };
}

export function topicAnswerToProto({ topic, partitions }: TopicAnswer): TopicMetadata {
  return create(TopicMetadataSchema, {
    name: topic.name,
    topicId: topic.topicId,
    partitions: partitions.map(partitionToProto),
    internal: topic.internal,
    config: Object.fromEntries(topic.config),
  });
}

/** All settings of the topic with their sources, by name. */
export function topicConfigToProto(image: MetadataImage, { topic, partitions }: TopicAnswer): ConfigEntry[] {
  const replicationFactor = partitions[0]?.replicas.length ?? 0;
  return describeTopicConfig(topic, image.cluster, replicationFactor).map(configEntryToProto);
}

export function changeIsrFromProto(request: UpdateISRRequest): ChangeIsr {
  return {
    kind: 'change-isr',
    ...lifeFromProto(request),
    topicId: topicIdFromProto(request.topicId),
    partition: request.partition as PartitionId,
    leaderEpoch: request.leaderEpoch as LeaderEpoch,
    partitionEpoch: request.partitionEpoch as PartitionEpoch,
    inSyncReplicas: request.inSyncReplicas.map(lifeFromProto),
  };
}

/** INVALID_REQUEST when it is missing. */
export function topicPartitionFromProto(message: TopicPartitionMessage | undefined): TopicPartition {
  if (message === undefined) throw new DomainError('INVALID_REQUEST', 'topic_partition is missing');
  return { topic: message.topic, partition: message.partition as PartitionId };
}
