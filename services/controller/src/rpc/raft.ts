/**
 * ControllerRaftService: messages of the Raft cores as calls, and what operators ask of the quorum. AppendEntries is raw:
 * it is the call that every command waits for.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { ServiceImpl } from '@connectrpc/connect';
import {
  AddPeerResponseSchema,
  AppendEntriesRequestSchema,
  AppendEntriesResponseSchema,
  ControllerRaftService,
  InstallSnapshotResponseSchema,
  PreVoteResponseSchema,
  type RaftEnvelope,
  ReadIndexResponseSchema,
  RemovePeerResponseSchema,
  TimeoutNowResponseSchema,
  TransferControllerLeadershipResponseSchema,
  type VoteRequest,
  VoteResponseSchema,
} from '@fleetmq/gen/controller/raft';
import { checkVersion } from '@fleetmq/metadata/wire';
import { DomainError } from '@fleetmq/shared';
import { type ServiceRoutes, serviceRoutes } from '@fleetmq/shared/runtime';
import type { ClusterName } from '../shell/cluster-name.ts';
import type { LinearReads } from '../shell/linear-reads.ts';
import type { MemberChanges } from '../shell/member-changes.ts';
import type { Quorum } from '../shell/quorum.ts';
import type { RaftDriver } from '../shell/raft-driver.ts';
import type { Claim, RaftIdentity } from '../shell/raft-identity.ts';
import type { RaftInbox } from '../shell/raft-inbox.ts';
import type { SnapshotReceiver } from '../shell/snapshot-receiver.ts';
import type { Standing } from '../shell/standing.ts';
import { memberFromProto } from '../wire/membership.ts';
import { quorumToProto, reportedConfiguration } from '../wire/quorum.ts';
import * as wire from '../wire/raft-messages.ts';

export interface RaftRoutesOptions {
  readonly controllerId: number;
  readonly driver: RaftDriver;
  readonly inbox: RaftInbox;
  readonly identity: RaftIdentity;
  readonly snapshots: SnapshotReceiver;
  readonly reads: LinearReads;
  readonly quorum: Quorum;
  readonly members: MemberChanges;
  readonly standing: Standing;
  readonly clusterName: Pick<ClusterName, 'known'>;
}

export function raftRoutes(options: RaftRoutesOptions): ServiceRoutes {
  const { controllerId, driver, inbox, identity, snapshots, quorum } = options;
  const endsOf = async (envelope: RaftEnvelope | undefined, claim?: Claim): Promise<wire.Ends> => {
    const from = await identity.check(envelope, claim);
    quorum.heard(from);
    return { from, to: controllerId };
  };
  const vote = async (request: Omit<VoteRequest, '$typeName' | 'preVote'>, isPreVote: boolean, signal: AbortSignal) => {
    checkVersion(request.version);
    if (identity.isRetired(request.envelope)) {
      return { term: BigInt(driver.durableTerm), removed: true, envelope: identity.answerTo(request.envelope) };
    }
    const isAhead = quorum.isBehind(wire.lastEntryFromProto(request));
    const ends = await endsOf(request.envelope, { kind: 'candidate', isAhead });
    const answer = await inbox.ask(wire.voteFromProto(request, ends, isPreVote), { signal });
    return wire.verdict(answer, identity.answerTo(request.envelope));
  };
  return serviceRoutes(
    ControllerRaftService,
    {
      async appendEntries(bytes: Uint8Array, { signal }: { signal: AbortSignal }) {
        const request = fromBinary(AppendEntriesRequestSchema, bytes);
        checkVersion(request.version);
        const ends = await endsOf(request.envelope, { kind: 'leader' });
        const answer = await inbox.ask(wire.appendFromProto(request, ends), { signal });
        return toBinary(AppendEntriesResponseSchema, wire.appendResponse(answer, identity.answerTo(request.envelope)));
      },
    },
    {
      async requestVote(request, { signal }) {
        return create(VoteResponseSchema, await vote(request, request.preVote, signal));
      },
      async preVote(request, { signal }) {
        return create(PreVoteResponseSchema, await vote(request, true, signal));
      },
      async installSnapshot(requests, { signal }) {
        const { sender, message, receivedBytes } = await snapshots.receive(requests, signal);
        const envelope = identity.answerTo(sender);
        if (message === undefined) {
          const term = BigInt(driver.durableTerm);
          return create(InstallSnapshotResponseSchema, { term, receivedBytes: BigInt(receivedBytes), envelope });
        }
        const answer = await inbox.ask(message, { signal, timeoutMs: snapshots.answerTimeoutMs });
        return wire.snapshotResponse(answer, envelope, receivedBytes);
      },
      async timeoutNow(request) {
        checkVersion(request.version);
        const message = wire.timeoutNowFromProto(request, await endsOf(request.envelope));
        quorum.requireLeaderOfTerm(message);
        driver.step(message);
        return create(TimeoutNowResponseSchema, {
          term: BigInt(driver.durableTerm),
          envelope: identity.answerTo(request.envelope),
        });
      },
      ...operatorCalls(options),
    },
  );
}

type OperatorCalls = Pick<
  ServiceImpl<typeof ControllerRaftService>,
  'addPeer' | 'removePeer' | 'getConfiguration' | 'readIndex' | 'transferControllerLeadership'
>;

/** What is asked by others than the controllers' cores. */
function operatorCalls(options: RaftRoutesOptions): OperatorCalls {
  const { controllerId, driver, identity, reads, quorum, members, standing, clusterName } = options;
  return {
    async addPeer(request, { signal }) {
      checkVersion(request.version);
      const { peer, learnerOnly } = request;
      if (peer === undefined) throw new DomainError('INVALID_REQUEST', 'peer is missing: who is to be added?');
      await members.add({ ...memberFromProto(peer), learnerOnly }, signal);
      return create(AddPeerResponseSchema, { configuration: reportedConfiguration(quorum.report()) });
    },
    async removePeer(request, { signal }) {
      checkVersion(request.version);
      await members.remove(request.controllerId, { force: request.force, signal });
      return create(RemovePeerResponseSchema, { configuration: reportedConfiguration(quorum.report()) });
    },
    async getConfiguration(request, { signal }) {
      checkVersion(request.version);
      if (request.linearizable) await reads.read(signal);
      const { known: clusterId } = clusterName;
      return quorumToProto(quorum.report(), {
        diskId: identity.diskOf(controllerId) ?? '',
        state: standing.state,
        clusterId,
      });
    },
    async readIndex(request, { signal }) {
      checkVersion(request.version);
      if (request.envelope !== undefined) await identity.check(request.envelope);
      const index = await reads.read(signal);
      return create(ReadIndexResponseSchema, {
        index: BigInt(index),
        term: BigInt(driver.durableTerm),
        leaderId: controllerId,
      });
    },
    async transferControllerLeadership(request, { signal }) {
      checkVersion(request.version);
      const { leaderId, term } = await quorum.transferLeadership(request.targetId, signal);
      return create(TransferControllerLeadershipResponseSchema, { leaderId, term: BigInt(term) });
    },
  };
}
