/**
 * The one state object of a Raft core. The files around it are functions over it, by topic: roles, election, replication,
 * proposals, reads, transfer, membership. Nothing else is state; two equal cores given equal calls stay equal.
 *
 * Outgoing messages lie in two lists. `messages` may leave at once. `messagesAfterAppend` (votes, requests for votes and
 * acknowledgements of appends, those to itself included) rest on term, vote or entries and leave only when all of that is durable.
 */
import type { LogIndex, Term } from '@fleetmq/shared';
import type { RaftConfig } from './config.ts';
import { RaftLog } from './log.ts';
import {
  type HardState,
  type Message,
  type NodeId,
  noIndex,
  noNode,
  noTerm,
  type ReadState,
  type Role,
  type SoftState,
} from './messages.ts';
import { ReadQueue } from './read-queue.ts';
import { Tracker } from './tracker.ts';

export interface RaftCore {
  readonly id: NodeId;
  readonly config: RaftConfig;
  readonly log: RaftLog;
  readonly tracker: Tracker;
  term: Term;
  vote: NodeId;
  role: Role;
  lead: NodeId;
  /** Target of a leadership transfer under way. */
  leadTransferee: NodeId;
  /**
   * On a leader: no configuration change is unapplied behind this index. A further change is accepted only when the
   * state machine has applied up to here, so that at most one is in flight.
   */
  pendingConfIndex: LogIndex;
  /** The active configuration holds all changes up to here: the last one that was applied, or came with a snapshot. */
  configIndex: LogIndex;
  /** Payload bytes of the leader's uncommitted tail: never too high, may be too low after a change of leader. */
  uncommittedBytes: number;
  /** Ticks since the last contact with a leader (follower), or since the last check of the quorum (leader). */
  electionElapsed: number;
  heartbeatElapsed: number;
  /** Ticks since the transfer under way began. */
  transferElapsed: number;
  /** In [electionTicks, 2 * electionTicks - 1], drawn anew with each change of role. */
  randomizedElectionTimeout: number;
  messages: Message[];
  messagesAfterAppend: Message[];
  readStates: ReadState[];
  /** Reads of this term; replaced whenever the term or the role changes, for they die with it. */
  reads: ReadQueue;
}

export function createCore(config: RaftConfig): RaftCore {
  return {
    id: config.id,
    config,
    log: new RaftLog(config.storage, config.logger, config.maxCommittedSizePerReady),
    tracker: new Tracker(),
    term: noTerm,
    vote: noNode,
    role: 'StateFollower',
    lead: noNode,
    leadTransferee: noNode,
    pendingConfIndex: noIndex,
    configIndex: noIndex,
    uncommittedBytes: 0,
    electionElapsed: 0,
    heartbeatElapsed: 0,
    transferElapsed: 0,
    randomizedElectionTimeout: config.electionTicks,
    messages: [],
    messagesAfterAppend: [],
    readStates: [],
    reads: new ReadQueue(),
  };
}

export function softStateOf(core: RaftCore): SoftState {
  return { lead: core.lead, role: core.role };
}

export function hardStateOf(core: RaftCore): HardState {
  return { term: core.term, vote: core.vote, commit: core.log.committed };
}

/** Whether this node may become leader: a voter in its own view, with no snapshot half installed. */
export function isPromotable(core: RaftCore): boolean {
  const own = core.tracker.progress.get(core.id);
  return own !== undefined && !own.isLearner && core.log.unstable.snapshot === undefined;
}

/** Until then a new leader's commit index may be behind what its predecessor answered. */
export function hasCommittedInTerm(core: RaftCore): boolean {
  return core.log.term(core.log.committed) === core.term;
}
