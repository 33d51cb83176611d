/** Requests and answers of AdminService, and of the calls of BrokerReplicationService that controllers serve. */
import { create } from '@bufbuild/protobuf';
import { type ConfigEntry, type TopicMetadata, TopicMetadataSchema } from '@fleetmq/gen/common/metadata';
import type { TopicPartition as TopicPartitionMessage } from '@fleetmq/gen/common/types';
import type { CreateTopicRequest } from '@fleetmq/gen/controller/admin';
import { describeTopicConfig, type MetadataImage, replicationFactorOf } from '@fleetmq/metadata';
import { configEntryToProto, partitionToProto } from '@fleetmq/metadata/wire';
import { DomainError, type PartitionId, type TopicPartition } from '@fleetmq/shared';
import type { CreateTopicPlan } from '../domain/plan.ts';
import type { TopicAnswer } from '../domain/view.ts';
import { assignmentFromProto, toMap } from './commands.ts';

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
  const replicationFactor = partitions[0] === undefined ? 0 : replicationFactorOf(partitions[0]);
  return describeTopicConfig(topic, image.cluster, replicationFactor).map(configEntryToProto);
}

/** INVALID_REQUEST when it is missing. */
export function topicPartitionFromProto(message: TopicPartitionMessage | undefined): TopicPartition {
  if (message === undefined) throw new DomainError('INVALID_REQUEST', 'topic_partition is missing');
  return { topic: message.topic, partition: message.partition as PartitionId };
}
