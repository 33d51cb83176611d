/** Wishes about who leads, and what became of them: messages <-> values. */
import { create } from '@bufbuild/protobuf';
import {
  type LeaderChoice as ChoiceMessage,
  ElectedLeaderSchema,
  type ElectedLeader as ElectedMessage,
} from '@fleetmq/gen/controller/admin';
import { inBand } from '@fleetmq/metadata/wire';
import type { BrokerId } from '@fleetmq/shared';
import type { ElectedLeader, LeaderChoice } from '../domain/balance.ts';
import { topicPartitionFromProto } from './admin.ts';

export function leaderChoiceFromProto({ topicPartition, targetId }: ChoiceMessage): LeaderChoice {
  return { topicPartition: topicPartitionFromProto(topicPartition), targetId: targetId as BrokerId };
}

export function electedLeaderToProto({ topicPartition, oldLeaderId, leaderId, error }: ElectedLeader): ElectedMessage {
  const { topic, partition } = topicPartition;
  return create(ElectedLeaderSchema, {
    topicPartition: { topic, partition },
    oldLeaderId,
    leaderId,
    ...(error === undefined ? {} : inBand(error.code, error.message)),
  });
}
