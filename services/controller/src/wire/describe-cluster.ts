/** The cluster's state as an answer of DescribeCluster. */
import { create } from '@bufbuild/protobuf';
import {
  type ControllerStatus,
  ControllerStatusSchema,
  type DescribeClusterResponse,
  DescribeClusterResponseSchema,
  type FailedReplica as FailedMessage,
  FailedReplicaSchema,
} from '@fleetmq/gen/controller/admin';
import { compareText, type MetadataImage, noBroker } from '@fleetmq/metadata';
import { brokerToProto, durationToProto } from '@fleetmq/metadata/wire';
import type { BrokerId } from '@fleetmq/shared';
import type { FailedReplica } from '../domain/heartbeat.ts';
import type { QuorumReport } from '../domain/quorum-report.ts';
import { progressNames } from './quorum.ts';

export function describeCluster(
  image: MetadataImage,
  quorum: QuorumReport,
  failed: readonly FailedOnBroker[],
): DescribeClusterResponse {
  let offlinePartitionCount = 0;
  let underReplicatedPartitionCount = 0;
  for (const { topicId } of image.topics()) {
    for (const { leaderId, replicas, inSyncReplicas } of image.partitions(topicId)) {
      if (leaderId === noBroker) offlinePartitionCount++;
      if (inSyncReplicas.length < replicas.length) underReplicatedPartitionCount++;
    }
  }
  return create(DescribeClusterResponseSchema, {
    clusterId: image.cluster.clusterId,
    controllers: controllersToProto(quorum),
    brokers: image.brokers().map((broker) => brokerToProto(broker, 'client')),
    term: BigInt(quorum.term),
    commitIndex: BigInt(quorum.commitIndex),
    topicCount: image.topicCount,
    partitionCount: image.partitionCount,
    offlinePartitionCount,
    underReplicatedPartitionCount,
    metadataVersion: BigInt(image.version),
    failedReplicas: failedReplicasToProto(image, failed),
  });
}

export type FailedOnBroker = FailedReplica & { readonly brokerId: BrokerId };

/** By topic, partition and broker; those that are replicas still. */
export function failedReplicasToProto(image: MetadataImage, failed: readonly FailedOnBroker[]): FailedMessage[] {
  const named = failed.flatMap(({ topicId, partition, brokerId, reason }) => {
    const topic = image.topicById(topicId)?.name;
    const isReplica = image.partition(topicId, partition)?.replicas.includes(brokerId) === true;
    return topic === undefined || !isReplica ? [] : [{ topicPartition: { topic, partition }, brokerId, reason }];
  });
  named.sort(
    (left, right) =>
      compareText(left.topicPartition.topic, right.topicPartition.topic) ||
      left.topicPartition.partition - right.topicPartition.partition ||
      left.brokerId - right.brokerId,
  );
  return named.slice(0, failedMax).map((each) => create(FailedReplicaSchema, each));
}

const failedMax = 10_000;

/** By id. */
export function controllersToProto({ members, progress }: QuorumReport): ControllerStatus[] {
  return members.map((member) => {
    const known = progress.find((each) => each.controllerId === member.controllerId);
    return create(ControllerStatusSchema, {
      controllerId: member.controllerId,
      host: member.host,
      port: member.port,
      leader: member.isLeader,
      voter: member.isVoter,
      active: member.isActive,
      matchIndex: BigInt(member.matchIndex),
      diskId: member.diskId,
      promoting: member.isPromoting,
      progress: known === undefined || member.isLeader ? '' : progressNames[known.state],
      ...(known?.lastContactMs === undefined || member.isLeader
        ? {}
        : { lastContact: durationToProto(known.lastContactMs) }),
    });
  });
}
