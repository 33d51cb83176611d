/** The quorum's report as an answer of GetConfiguration. */
import { create } from '@bufbuild/protobuf';
import {
  type GetConfigurationResponse,
  GetConfigurationResponseSchema,
  type RaftConfiguration,
  type RaftPeerStatus,
  RaftPeerStatusSchema,
} from '@fleetmq/gen/controller/raft';
import { supportedFeatures } from '@fleetmq/metadata';
import { durationToProto } from '@fleetmq/metadata/wire';
import type { ProgressState } from '@fleetmq/raft';
import type { MemberProgress, QuorumReport } from '../domain/quorum-report.ts';
import { memberToProto } from './membership.ts';
import { configurationToProto } from './raft-entries.ts';

export const progressNames: Readonly<Record<ProgressState, string>> = {
  StateProbe: 'probe',
  StateReplicate: 'replicate',
  StateSnapshot: 'snapshot',
};

/** What a node says of itself beside its quorum. */
export interface OwnState {
  readonly diskId: string;
  readonly state: string;
  readonly clusterId: string;
}

export function quorumToProto(report: QuorumReport, own: OwnState): GetConfigurationResponse {
  return create(GetConfigurationResponseSchema, {
    configuration: reportedConfiguration(report),
    leaderId: report.leaderId,
    term: BigInt(report.term),
    commitIndex: BigInt(report.commitIndex),
    appliedIndex: BigInt(report.appliedIndex),
    lastIndex: BigInt(report.lastIndex),
    firstIndex: BigInt(report.firstIndex),
    peers: report.progress.map((each) => progressToProto(each, report.members)),
    controllerId: report.controllerId,
    features: Object.fromEntries(supportedFeatures),
    ...own,
  });
}

/** With everybody's address and disk. */
export function reportedConfiguration({ confState, members }: QuorumReport): RaftConfiguration {
  const configuration = configurationToProto(confState);
  configuration.peers = members.map(memberToProto);
  return configuration;
}

function progressToProto(progress: MemberProgress, members: QuorumReport['members']): RaftPeerStatus {
  const { controllerId, state, matchIndex, isActive, lastContactMs } = progress;
  return create(RaftPeerStatusSchema, {
    controllerId,
    progress: progressNames[state],
    matchIndex: BigInt(matchIndex),
    active: isActive,
    promoting: members.some((each) => each.controllerId === controllerId && each.isPromoting),
    ...(lastContactMs === undefined ? {} : { lastContact: durationToProto(lastContactMs) }),
  });
}
