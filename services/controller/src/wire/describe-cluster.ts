/** The cluster's state as an answer of DescribeCluster. */
import { create } from '@bufbuild/protobuf';
import { type DescribeClusterResponse, DescribeClusterResponseSchema } from '@fleetmq/gen/controller/admin';
import { type MetadataImage, noBroker } from '@fleetmq/metadata';
import { brokerToProto } from '@fleetmq/metadata/wire';
import type { QuorumReport } from '../domain/quorum-report.ts';

export function describeCluster(image: MetadataImage, quorum: QuorumReport): DescribeClusterResponse {
  let partitionCount = 0;
  let offlinePartitionCount = 0;
  let underReplicatedPartitionCount = 0;
  for (const { topicId } of image.topics()) {
    for (const { leaderId, replicas, inSyncReplicas } of image.partitions(topicId)) {
      partitionCount++;
      if (leaderId === noBroker) offlinePartitionCount++;
      if (inSyncReplicas.length < replicas.length) underReplicatedPartitionCount++;
    }
  }
  return create(DescribeClusterResponseSchema, {
    clusterId: image.cluster.clusterId,
    controllers: quorum.members.map((member) => ({
      controllerId: member.controllerId,
      host: member.host,
      port: member.port,
      leader: member.isLeader,
      voter: member.isVoter,
      active: member.isActive,
      matchIndex: BigInt(member.matchIndex),
    })),
    brokers: image.brokers().map((broker) => brokerToProto(broker, 'client')),
    term: BigInt(quorum.term),
    commitIndex: BigInt(quorum.commitIndex),
    topicCount: image.topics().length,
    partitionCount,
    offlinePartitionCount,
    underReplicatedPartitionCount,
    metadataVersion: BigInt(image.version),
  });
}
