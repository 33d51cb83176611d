/**
 * ControllerRaftService: messages of the Raft cores as calls, and what operators ask of the quorum. AppendEntries is raw:
 * it is the call that every command waits for.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  AppendEntriesRequestSchema,
  AppendEntriesResponseSchema,
  ControllerRaftService,
  type RaftEnvelope,
  ReadIndexResponseSchema,
  TimeoutNowResponseSchema,
  TransferControllerLeadershipResponseSchema,
  type VoteRequest,
} from '@fleetmq/gen/controller/raft';
import { checkVersion } from '@fleetmq/metadata/wire';
import { DomainError } from '@fleetmq/shared';
import { type ServiceRoutes, serviceRoutes } from '@fleetmq/shared/runtime';
import type { LinearReads } from '../shell/linear-reads.ts';
import type { Quorum } from '../shell/quorum.ts';
import type { RaftDriver } from '../shell/raft-driver.ts';
import type { RaftIdentity } from '../shell/raft-identity.ts';
import type { RaftInbox } from '../shell/raft-inbox.ts';
import type { SnapshotReceiver } from '../shell/snapshot-receiver.ts';
import { quorumToProto } from '../wire/quorum.ts';
import * as wire from '../wire/raft-messages.ts';

export interface RaftRoutesOptions {
  readonly controllerId: number;
  readonly driver: RaftDriver;
  readonly inbox: RaftInbox;
  readonly identity: RaftIdentity;
  readonly snapshots: SnapshotReceiver;
  readonly reads: LinearReads;
  readonly quorum: Quorum;
}

export function raftRoutes(options: RaftRoutesOptions): ServiceRoutes {
  const { controllerId, driver, inbox, identity, snapshots, reads, quorum } = options;
  const endsOf = async (envelope: RaftEnvelope | undefined): Promise<wire.Ends> => {
    return { from: await identity.check(envelope), to: controllerId };
  };
  const vote = async (request: Omit<VoteRequest, '$typeName' | 'preVote'>, isPreVote: boolean, signal: AbortSignal) => {
    checkVersion(request.version);
    const ends = await endsOf(request.envelope);
    return inbox.ask(wire.voteFromProto(request, ends, isPreVote), { signal });
  };
  const back = (answer: wire.RaftMessage): RaftEnvelope => identity.envelopeFor(answer.to);
  return serviceRoutes(
    ControllerRaftService,
    {
      async appendEntries(bytes: Uint8Array, { signal }: { signal: AbortSignal }) {
        const request = fromBinary(AppendEntriesRequestSchema, bytes);
        checkVersion(request.version);
        const ends = await endsOf(request.envelope);
        const answer = await inbox.ask(wire.appendFromProto(request, ends), { signal });
        return toBinary(AppendEntriesResponseSchema, wire.appendResponse(answer, back(answer)));
      },
    },
    {
      async requestVote(request, { signal }) {
        const answer = await vote(request, request.preVote, signal);
        return wire.voteResponse(answer, back(answer));
      },
      async preVote(request, { signal }) {
        const answer = await vote(request, true, signal);
        return wire.preVoteResponse(answer, back(answer));
      },
      async installSnapshot(requests, { signal }) {
        const { message, receivedBytes } = await snapshots.receive(requests, signal);
        const answer = await inbox.ask(message, { signal, timeoutMs: snapshots.answerTimeoutMs });
        return wire.snapshotResponse(answer, back(answer), receivedBytes);
      },
      async timeoutNow(request) {
        checkVersion(request.version);
        const message = wire.timeoutNowFromProto(request, await endsOf(request.envelope));
        quorum.requireLeaderOfTerm(message);
        driver.step(message);
        return create(TimeoutNowResponseSchema, {
          term: BigInt(driver.status().term),
          envelope: identity.envelopeFor(message.from),
        });
      },
      addPeer: () => refuse('controllers cannot be added yet: quorum.peers names them all'),
      removePeer: () => refuse('controllers cannot be removed yet: quorum.peers names them all'),
      async getConfiguration(request, { signal }) {
        checkVersion(request.version);
        if (request.linearizable) await reads.read(signal);
        return quorumToProto(quorum.report());
      },
      async readIndex(request, { signal }) {
        checkVersion(request.version);
        if (request.envelope !== undefined) await identity.check(request.envelope);
        const index = await reads.read(signal);
        return create(ReadIndexResponseSchema, {
          index: BigInt(index),
          term: BigInt(driver.status().term),
          leaderId: controllerId,
        });
      },
      async transferControllerLeadership(request, { signal }) {
        checkVersion(request.version);
        const { leaderId, term } = await quorum.transferLeadership(request.targetId, signal);
        return create(TransferControllerLeadershipResponseSchema, { leaderId, term: BigInt(term) });
      },
    },
  );
}

function refuse(text: string): never {
  throw new DomainError('UNIMPLEMENTED', text);
}
