/**
 * The values that Raft cores exchange with each other and with their host: entries, messages, snapshots, states.
 *
 * Everything here is plain immutable data: a value that was handed over is never changed again, by neither side, so that
 * entries can be shared between the log, messages in flight and storage without copies.
 * Zero means "not set" for node ids, terms and indexes. Indexes start at 1.
 * Source: the Raft dissertation of D. Ongaro, chapter 3; message names as in etcd's Raft library.
 */
import type { LogIndex, Term } from '@fleetmq/shared';

/** Number of a Raft node: a safe integer of 1 or more. */
export type NodeId = number;

/** "No node": no leader, no vote, no transfer. */
export const noNode: NodeId = 0;
/** Target of MsgStorageAppend: the host's queue of log writes. No node may have this id. */
export const appendThread: NodeId = Number.MAX_SAFE_INTEGER;
/** Target of MsgStorageApply: the host's queue of commands to apply. No node may have this id. */
export const applyThread: NodeId = Number.MAX_SAFE_INTEGER - 1;

export const noTerm: Term = 0 as Term;
export const noIndex: LogIndex = 0 as LogIndex;

export function isLocalThread(id: NodeId): boolean {
  return id === appendThread || id === applyThread;
}

/**
 * `EntryNormal` carries a command (empty data: the no-op at the start of a term), the others a configuration change
 * (conf-change-codec.ts) in its one-step and its joint form.
 */
export type EntryType = 'EntryNormal' | 'EntryConfChange' | 'EntryConfChangeV2';

export interface Entry {
  readonly term: Term;
  readonly index: LogIndex;
  readonly type: EntryType;
  readonly data: Uint8Array;
}

/** Index and term of an entry: the two together name an entry and all that precede it (log matching property). */
export interface EntryId {
  readonly index: LogIndex;
  readonly term: Term;
}

/** A configuration as it is stored in snapshots. Voters outgoing, learners next and auto leave only while it is joint. */
export interface ConfState {
  readonly voters: readonly NodeId[];
  readonly learners: readonly NodeId[];
  readonly votersOutgoing: readonly NodeId[];
  readonly learnersNext: readonly NodeId[];
  readonly autoLeave: boolean;
}

export const emptyConfState: ConfState = {
  voters: [],
  learners: [],
  votersOutgoing: [],
  learnersNext: [],
  autoLeave: false,
};

/** Voter of either half or learner. Learners to come are voters of the outgoing half. */
export function isMember(state: ConfState, id: NodeId): boolean {
  return state.voters.includes(id) || state.learners.includes(id) || state.votersOutgoing.includes(id);
}

/** Everybody who votes, did, learns, or will, by id. */
export function memberIds({ voters, votersOutgoing, learners, learnersNext }: ConfState): readonly NodeId[] {
  return [...new Set([...voters, ...votersOutgoing, ...learners, ...learnersNext])].sort((left, right) => left - right);
}

/** State of the state machine after the entry at `index` was applied. `data` is opaque to the core. */
export interface Snapshot {
  readonly index: LogIndex;
  readonly term: Term;
  readonly confState: ConfState;
  readonly data: Uint8Array;
}

/** What must be durable before a message that rests on it leaves the node (`commit` may lag behind). */
export interface HardState {
  readonly term: Term;
  readonly vote: NodeId;
  readonly commit: LogIndex;
}

export const emptyHardState: HardState = { term: noTerm, vote: noNode, commit: noIndex };

export type Role = 'StateFollower' | 'StateCandidate' | 'StateLeader' | 'StatePreCandidate';

/** Volatile: who leads, and what this node is. */
export interface SoftState {
  readonly lead: NodeId;
  readonly role: Role;
}

/** The answer to a ReadIndex: a state that has applied `index` may serve the read that came with `context`. */
export interface ReadState {
  readonly index: LogIndex;
  readonly context: Uint8Array;
}

export type MessageType =
  | 'MsgHup'
  | 'MsgBeat'
  | 'MsgProp'
  | 'MsgApp'
  | 'MsgAppResp'
  | 'MsgVote'
  | 'MsgVoteResp'
  | 'MsgSnap'
  | 'MsgHeartbeat'
  | 'MsgHeartbeatResp'
  | 'MsgUnreachable'
  | 'MsgSnapStatus'
  | 'MsgCheckQuorum'
  | 'MsgTransferLeader'
  | 'MsgTimeoutNow'
  | 'MsgReadIndex'
  | 'MsgReadIndexResp'
  | 'MsgPreVote'
  | 'MsgPreVoteResp'
  | 'MsgStorageAppend'
  | 'MsgStorageAppendResp'
  | 'MsgStorageApply'
  | 'MsgStorageApplyResp'
  | 'MsgForgetLeader';

/** One shape for all types, so that the engine sees one hidden class; what a type does not use is zero, empty or undefined. */
export interface Message {
  readonly type: MessageType;
  readonly to: NodeId;
  readonly from: NodeId;
  /** Term of the sender; 0 in local messages, forwarded proposals and reads. MsgPreVote carries the term it would start. */
  readonly term: Term;
  /** Term of the entry at `index`. */
  readonly logTerm: Term;
  /** Entry that precedes `entries` (MsgApp), last entry (votes), acknowledged or rejected entry (answers). */
  readonly index: LogIndex;
  readonly entries: readonly Entry[];
  readonly commit: LogIndex;
  /** Vote of the hard state in MsgStorageAppend. */
  readonly vote: NodeId;
  readonly snapshot: Snapshot | undefined;
  readonly reject: boolean;
  /** With `reject`: the highest index at which the logs may still agree; its term is in `logTerm`. */
  readonly rejectHint: LogIndex;
  /** Refused votes only: the last entry that a node which is no voter knows to be committed (election.ts, refuseVote). */
  readonly committedEntry: EntryId | undefined;
  /** MsgVote only: the election stems from a leadership transfer and overrides the lease of check-quorum. */
  readonly transfer: boolean;
  /** Heartbeats and their answers: all reads up to this number (counted per term) are confirmed by the answer. 0: none. */
  readonly readSequence: number;
  /** The caller's mark of a read, in MsgReadIndex and its answer. */
  readonly context: Uint8Array | undefined;
  /** What the host delivers once a MsgStorageAppend or MsgStorageApply is done. */
  readonly responses: readonly Message[];
}

const noEntries: readonly Entry[] = [];
const noMessages: readonly Message[] = [];
export const emptyBytes: Uint8Array = new Uint8Array(0);

/** A message with defaults for what `fields` leaves out. */
export function createMessage(type: MessageType, fields: Partial<Omit<Message, 'type'>> = {}): Message {
  return {
    type,
    to: fields.to ?? noNode,
    from: fields.from ?? noNode,
    term: fields.term ?? noTerm,
    logTerm: fields.logTerm ?? noTerm,
    index: fields.index ?? noIndex,
    entries: fields.entries ?? noEntries,
    commit: fields.commit ?? noIndex,
    vote: fields.vote ?? noNode,
    snapshot: fields.snapshot,
    reject: fields.reject ?? false,
    rejectHint: fields.rejectHint ?? noIndex,
    committedEntry: fields.committedEntry,
    transfer: fields.transfer ?? false,
    readSequence: fields.readSequence ?? 0,
    context: fields.context,
    responses: fields.responses ?? noMessages,
  };
}

const localTypes: ReadonlySet<MessageType> = new Set([
  'MsgForgetLeader',
  'MsgHup',
  'MsgBeat',
  'MsgUnreachable',
  'MsgSnapStatus',
  'MsgCheckQuorum',
  'MsgStorageAppend',
  'MsgStorageAppendResp',
  'MsgStorageApply',
  'MsgStorageApplyResp',
]);

const responseTypes: ReadonlySet<MessageType> = new Set([
  'MsgAppResp',
  'MsgVoteResp',
  'MsgHeartbeatResp',
  'MsgUnreachable',
  'MsgReadIndexResp',
  'MsgPreVoteResp',
  'MsgStorageAppendResp',
  'MsgStorageApplyResp',
]);

/** Types that never come from another node. */
export function isLocalType(type: MessageType): boolean {
  return localTypes.has(type);
}

/** Types that answer something: they count only from a member of the configuration. */
export function isResponseType(type: MessageType): boolean {
  return responseTypes.has(type);
}

export function isEmptyHardState(state: HardState): boolean {
  return state.term === 0 && state.vote === noNode && state.commit === 0;
}

export function isEqualHardState(left: HardState, right: HardState): boolean {
  return left.term === right.term && left.vote === right.vote && left.commit === right.commit;
}

export function isEmptySnapshot(snapshot: Snapshot | undefined): boolean {
  return snapshot === undefined || snapshot.index === 0;
}

/** The index `count` steps behind `index` (`count` may be negative). */
export function shift(index: LogIndex, count: number): LogIndex {
  return (index + count) as LogIndex;
}

export function lowerIndex(left: LogIndex, right: LogIndex): LogIndex {
  return left < right ? left : right;
}

export function higherIndex(left: LogIndex, right: LogIndex): LogIndex {
  return left > right ? left : right;
}

/** The index of the last of `entries`, which is not empty. */
export function lastIndexOf(entries: readonly Entry[]): LogIndex {
  return (entries[entries.length - 1] as Entry).index;
}
