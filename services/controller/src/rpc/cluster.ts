/** ControllerBrokerService: what brokers ask of the controllers, and the watch of the metadata. */
import { create, fromBinary } from '@bufbuild/protobuf';
import { ErrorCode } from '@fleetmq/gen/common/errors';
import {
  AllocateProducerIdsResponseSchema,
  ControllerBrokerService,
  CreatePartitionsResponseSchema,
  DeletePartitionsResponseSchema,
  GetClusterConfigResponseSchema,
  type PlannedMove,
  type ReassignPartitionsProgress,
  ReassignPartitionsProgressSchema,
  type ReassignPartitionsRequest,
  RegisterBrokerResponseSchema,
  UnregisterBrokerResponseSchema,
  UpdateClusterConfigResponseSchema,
  WatchMetadataResponseSchema,
} from '@fleetmq/gen/controller/cluster';
import { describeClusterConfig } from '@fleetmq/metadata';
import {
  brokerIdFromProto,
  checkVersion,
  configEntryToProto,
  durationToProto,
  partitionToProto,
  topicIdFromProto,
} from '@fleetmq/metadata/wire';
import { DomainError } from '@fleetmq/shared';
import { rawServerStream, type ServiceRoutes, typedRoutes } from '@fleetmq/shared/runtime';
import type { BrokerSessions } from '../shell/broker-sessions.ts';
import type { ClusterName } from '../shell/cluster-name.ts';
import type { LinearReads } from '../shell/linear-reads.ts';
import type { Proposals } from '../shell/propose.ts';
import type { ReassignmentAdmin } from '../shell/reassignment-admin.ts';
import type { TopicAdmin } from '../shell/topic-admin.ts';
import {
  addPartitionsFromProto,
  heartbeatFromProto,
  heartbeatToProto,
  producerIdCount,
  registrationFromProto,
  topicIdsMax,
} from '../wire/cluster.ts';
import { lifeFromProto, throttleFromProto, toMap, versionFromProto } from '../wire/commands.ts';
import { movesOf, plannedMoveToProto, reassignProgress, wishFromProto } from '../wire/reassignments.ts';
import { decodeRequest } from './on-lane.ts';
import { type WatchMetadataOptions, watchMetadata } from './watch-metadata.ts';

export interface ClusterRoutesOptions extends WatchMetadataOptions {
  readonly sessions: BrokerSessions;
  readonly proposals: Proposals;
  readonly topics: TopicAdmin;
  readonly reassignments: ReassignmentAdmin;
  readonly reads: LinearReads;
  readonly clusterName: ClusterName;
  readonly heartbeatIntervalMs: number;
  readonly sessionTimeoutMs: number;
}

export function clusterRoutes(options: ClusterRoutesOptions): ServiceRoutes {
  const { image, sessions, proposals, topics, reads, clusterName } = options;
  const routes = typedRoutes(ControllerBrokerService, {
    async registerBroker(request, { signal }) {
      checkVersion(request.version);
      const clusterId = clusterName.require(request.clusterId);
      const brokerEpoch = await sessions.register(registrationFromProto(request), signal);
      return create(RegisterBrokerResponseSchema, {
        clusterId,
        brokerEpoch: BigInt(brokerEpoch),
        metadataVersion: BigInt(image().version),
        heartbeatInterval: durationToProto(options.heartbeatIntervalMs),
        sessionTimeout: durationToProto(options.sessionTimeoutMs),
      });
    },
    async unregisterBroker(request, { signal }) {
      checkVersion(request.version);
      await proposals.propose({ kind: 'unregister-broker', brokerId: brokerIdFromProto(request.brokerId) }, signal);
      return create(UnregisterBrokerResponseSchema);
    },
    async heartbeatBroker(request, { signal }) {
      checkVersion(request.version);
      return heartbeatToProto(await sessions.heartbeat(heartbeatFromProto(request), signal));
    },
    async createPartitions(request, { signal }) {
      checkVersion(request.version);
      const before = image().topicByName(request.topic)?.partitionCount ?? 0;
      const call = { signal, validateOnly: request.validateOnly };
      const { partitions, version } = await topics.addPartitions(addPartitionsFromProto(request), call);
      return create(CreatePartitionsResponseSchema, {
        partitions: partitions.slice(before).map(partitionToProto),
        metadataVersion: BigInt(version),
      });
    },
    async deletePartitions(request, { signal }) {
      checkVersion(request.version);
      const { topicIds } = request;
      if (topicIds.length < 1 || topicIds.length > topicIdsMax) {
        throw new DomainError('INVALID_REQUEST', `${topicIds.length} topic ids: there must be 1 to ${topicIdsMax}`);
      }
      const existed = await topics.deleteByIds(topicIds.map(topicIdFromProto), signal);
      return create(DeletePartitionsResponseSchema, {
        results: existed.map((each) => (each ? ErrorCode.OK : ErrorCode.TOPIC_NOT_FOUND)),
        metadataVersion: BigInt(image().version),
      });
    },
    async *reassignPartitions(request, { signal }) {
      checkVersion(request.version);
      yield* reassign(options, request, signal);
    },
    async updateClusterConfig(request, { signal }) {
      checkVersion(request.version);
      const { remove } = request;
      const change = { set: toMap(request.set), remove, expectedVersion: versionFromProto(request.expectedVersion) };
      const version = await topics.alterClusterConfig(change, { signal, validateOnly: request.validateOnly });
      return create(UpdateClusterConfigResponseSchema, { metadataVersion: BigInt(version) });
    },
    async getClusterConfig(request, { signal }) {
      checkVersion(request.version);
      await reads.read(signal);
      return create(GetClusterConfigResponseSchema, {
        entries: describeClusterConfig(image().cluster).map(configEntryToProto),
        metadataVersion: BigInt(image().version),
      });
    },
    /** For those who mount the handlers without a lane. */
    async *watchMetadata(request, { signal }) {
      for await (const pieces of watchMetadata(options, request, signal)) {
        yield fromBinary(WatchMetadataResponseSchema, Buffer.concat(pieces));
      }
    },
    async allocateProducerIds(request, { signal }) {
      checkVersion(request.version);
      const count = producerIdCount(request.count);
      const block = await proposals.propose(
        { kind: 'allocate-producer-ids', ...lifeFromProto(request), count },
        signal,
      );
      return create(AllocateProducerIdsResponseSchema, { firstProducerId: block.first, count: block.count });
    },
  });
  const { watchMetadata: method } = ControllerBrokerService.method;
  const rawWatch = rawServerStream(method, (bytes, { signal }) =>
    watchMetadata(options, decodeRequest(method, bytes), signal),
  );
  return { ...routes, raw: [rawWatch] };
}

/** Begins moves, joins a watch of running ones, or takes them back; in the end all three watch. */
async function* reassign(
  { image, reassignments, stopping }: ClusterRoutesOptions,
  request: ReassignPartitionsRequest,
  signal: AbortSignal,
): AsyncGenerator<ReassignPartitionsProgress> {
  const { validateOnly, cancel, partitions } = request;
  let { reassignmentId } = request;
  if ((reassignmentId === '') === (partitions.length === 0)) {
    throw new DomainError('INVALID_REQUEST', 'either partitions or the reassignment_id of a running one must be given');
  }
  let moves: PlannedMove[] | undefined;
  if (partitions.length > 0) {
    const started = await reassignments.start(partitions.map(wishFromProto), {
      ...{ signal, validateOnly },
      ...throttleFromProto(request.bytesPerSecondMax),
    });
    moves = started.moves.map(plannedMoveToProto);
    ({ reassignmentId } = started);
    if (reassignmentId === '') {
      yield create(ReassignPartitionsProgressSchema, { totalPartitions: moves.length, moves, ended: true });
      return;
    }
  } else if (cancel) await reassignments.cancel(reassignmentId, signal);
  for await (const now of reassignments.watch(reassignmentId, AbortSignal.any([signal, stopping]))) {
    yield reassignProgress(now, moves ?? movesOf(image(), reassignmentId));
    moves = [];
  }
}
