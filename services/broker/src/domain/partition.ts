/**
 * The role of one replica: leader, follower or nothing, and the newest leader epoch that it knows. Two sources change it:
 * the controllers' metadata, and a message of a leader with a newer epoch, which ends an older leadership at once (P12).
 *
 * What is older than known changes nothing. A replica that follows keeps its watermark when it becomes leader, and the
 * other way round: it never falls while the log is open, and it never passes the log's own end.
 * States: offline (nobody leads, or the log is closed) -> leader | follower -> ... in any order, by epoch.
 */
import { followerHighWatermark } from './high-watermark.ts';
import { LeaderState } from './leader.ts';

/** What the controllers say about a partition (PartitionImage of the metadata). */
export interface Assignment {
  /** 0: nobody. */
  readonly leaderId: number;
  readonly leaderEpoch: number;
  readonly replicas: readonly number[];
  readonly inSyncReplicas: readonly number[];
  readonly partitionEpoch: number;
}

/** The log and the clock at the moment of a change. */
export interface ReplicaFacts {
  readonly endOffset: number;
  readonly durableEndOffset: number;
  readonly minInsyncReplicas: number;
  readonly nowMs: number;
}

export type Role = 'offline' | 'follower' | 'leader';

/** What a change of the assignment did. `hwMoved` also when a new leader becomes servable. */
export interface RoleChange {
  readonly before: Role;
  readonly after: Role;
  /** The leader epoch is another one than before: whoever waited under the old one has to be told. */
  readonly newEpoch: boolean;
  readonly hwMoved: boolean;
}

export class PartitionState {
  readonly localId: number;
  #assignment: Assignment | undefined;
  #leaderId = 0;
  #leaderEpoch = 0;
  #leader: LeaderState | undefined;
  #role: Role = 'offline';
  #followerHighWatermark: number;
  /** End of what certainly equals the leader's log, in the epoch that is followed. */
  #matchedEnd = 0;

  constructor(localId: number, highWatermark: number) {
    this.localId = localId;
    this.#followerHighWatermark = highWatermark;
  }

  get role(): Role {
    return this.#role;
  }

  /** Set exactly while the role is leader. */
  get leader(): LeaderState | undefined {
    return this.#leader;
  }

  /** 0: not known, or nobody. */
  get leaderId(): number {
    return this.#leaderId;
  }

  get leaderEpoch(): number {
    return this.#leaderEpoch;
  }

  /** The newest assignment that was applied. */
  get assignment(): Assignment | undefined {
    return this.#assignment;
  }

  get highWatermark(): number {
    return this.#leader?.highWatermark ?? this.#followerHighWatermark;
  }

  get matchedEnd(): number {
    return this.#matchedEnd;
  }

  /** The log is there and ends here: a watermark that was recorded for one that has been replaced since says nothing about it. */
  onLogOpened(endOffset: number): void {
    this.#followerHighWatermark = Math.min(this.#followerHighWatermark, endOffset);
  }

  /** Applies what the controllers say; undefined when it is not newer than what is known. */
  applyAssignment(assignment: Assignment, facts: ReplicaFacts): RoleChange | undefined {
    const known = this.#assignment;
    if (known !== undefined && assignment.partitionEpoch <= known.partitionEpoch) return undefined;
    this.#assignment = assignment;
    if (assignment.leaderEpoch < this.#leaderEpoch) return undefined;
    if (assignment.leaderEpoch === this.#leaderEpoch && this.#leader !== undefined && this.#leads(assignment)) {
      return this.#change(this.#role, false, this.#leader.onAssignment(assignment, facts.nowMs));
    }
    return this.#become(assignment.leaderId, assignment.leaderEpoch, facts);
  }

  /** A message of a leader came in. A newer epoch than known makes this replica its follower; undefined otherwise. */
  observeLeader(leaderId: number, leaderEpoch: number): RoleChange | undefined {
    if (leaderEpoch <= this.#leaderEpoch) return undefined;
    return this.#follow(leaderId, leaderEpoch);
  }

  /** The follower's log equals the leader's up to `matchedEnd`; the leader's watermark is `leaders`. True when the own one moved. */
  onMatch(matchedEnd: number, leaders: number): boolean {
    this.#matchedEnd = Math.max(this.#matchedEnd, matchedEnd);
    const before = this.#followerHighWatermark;
    this.#followerHighWatermark = followerHighWatermark(before, leaders, this.#matchedEnd);
    return this.#followerHighWatermark > before;
  }

  /** The log was emptied and begins at `offset` now: all before it is committed. */
  onReset(offset: number): void {
    this.#followerHighWatermark = Math.max(this.#followerHighWatermark, offset);
    this.#matchedEnd = offset;
  }

  /** The log is closed or the partition leaves this broker. */
  stop(): RoleChange {
    const before = this.#role;
    this.#retireLeader();
    this.#role = 'offline';
    return this.#change(before, true, false);
  }

  #leads(assignment: Assignment): boolean {
    return assignment.leaderId === this.localId && assignment.replicas.includes(this.localId);
  }

  #become(leaderId: number, leaderEpoch: number, facts: ReplicaFacts): RoleChange {
    const assignment = this.#assignment;
    if (assignment === undefined || !this.#leads(assignment)) return this.#follow(leaderId, leaderEpoch);
    const before = this.#role;
    const highWatermark = Math.min(this.highWatermark, facts.endOffset);
    this.#retireLeader();
    this.#setEpoch(leaderId, leaderEpoch);
    this.#role = 'leader';
    this.#leader = new LeaderState({ ...assignment, ...facts, localId: this.localId, highWatermark });
    return this.#change(before, true, this.#leader.highWatermark > highWatermark);
  }

  #follow(leaderId: number, leaderEpoch: number): RoleChange {
    const before = this.#role;
    const newEpoch = leaderEpoch !== this.#leaderEpoch;
    this.#retireLeader();
    this.#setEpoch(leaderId, leaderEpoch);
    this.#role = leaderId === 0 ? 'offline' : 'follower';
    return this.#change(before, newEpoch, false);
  }

  #setEpoch(leaderId: number, leaderEpoch: number): void {
    if (leaderEpoch !== this.#leaderEpoch) this.#matchedEnd = 0;
    this.#leaderId = leaderId;
    this.#leaderEpoch = leaderEpoch;
  }

  #retireLeader(): void {
    if (this.#leader !== undefined) this.#followerHighWatermark = this.#leader.highWatermark;
    this.#leader = undefined;
  }

  #change(before: Role, newEpoch: boolean, hwMoved: boolean): RoleChange {
    return { before, after: this.#role, newEpoch, hwMoved };
  }
}
