/** AdminService: topics, the cluster's state, moves of replicas, controllers, features. Users, access rules and quotas are not built yet. */
import { create } from '@bufbuild/protobuf';
import type { ServiceImpl } from '@connectrpc/connect';
import {
  AddControllerResponseSchema,
  AddPartitionsResponseSchema,
  AdminService,
  AlterTopicConfigResponseSchema,
  CancelReassignmentResponseSchema,
  CreateTopicResponseSchema,
  DeleteTopicResponseSchema,
  DescribeTopicResponseSchema,
  DrainBrokerResponseSchema,
  ElectLeadersResponseSchema,
  ListControllersResponseSchema,
  ListFeaturesResponseSchema,
  RemoveControllerResponseSchema,
  ReplaceControllerResponseSchema,
  StartReassignmentResponseSchema,
  TransferControllerResponseSchema,
  UpdateFeaturesResponseSchema,
} from '@fleetmq/gen/controller/admin';
import type { MetadataImage } from '@fleetmq/metadata';
import { brokerIdFromProto, checkVersion } from '@fleetmq/metadata/wire';
import { DomainError } from '@fleetmq/shared';
import { type ServiceRoutes, typedRoutes } from '@fleetmq/shared/runtime';
import type { TopicAnswer } from '../domain/view.ts';
import type { BrokerSessions } from '../shell/broker-sessions.ts';
import type { FeatureAdmin } from '../shell/feature-admin.ts';
import type { LeaderAdmin } from '../shell/leader-admin.ts';
import type { LinearReads } from '../shell/linear-reads.ts';
import type { MemberChanges } from '../shell/member-changes.ts';
import type { Quorum } from '../shell/quorum.ts';
import type { ReassignmentAdmin } from '../shell/reassignment-admin.ts';
import type { TopicAdmin } from '../shell/topic-admin.ts';
import { createTopicFromProto, topicAnswerToProto, topicConfigToProto } from '../wire/admin.ts';
import { throttleFromProto, toMap } from '../wire/commands.ts';
import {
  controllersToProto,
  describeCluster,
  type FailedOnBroker,
  failedReplicasToProto,
} from '../wire/describe-cluster.ts';
import { featuresToProto } from '../wire/features.ts';
import { electedLeaderToProto, leaderChoiceFromProto } from '../wire/leaders.ts';
import { listReassignments, plannedMoveToProto, wishFromProto } from '../wire/reassignments.ts';

export interface AdminRoutesOptions {
  readonly image: () => MetadataImage;
  readonly topics: TopicAdmin;
  readonly sessions: BrokerSessions;
  readonly reads: LinearReads;
  readonly quorum: Quorum;
  readonly members: MemberChanges;
  readonly reassignments: ReassignmentAdmin;
  readonly features: FeatureAdmin;
  readonly leaders: LeaderAdmin;
}

const noReassignment = { reassignmentId: '' };

type ControllerCalls = Pick<
  ServiceImpl<typeof AdminService>,
  'listControllers' | 'addController' | 'removeController' | 'transferController' | 'replaceController'
>;

export function adminRoutes(options: AdminRoutesOptions): ServiceRoutes {
  const { image, topics, sessions, reads, quorum, reassignments } = options;
  return typedRoutes(AdminService, {
    async createTopic(request, { signal }) {
      checkVersion(request.version);
      const answer = await topics.create(createTopicFromProto(request), { signal, validateOnly: request.validateOnly });
      return create(CreateTopicResponseSchema, {
        topic: topicAnswerToProto(answer),
        metadataVersion: BigInt(answer.version),
      });
    },
    async deleteTopic(request, { signal }) {
      checkVersion(request.version);
      const topicId = request.topicId === '' ? undefined : request.topicId;
      const version = await topics.delete({ name: request.name, topicId }, signal);
      return create(DeleteTopicResponseSchema, { metadataVersion: BigInt(version) });
    },
    async describeTopic(request, { signal }) {
      checkVersion(request.version);
      const answer = await topics.describe(request.name, signal);
      return create(DescribeTopicResponseSchema, {
        topic: topicAnswerToProto(answer),
        config: topicConfigToProto(image(), answer),
        metadataVersion: BigInt(answer.version),
        failedReplicas: failedReplicasToProto(image(), ofTopic(sessions.failedReplicas(), answer)),
      });
    },
    async alterTopicConfig(request, { signal }) {
      checkVersion(request.version);
      const change = { name: request.name, set: toMap(request.set), remove: request.remove };
      const answer = await topics.alterTopicConfig(change, { signal, validateOnly: request.validateOnly });
      return create(AlterTopicConfigResponseSchema, {
        config: topicConfigToProto(image(), answer),
        metadataVersion: BigInt(answer.version),
      });
    },
    async addPartitions(request, { signal }) {
      checkVersion(request.version);
      const plan = { name: request.name, totalCount: request.totalCount, assignments: [] };
      const answer = await topics.addPartitions(plan, { signal, validateOnly: request.validateOnly });
      return create(AddPartitionsResponseSchema, {
        topic: topicAnswerToProto(answer),
        metadataVersion: BigInt(answer.version),
      });
    },
    async describeCluster(request, { signal }) {
      checkVersion(request.version);
      await reads.read(signal);
      return describeCluster(image(), quorum.report(), sessions.failedReplicas());
    },
    async drainBroker(request, { signal }) {
      checkVersion(request.version);
      const { cancel, moveReplicas } = request;
      const brokerId = brokerIdFromProto(request.brokerId);
      if (cancel && moveReplicas) {
        throw new DomainError('INVALID_REQUEST', 'replicas that moved away stay away: cancel the reassignment instead');
      }
      // First, since it may be refused.
      const { reassignmentId } = moveReplicas
        ? await reassignments.empty(brokerId, { signal, ...throttleFromProto(request.bytesPerSecondMax) })
        : noReassignment;
      const remainingLeaders = await sessions.drain({ brokerId, cancel }, signal);
      return create(DrainBrokerResponseSchema, { remainingLeaders, reassignmentId });
    },
    ...controllerCalls(options),
    ...reassignmentCalls(options),
    ...featureCalls(options),
    async electLeaders(request, { signal }) {
      checkVersion(request.version);
      const results = await options.leaders.elect(request.choices.map(leaderChoiceFromProto), signal);
      return create(ElectLeadersResponseSchema, {
        results: results.map(electedLeaderToProto),
        metadataVersion: BigInt(image().version),
      });
    },
    upsertScramUser: () => refuse('SCRAM users'),
    deleteScramUser: () => refuse('SCRAM users'),
    listScramUsers: () => refuse('SCRAM users'),
    createAcls: () => refuse('access rules'),
    deleteAcls: () => refuse('access rules'),
    listAcls: () => refuse('access rules'),
    evaluateAcl: () => refuse('access rules'),
    setQuotas: () => refuse('quotas'),
    listQuotas: () => refuse('quotas'),
  });
}

function ofTopic(failed: readonly FailedOnBroker[], { topic }: TopicAnswer): readonly FailedOnBroker[] {
  return failed.filter(({ topicId }) => topicId === topic.topicId);
}

type ReassignmentCalls = Pick<
  ServiceImpl<typeof AdminService>,
  'listReassignments' | 'startReassignment' | 'cancelReassignment'
>;

function reassignmentCalls({ image, reads, reassignments }: AdminRoutesOptions): ReassignmentCalls {
  return {
    async listReassignments(request, { signal }) {
      checkVersion(request.version);
      await reads.read(signal);
      return listReassignments(image(), (id) => reassignments.copiedBytes(id));
    },
    async startReassignment(request, { signal }) {
      checkVersion(request.version);
      const { validateOnly } = request;
      const { reassignmentId, moves } = await reassignments.start(request.partitions.map(wishFromProto), {
        ...{ signal, validateOnly },
        ...throttleFromProto(request.bytesPerSecondMax),
      });
      return create(StartReassignmentResponseSchema, {
        reassignmentId,
        moves: moves.map(plannedMoveToProto),
        metadataVersion: BigInt(image().version),
      });
    },
    async cancelReassignment(request, { signal }) {
      checkVersion(request.version);
      const { cancelled, remaining } = await reassignments.cancel(request.reassignmentId, signal);
      return create(CancelReassignmentResponseSchema, {
        cancelledPartitions: cancelled,
        remainingPartitions: remaining,
        metadataVersion: BigInt(image().version),
      });
    },
  };
}

type FeatureCalls = Pick<ServiceImpl<typeof AdminService>, 'listFeatures' | 'updateFeatures'>;

function featureCalls({ image, features }: AdminRoutesOptions): FeatureCalls {
  return {
    async listFeatures(request, { signal }) {
      checkVersion(request.version);
      return create(ListFeaturesResponseSchema, {
        features: featuresToProto(await features.list(signal)),
        metadataVersion: BigInt(image().version),
      });
    },
    async updateFeatures(request, { signal }) {
      checkVersion(request.version);
      const { validateOnly, levels } = request;
      return create(UpdateFeaturesResponseSchema, {
        features: featuresToProto(await features.update(toMap(levels), { signal, validateOnly })),
        metadataVersion: BigInt(image().version),
      });
    },
  };
}

/** The quorum itself. */
function controllerCalls({ reads, quorum, members }: AdminRoutesOptions): ControllerCalls {
  return {
    async listControllers(request, { signal }) {
      checkVersion(request.version);
      await reads.read(signal);
      const report = quorum.report();
      return create(ListControllersResponseSchema, {
        controllers: controllersToProto(report),
        term: BigInt(report.term),
        commitIndex: BigInt(report.commitIndex),
      });
    },
    async addController(request, { signal }) {
      checkVersion(request.version);
      const controllerId = await members.add(request, signal);
      return create(AddControllerResponseSchema, { controllers: controllersToProto(quorum.report()), controllerId });
    },
    async removeController(request, { signal }) {
      checkVersion(request.version);
      await members.remove(request.controllerId, { force: request.force, signal });
      return create(RemoveControllerResponseSchema, { controllers: controllersToProto(quorum.report()) });
    },
    async replaceController(request, { signal }) {
      checkVersion(request.version);
      const controllerId = await members.replace(request, signal);
      return create(ReplaceControllerResponseSchema, {
        controllers: controllersToProto(quorum.report()),
        controllerId,
      });
    },
    async transferController(request, { signal }) {
      checkVersion(request.version);
      const { leaderId, term } = await quorum.transferLeadership(request.targetId, signal);
      return create(TransferControllerResponseSchema, { leaderId, term: BigInt(term) });
    },
  };
}

function refuse(what: string): never {
  throw new DomainError('UNIMPLEMENTED', `${what} are not built yet`);
}
