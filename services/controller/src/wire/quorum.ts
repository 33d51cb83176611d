/** The quorum's report as an answer of GetConfiguration. */
import { create } from '@bufbuild/protobuf';
import {
  type GetConfigurationResponse,
  GetConfigurationResponseSchema,
  RaftPeerSchema,
  type RaftPeerStatus,
  RaftPeerStatusSchema,
} from '@fleetmq/gen/controller/raft';
import { durationToProto } from '@fleetmq/metadata/wire';
import type { ProgressState } from '@fleetmq/raft';
import type { MemberProgress, QuorumReport } from '../domain/quorum-report.ts';
import { configurationToProto } from './raft-entries.ts';

const progressNames: Readonly<Record<ProgressState, string>> = {
  StateProbe: 'probe',
  StateReplicate: 'replicate',
  StateSnapshot: 'snapshot',
};

export function quorumToProto(report: QuorumReport): GetConfigurationResponse {
  const configuration = configurationToProto(report.confState);
  configuration.peers = report.members.map(({ controllerId, diskId, host, port }) =>
    create(RaftPeerSchema, { controllerId, diskId, host, port }),
  );
  return create(GetConfigurationResponseSchema, {
    configuration,
    leaderId: report.leaderId,
    term: BigInt(report.term),
    commitIndex: BigInt(report.commitIndex),
    appliedIndex: BigInt(report.appliedIndex),
    lastIndex: BigInt(report.lastIndex),
    firstIndex: BigInt(report.firstIndex),
    peers: report.progress.map(progressToProto),
    controllerId: report.controllerId,
  });
}

function progressToProto({ controllerId, state, matchIndex, isActive, lastContactMs }: MemberProgress): RaftPeerStatus {
  return create(RaftPeerStatusSchema, {
    controllerId,
    progress: progressNames[state],
    matchIndex: BigInt(matchIndex),
    active: isActive,
    ...(lastContactMs === undefined ? {} : { lastContact: durationToProto(lastContactMs) }),
  });
}
