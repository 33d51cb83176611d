/** AdminService: topics, the cluster's state, draining, controllers. Users, access rules, quotas and moves of replicas are not built yet. */
import { create } from '@bufbuild/protobuf';
import type { ServiceImpl } from '@connectrpc/connect';
import {
  AddControllerResponseSchema,
  AddPartitionsResponseSchema,
  AdminService,
  AlterTopicConfigResponseSchema,
  CreateTopicResponseSchema,
  DeleteTopicResponseSchema,
  DescribeTopicResponseSchema,
  DrainBrokerResponseSchema,
  ListControllersResponseSchema,
  RemoveControllerResponseSchema,
  TransferControllerResponseSchema,
} from '@fleetmq/gen/controller/admin';
import type { MetadataImage } from '@fleetmq/metadata';
import { brokerIdFromProto, checkVersion } from '@fleetmq/metadata/wire';
import { DomainError } from '@fleetmq/shared';
import { type ServiceRoutes, typedRoutes } from '@fleetmq/shared/runtime';
import type { BrokerSessions } from '../shell/broker-sessions.ts';
import type { LinearReads } from '../shell/linear-reads.ts';
import type { MemberChanges } from '../shell/member-changes.ts';
import type { Quorum } from '../shell/quorum.ts';
import type { TopicAdmin } from '../shell/topic-admin.ts';
import { createTopicFromProto, topicAnswerToProto, topicConfigToProto } from '../wire/admin.ts';
import { toMap } from '../wire/commands.ts';
import { controllersToProto, describeCluster } from '../wire/describe-cluster.ts';

export interface AdminRoutesOptions {
  readonly image: () => MetadataImage;
  readonly topics: TopicAdmin;
  readonly sessions: BrokerSessions;
  readonly reads: LinearReads;
  readonly quorum: Quorum;
  readonly members: MemberChanges;
}

type ControllerCalls = Pick<
  ServiceImpl<typeof AdminService>,
  'listControllers' | 'addController' | 'removeController' | 'transferController'
>;

export function adminRoutes(options: AdminRoutesOptions): ServiceRoutes {
  const { image, topics, sessions, reads, quorum } = options;
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
      return describeCluster(image(), quorum.report());
    },
    async drainBroker(request, { signal }) {
      checkVersion(request.version);
      if (request.moveReplicas) throw new DomainError('UNIMPLEMENTED', 'replicas cannot be moved to other brokers yet');
      const target = { brokerId: brokerIdFromProto(request.brokerId), cancel: request.cancel };
      return create(DrainBrokerResponseSchema, { remainingLeaders: await sessions.drain(target, signal) });
    },
    ...controllerCalls(options),
    listReassignments: () => refuse('moves of replicas'),
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
