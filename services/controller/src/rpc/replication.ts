/**
 * The calls of BrokerReplicationService that controllers decide: UpdateISR, GetISR, TransferLeadership. What the state
 * machine refuses is answered in the body, with the partition as it is, so that a leader with old epochs learns the new ones.
 */
import { create } from '@bufbuild/protobuf';
import {
  BrokerReplicationService,
  GetISRResponseSchema,
  TransferLeadershipResponseSchema,
  UpdateISRResponseSchema,
} from '@fleetmq/gen/broker/replication';
import type { MetadataImage } from '@fleetmq/metadata';
import { checkVersion, inBand, partitionToProto } from '@fleetmq/metadata/wire';
import { type BrokerId, DomainError, type LeaderEpoch, type TopicId } from '@fleetmq/shared';
import { type ServiceRoutes, typedRoutes } from '@fleetmq/shared/runtime';
import { requirePartition } from '../domain/apply-partitions.ts';
import { requireTopicByName } from '../domain/plan.ts';
import type { LeaderView } from '../shell/leader-view.ts';
import type { Proposals } from '../shell/propose.ts';
import { topicPartitionFromProto } from '../wire/admin.ts';
import { changeIsrFromProto } from '../wire/commands.ts';

export interface ReplicationRoutesOptions {
  readonly image: () => MetadataImage;
  readonly proposals: Proposals;
  readonly leader: LeaderView;
}

export function replicationRoutes({ image, proposals, leader }: ReplicationRoutesOptions): ServiceRoutes {
  /** As it is now; absent when there is no such partition. */
  const current = (topicId: TopicId, number: number) => {
    const partition = image().partition(topicId, number);
    return partition === undefined ? {} : { partition: partitionToProto(partition) };
  };
  return typedRoutes(BrokerReplicationService, {
    async updateISR(request, { signal }) {
      checkVersion(request.version);
      const command = changeIsrFromProto(request);
      const outcome = await proposals.submit(command, signal);
      const refusal = 'error' in outcome ? inBand(outcome.error.code, outcome.error.message) : {};
      const state =
        'error' in outcome
          ? current(command.topicId, command.partition)
          : { partition: partitionToProto(outcome.result) };
      return create(UpdateISRResponseSchema, { ...refusal, ...state, metadataVersion: BigInt(image().version) });
    },
    async getISR(request, { signal }) {
      checkVersion(request.version);
      const asked = topicPartitionFromProto(request.topicPartition);
      const now = await leader.confirmed(signal);
      const { topicId } = requireTopicByName(now, asked.topic);
      const { partition } = requirePartition(now, topicId, asked.partition);
      const replicas = partition.replicas.map((brokerId) => ({
        brokerId,
        inSync: partition.inSyncReplicas.includes(brokerId),
      }));
      return create(GetISRResponseSchema, { partition: partitionToProto(partition), replicas });
    },
    async transferLeadership(request, { signal }) {
      checkVersion(request.version);
      const asked = topicPartitionFromProto(request.topicPartition);
      const { topicId } = await leader.plan({ signal, validateOnly: false }, (image) =>
        requireTopicByName(image, asked.topic),
      );
      const leaderEpoch = request.leaderEpoch === 0 ? undefined : (request.leaderEpoch as LeaderEpoch);
      const targetId = request.targetId as BrokerId;
      const { partition } = asked;
      const outcome = await proposals.submit(
        { kind: 'elect-leader', topicId, partition, targetId, leaderEpoch },
        signal,
      );
      if ('error' in outcome) {
        const { code, message } = outcome.error;
        return create(TransferLeadershipResponseSchema, { ...inBand(code, message), ...current(topicId, partition) });
      }
      return create(TransferLeadershipResponseSchema, { partition: partitionToProto(outcome.result) });
    },
    replicateData: () => refuse('ReplicateData'),
    replicateStream: () => refuse('ReplicateStream'),
    sendHeartbeat: () => refuse('SendHeartbeat'),
    getLeaderEpoch: () => refuse('GetLeaderEpoch'),
  });
}

function refuse(name: string): never {
  throw new DomainError('UNIMPLEMENTED', `${name} is a call between brokers: a controller has no records`);
}
