/** PartitionManagementService, on internal listeners only. */
import { create } from '@bufbuild/protobuf';
import {
  AssignPartitionResponseSchema,
  GetPartitionStateResponseSchema,
  MigratePartitionProgressSchema,
  PartitionManagementService,
  RemovePartitionResponseSchema,
  UpdatePartitionConfigResponseSchema,
} from '@fleetmq/gen/broker/partition';
import { checkVersion, durationToProto, partitionToProto } from '@fleetmq/metadata/wire';
import type { BrokerId } from '@fleetmq/shared';
import { type ServiceRoutes, typedRoutes } from '@fleetmq/shared/runtime';
import { locatePartition } from '../domain/topics.ts';
import { Assignments } from '../shell/assignments.ts';
import { targetOf } from '../wire/offsets.ts';
import type { RpcContext } from './context.ts';

export function partitionRoutes(context: RpcContext): ServiceRoutes {
  const { watch, timers, image, partitions, replicator, migrations } = context;
  const assignments = new Assignments(watch, timers);
  return typedRoutes(PartitionManagementService, {
    async assignPartition(request, { signal }) {
      checkVersion(request.version);
      const command = { ...request, partition: request.partition?.partition ?? 0 };
      const version = await assignments.follow(command, signal);
      assignments.assertKnown(command.topicId, command.partition);
      return create(AssignPartitionResponseSchema, { metadataVersion: BigInt(version) });
    },
    async removePartition(request, { signal }) {
      checkVersion(request.version);
      const version = await assignments.follow(request, signal);
      return create(RemovePartitionResponseSchema, { metadataVersion: BigInt(version) });
    },
    async updatePartitionConfig(request, { signal }) {
      checkVersion(request.version);
      const version = await assignments.follow(request, signal);
      assignments.assertKnown(request.topicId, request.partition);
      return create(UpdatePartitionConfigResponseSchema, { metadataVersion: BigInt(version) });
    },
    getPartitionState(request) {
      checkVersion(request.version);
      const { topic, partition: number } = targetOf(request.topicPartition);
      const partition = locatePartition(image, topic, number);
      const replica = partitions.find(partition.topicId, number);
      const log = replica?.log;
      const leader = replica?.state.leader;
      return create(GetPartitionStateResponseSchema, {
        role: replica?.state.role ?? 'offline',
        partition: partitionToProto(partition),
        logStartOffset: BigInt(log?.startOffset ?? 0),
        highWatermark: BigInt(replica?.state.highWatermark ?? 0),
        durableEndOffset: BigInt(log?.durableEndOffset ?? 0),
        endOffset: BigInt(log?.endOffset ?? 0),
        sizeBytes: BigInt(log?.sizeBytes ?? 0),
        replicas: (leader?.replicas ?? []).map((brokerId) => ({
          brokerId,
          inSync: leader?.isr.has(brokerId) === true,
          durableEndOffset: BigInt(Math.max(0, leader?.durableEndOf(brokerId) ?? 0)),
          copiedBytes: BigInt(replica === undefined ? 0 : replicator.copiedBytesOf(replica, brokerId)),
        })),
        failure: replica?.failure?.message ?? '',
      });
    },
    async *migratePartition(request, { signal }) {
      checkVersion(request.version);
      const ask = {
        ...targetOf(request.topicPartition),
        sourceId: request.sourceId as BrokerId,
        targetId: request.targetId as BrokerId,
        bytesPerSecondMax: request.bytesPerSecondMax,
      };
      for await (const { remainingMs, copiedBytes, totalBytes, phase } of migrations.run(ask, signal)) {
        yield create(MigratePartitionProgressSchema, {
          phase,
          copiedBytes: BigInt(copiedBytes),
          totalBytes: BigInt(totalBytes),
          ...(remainingMs === undefined ? {} : { remaining: durationToProto(remainingMs) }),
        });
      }
    },
  });
}
