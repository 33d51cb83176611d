/** The quorum as one node sees it, for operators. */
import type { ConfState, ProgressState } from '@fleetmq/raft';
import type { LogIndex, Term } from '@fleetmq/shared';

export interface MemberStatus {
  readonly controllerId: number;
  readonly host: string;
  readonly port: number;
  readonly isLeader: boolean;
  readonly isVoter: boolean;
  /** A learner that is promoted once it has caught up. */
  readonly isPromoting: boolean;
  /** Heard of within an election timeout; known to the leader alone. */
  readonly isActive: boolean;
  /** Durable up to here; known to the leader alone. */
  readonly matchIndex: number;
}

export interface MemberProgress {
  readonly controllerId: number;
  readonly state: ProgressState;
  readonly matchIndex: number;
  readonly isActive: boolean;
  /** Undefined: never heard of. */
  readonly lastContactMs: number | undefined;
}

export interface QuorumReport {
  /** The node that reports. */
  readonly controllerId: number;
  readonly confState: ConfState;
  /** By id. */
  readonly members: readonly (MemberStatus & { readonly diskId: string })[];
  /** By id; empty unless this node leads. */
  readonly progress: readonly MemberProgress[];
  /** 0: not known. */
  readonly leaderId: number;
  readonly term: Term;
  readonly commitIndex: LogIndex;
  readonly appliedIndex: LogIndex;
  readonly lastIndex: LogIndex;
  readonly firstIndex: LogIndex;
}
