/**
 * Messages between Raft cores <-> requests and answers of ControllerRaftService, both ways. A request and its answer carry
 * all that the core's messages have; what a kind of message does not use is not carried.
 * Identities (cluster, sender, target, disk) are the envelope's, which `shell/raft-identity.ts` checks.
 */
import { create } from '@bufbuild/protobuf';
import {
  type AppendEntriesRequest,
  AppendEntriesRequestSchema,
  type AppendEntriesResponse,
  AppendEntriesResponseSchema,
  type InstallSnapshotResponse,
  InstallSnapshotResponseSchema,
  type PreVoteRequest,
  PreVoteRequestSchema,
  type PreVoteResponse,
  type RaftEnvelope,
  type TimeoutNowRequest,
  TimeoutNowRequestSchema,
  type VoteRequest,
  VoteRequestSchema,
  type VoteResponse,
} from '@fleetmq/gen/controller/raft';
import { apiVersion } from '@fleetmq/metadata';
import { createMessage, type EntryId, type Message } from '@fleetmq/raft';
import { type LogIndex, type Term, toSafeInteger, WireReader, WireWriter } from '@fleetmq/shared';
import { entryFromProto, entryToProto } from './raft-entries.ts';

/** Between which two controllers a message goes. */
export interface Ends {
  readonly from: number;
  readonly to: number;
}

/** MsgVote. */
export function voteRequest(message: Message, envelope: RaftEnvelope): VoteRequest {
  return create(VoteRequestSchema, { ...candidacy(message, envelope), preVote: false });
}

/** MsgPreVote. */
export function preVoteRequest(message: Message, envelope: RaftEnvelope): PreVoteRequest {
  return create(PreVoteRequestSchema, candidacy(message, envelope));
}

/** Both doors of a vote: RequestVote (with pre_vote: a pre-vote) and PreVote. */
export function voteFromProto(
  request: Pick<VoteRequest, 'term' | 'lastLogIndex' | 'lastLogTerm' | 'leadershipTransfer'>,
  ends: Ends,
  isPreVote: boolean,
): Message {
  return createMessage(isPreVote ? 'MsgPreVote' : 'MsgVote', {
    ...ends,
    term: toTerm(request.term),
    index: toIndex(request.lastLogIndex),
    logTerm: toTerm(request.lastLogTerm),
    transfer: request.leadershipTransfer,
  });
}

/** The end of the candidate's log. */
export function lastEntryFromProto(request: Pick<VoteRequest, 'lastLogIndex' | 'lastLogTerm'>): EntryId {
  return { index: toIndex(request.lastLogIndex), term: toTerm(request.lastLogTerm) };
}

export function voteResponseFromProto(
  response: Pick<VoteResponse | PreVoteResponse, 'term' | 'voteGranted' | 'committedIndex' | 'committedTerm'>,
  ends: Ends,
  isPreVote: boolean,
): Message {
  const { term, voteGranted, committedIndex, committedTerm } = response;
  const committedEntry =
    committedIndex === 0n ? undefined : { index: toIndex(committedIndex), term: toTerm(committedTerm) };
  const type = isPreVote ? 'MsgPreVoteResp' : 'MsgVoteResp';
  return createMessage(type, { ...ends, term: toTerm(term), reject: !voteGranted, committedEntry });
}

/** MsgApp or MsgHeartbeat. */
export function appendRequest(message: Message, envelope: RaftEnvelope): AppendEntriesRequest {
  const isHeartbeat = message.type === 'MsgHeartbeat';
  return create(AppendEntriesRequestSchema, {
    term: BigInt(message.term),
    leaderId: String(message.from),
    prevLogIndex: BigInt(message.index),
    prevLogTerm: BigInt(message.logTerm),
    entries: message.entries.map(entryToProto),
    leaderCommit: BigInt(message.commit),
    envelope,
    heartbeat: isHeartbeat,
    readContext: encodeSequence(message.readSequence),
    version: apiVersion,
  });
}

export function appendFromProto(request: AppendEntriesRequest, ends: Ends): Message {
  const common = { ...ends, term: toTerm(request.term), commit: toIndex(request.leaderCommit) };
  if (request.heartbeat) {
    return createMessage('MsgHeartbeat', { ...common, readSequence: decodeSequence(request.readContext) });
  }
  return createMessage('MsgApp', {
    ...common,
    index: toIndex(request.prevLogIndex),
    logTerm: toTerm(request.prevLogTerm),
    entries: request.entries.map(entryFromProto),
  });
}

/** MsgAppResp or MsgHeartbeatResp. */
export function appendResponse(answer: Message, envelope: RaftEnvelope): AppendEntriesResponse {
  return create(AppendEntriesResponseSchema, {
    term: BigInt(answer.term),
    success: !answer.reject,
    matchIndex: BigInt(answer.index),
    nextIndex: answer.reject ? BigInt(answer.rejectHint + 1) : 0n,
    hintTerm: BigInt(answer.logTerm),
    envelope,
    heartbeat: answer.type === 'MsgHeartbeatResp',
    readContext: encodeSequence(answer.readSequence),
  });
}

export function appendResponseFromProto(response: AppendEntriesResponse, ends: Ends): Message {
  const common = { ...ends, term: toTerm(response.term) };
  if (response.heartbeat) {
    return createMessage('MsgHeartbeatResp', { ...common, readSequence: decodeSequence(response.readContext) });
  }
  const reject = !response.success;
  return createMessage('MsgAppResp', {
    ...common,
    index: toIndex(response.matchIndex),
    reject,
    logTerm: toTerm(response.hintTerm),
    rejectHint: (reject ? Math.max(0, toIndex(response.nextIndex) - 1) : 0) as LogIndex,
  });
}

/** MsgTimeoutNow. */
export function timeoutNowRequest(message: Message, envelope: RaftEnvelope): TimeoutNowRequest {
  const leaderId = String(message.from);
  return create(TimeoutNowRequestSchema, { term: BigInt(message.term), leaderId, envelope, version: apiVersion });
}

export function timeoutNowFromProto(request: TimeoutNowRequest, ends: Ends): Message {
  return createMessage('MsgTimeoutNow', { ...ends, term: toTerm(request.term) });
}

/** The MsgAppResp that answers a snapshot. */
export function snapshotResponse(answer: Message, envelope: RaftEnvelope, received: number): InstallSnapshotResponse {
  return create(InstallSnapshotResponseSchema, {
    term: BigInt(answer.term),
    success: !answer.reject,
    matchIndex: BigInt(answer.index),
    envelope,
    receivedBytes: BigInt(received),
  });
}

export function snapshotResponseFromProto(response: InstallSnapshotResponse, ends: Ends): Message {
  return createMessage('MsgAppResp', {
    ...ends,
    term: toTerm(response.term),
    index: toIndex(response.matchIndex),
    reject: !response.success,
  });
}

export function toTerm(value: bigint): Term {
  return toSafeInteger<Term>(value, 'term');
}

export function toIndex(value: bigint): LogIndex {
  return toSafeInteger<LogIndex>(value, 'log index');
}

export interface Verdict {
  readonly term: bigint;
  readonly voteGranted: boolean;
  readonly envelope: RaftEnvelope;
  readonly committedIndex: bigint;
  readonly committedTerm: bigint;
}

function candidacy(message: Message, envelope: RaftEnvelope) {
  return {
    term: BigInt(message.term),
    candidateId: String(message.from),
    lastLogIndex: BigInt(message.index),
    lastLogTerm: BigInt(message.logTerm),
    leadershipTransfer: message.transfer,
    envelope,
    version: apiVersion,
  };
}

/** Fields of VoteResponse and PreVoteResponse alike. */
export function verdict(answer: Message, envelope: RaftEnvelope): Verdict {
  const { term, reject, committedEntry } = answer;
  return {
    term: BigInt(term),
    voteGranted: !reject,
    envelope,
    committedIndex: BigInt(committedEntry?.index ?? 0),
    committedTerm: BigInt(committedEntry?.term ?? 0),
  };
}

/** The number of the youngest read that a heartbeat confirms; none for 0. */
function encodeSequence(sequence: number): Uint8Array {
  return sequence === 0 ? new Uint8Array(0) : new WireWriter(10).varint(sequence).finish();
}

function decodeSequence(bytes: Uint8Array): number {
  return bytes.length === 0 ? 0 : new WireReader(bytes).varint();
}
