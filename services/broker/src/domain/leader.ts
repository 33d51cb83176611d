/**
 * What the leader of one partition knows and decides in one leader epoch: how far each replica is durable, the high
 * watermark, the ack points, and which ISR change to ask for. Plain data and arithmetic; the shell moves the bytes.
 *
 * A follower's end counts only after it has answered in this epoch and under its current registration: an end of an earlier
 * life proves nothing (P14). A follower is caught up at a moment when it has all that was durable on the leader then, and is
 * heard of; who was not for `lagMaxMs` by the monotonic clock, or whose log has failed, is proposed for removal, who has
 * reached the watermark and the start of the epoch is proposed for the ISR (P7, P10). follower-account.ts keeps the accounts. The design is Kafka's (KIP-497, KIP-966), with push instead of pull.
 *
 * Invariants: `highWatermark` never falls and never passes `durableEndOffset`; `durableEndOffset <= endOffset`.
 */
import { assert, DomainError } from '@fleetmq/shared';
import { type AckRule, ackPoint, needsInsyncReplicas } from './custom-acks.ts';
import { FollowerAccount } from './follower-account.ts';
import { advanceHighWatermark, isWatermarkServable, unconfirmed } from './high-watermark.ts';
import { type IsrProposal, IsrState } from './isr.ts';

export interface LeaderStart {
  readonly localId: number;
  readonly leaderEpoch: number;
  readonly partitionEpoch: number;
  /** Assigned replicas, the leader among them. */
  readonly replicas: readonly number[];
  readonly inSyncReplicas: readonly number[];
  /** End of the leader's log at the election. */
  readonly endOffset: number;
  readonly durableEndOffset: number;
  /** As this replica knew it before. */
  readonly highWatermark: number;
  readonly minInsyncReplicas: number;
  readonly nowMs: number;
}

/** Registration of a broker that may be in an ISR now; undefined for one that may not. */
export type LiveBrokerEpoch = (brokerId: number) => number | undefined;

export class LeaderState {
  readonly localId: number;
  readonly leaderEpoch: number;
  readonly epochStartOffset: number;
  readonly isr: IsrState;
  #replicas: readonly number[];
  #followers = new Map<number, FollowerAccount>();
  #durableEndOffset: number;
  #highWatermark: number;
  #minInsyncReplicas: number;
  #servable = false;
  #maintainedAtMs: number;

  constructor(start: LeaderStart) {
    assert(start.replicas.includes(start.localId), `broker ${start.localId} leads a partition that it does not hold`);
    assert(start.highWatermark <= start.endOffset, `watermark ${start.highWatermark} is above end ${start.endOffset}`);
    this.localId = start.localId;
    this.leaderEpoch = start.leaderEpoch;
    this.epochStartOffset = start.endOffset;
    this.isr = new IsrState(start.inSyncReplicas, start.partitionEpoch);
    this.#replicas = start.replicas;
    this.#durableEndOffset = start.durableEndOffset;
    this.#highWatermark = start.highWatermark;
    this.#minInsyncReplicas = start.minInsyncReplicas;
    this.#maintainedAtMs = start.nowMs;
    this.#keepFollowers(start.nowMs);
    this.#advance();
  }

  get replicas(): readonly number[] {
    return this.#replicas;
  }

  get followerIds(): readonly number[] {
    return [...this.#followers.keys()];
  }

  get durableEndOffset(): number {
    return this.#durableEndOffset;
  }

  get highWatermark(): number {
    return this.#highWatermark;
  }

  get minInsyncReplicas(): number {
    return this.#minInsyncReplicas;
  }

  /** Whether readers may be answered (P9). Once true it stays true. */
  get servable(): boolean {
    return this.#servable;
  }

  get isUnderReplicated(): boolean {
    return this.isr.committed.length < this.#replicas.length;
  }

  /** Durable end of a replica; `unconfirmed` while it has not answered in this epoch. */
  durableEndOf(brokerId: number): number {
    if (brokerId === this.localId) return this.#durableEndOffset;
    return this.#followers.get(brokerId)?.durableEnd ?? unconfirmed;
  }

  /** The leader's own log is durable up to `end`. True when the watermark has moved. */
  onLocalDurable(end: number): boolean {
    if (end <= this.#durableEndOffset) return false;
    this.#durableEndOffset = end;
    return this.#advance();
  }

  /**
   * A follower's log equals the leader's and is durable up to `end`, it says under the registration `brokerEpoch`.
   * True when the watermark has moved. Answers of an older registration, and of brokers that are no replica, count nothing.
   */
  onFollowerDurable(brokerId: number, end: number, brokerEpoch: number, nowMs: number): boolean {
    const follower = this.#followers.get(brokerId);
    if (follower?.onDurable(end, brokerEpoch) !== true) return false;
    follower.noteProgress(this.#durableEndOffset, nowMs);
    return this.#advance();
  }

  /** A follower's log begins at `startOffset` or later. */
  onFollowerStart(brokerId: number, startOffset: number): void {
    this.#followers.get(brokerId)?.onStart(startOffset);
  }

  /** Whether no replica that may lead next still has records before `startOffset`. */
  isStartShared(startOffset: number): boolean {
    return this.isr.maximal.every((id) => (this.#followers.get(id)?.startOffset ?? startOffset) >= startOffset);
  }

  /** The broker has registered anew: what it had confirmed before counts no more. */
  onFollowerRestarted(brokerId: number, brokerEpoch: number): void {
    this.#followers.get(brokerId)?.onRestarted(brokerEpoch);
  }

  /** The follower's log has failed: it leaves the ISR, and counts again once it answers with another log. */
  onFollowerFailed(brokerId: number): void {
    this.#followers.get(brokerId)?.onFailed();
  }

  /** Whether the follower may begin an empty log: its failed one counts nowhere, and no ISR that may come has it (P14). */
  mayRebuild(brokerId: number): boolean {
    return this.#followers.get(brokerId)?.isFailed === true && !this.isr.maximal.includes(brokerId);
  }

  /** The follower's broker answers no more; it was heard last at `heardAtMs`. */
  onFollowerSilent(brokerId: number, heardAtMs: number): void {
    this.#followers.get(brokerId)?.onSilent(heardAtMs, this.#durableEndOffset);
  }

  onFollowerHeard(brokerId: number): void {
    this.#followers.get(brokerId)?.onHeard();
  }

  /** News from the controllers for this very epoch. True when the watermark has moved. */
  onAssignment(
    assignment: {
      readonly replicas: readonly number[];
      readonly inSyncReplicas: readonly number[];
      readonly partitionEpoch: number;
    },
    nowMs: number,
  ): boolean {
    if (!this.isr.commit(assignment.inSyncReplicas, assignment.partitionEpoch)) return false;
    this.#replicas = assignment.replicas;
    this.#keepFollowers(nowMs);
    return this.#advance();
  }

  /** True when the watermark has moved. */
  onMinInsyncReplicas(value: number): boolean {
    this.#minInsyncReplicas = value;
    return this.#advance();
  }

  /** NOT_ENOUGH_REPLICAS when the rule cannot be met now; to be asked before the append (P4). */
  assertCanAck(rule: AckRule): void {
    if (!needsInsyncReplicas(rule) || !this.isBelowMinInsync) return;
    throw new DomainError('NOT_ENOUGH_REPLICAS', `${this.#isrText()}: nothing was written`, { retryAfterMs: 100 });
  }

  get isBelowMinInsync(): boolean {
    return this.isr.committed.length < this.#minInsyncReplicas;
  }

  /** For those who wait after their append when the ISR has shrunk below min.insync.replicas. */
  notEnoughReplicasAfterAppend(): DomainError {
    return new DomainError(
      'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
      `${this.#isrText()}: the records are in the leader's log and may survive`,
    );
  }

  /** Requests that end at or below it are acknowledged. */
  ackPoint(rule: AckRule): number {
    // The usual rules, without looking at each replica.
    if (rule.kind === 'leader') return this.#durableEndOffset;
    if (rule.kind === 'committed' && rule.replicas <= 1) return this.#highWatermark;
    return ackPoint(rule, {
      highWatermark: this.#highWatermark,
      leaderDurableEnd: this.#durableEndOffset,
      durableEnds: this.#replicas.map((id) => this.durableEndOf(id)),
    });
  }

  /** Whether all replicas are in sync, heard of, and have all that is durable here: then `maintainIsr` has nothing to find. */
  get isSettled(): boolean {
    if (this.isr.pending !== undefined || this.isUnderReplicated) return false;
    for (const { durableEnd, isSilent } of this.#followers.values()) {
      if (isSilent || durableEnd < this.#durableEndOffset) return false;
    }
    return true;
  }

  /**
   * To be called periodically until `isSettled`: the ISR change to ask for now, or undefined. While one is pending no other is made, except
   * to take back a joiner that fell behind again.
   */
  maintainIsr(nowMs: number, lagMaxMs: number, liveEpoch: LiveBrokerEpoch): IsrProposal | undefined {
    this.#forgivePause(nowMs, lagMaxMs);
    for (const follower of this.#followers.values()) follower.noteProgress(this.#durableEndOffset, nowMs);
    const isLagging = (id: number): boolean => this.#isLagging(id, nowMs, lagMaxMs);
    const { pending, committed } = this.isr;
    if (pending !== undefined) {
      const wrongJoiner = pending.members.some((id) => !committed.includes(id) && isLagging(id));
      return wrongJoiner ? this.isr.propose(committed) : undefined;
    }
    const kept = committed.filter((id) => !isLagging(id));
    if (kept.length < committed.length) return this.isr.propose(kept);
    const joiners = this.#replicas.filter((id) => !committed.includes(id) && this.#mayJoin(id, liveEpoch));
    return joiners.length === 0 ? undefined : this.isr.propose([...committed, ...joiners]);
  }

  /** A process that stood still cannot tell who lagged meanwhile: its pause is taken off everyone's account. */
  #forgivePause(nowMs: number, lagMaxMs: number): void {
    const pauseMs = nowMs - this.#maintainedAtMs;
    this.#maintainedAtMs = nowMs;
    if (pauseMs < lagMaxMs / 2) return;
    for (const follower of this.#followers.values()) follower.forgive(pauseMs, nowMs);
  }

  #isLagging(brokerId: number, nowMs: number, lagMaxMs: number): boolean {
    return this.#followers.get(brokerId)?.isLagging(nowMs, lagMaxMs) === true;
  }

  #mayJoin(brokerId: number, liveEpoch: LiveBrokerEpoch): boolean {
    const needed = Math.max(this.#highWatermark, this.epochStartOffset);
    return this.#followers.get(brokerId)?.hasAll(needed, liveEpoch(brokerId)) === true;
  }

  #keepFollowers(nowMs: number): void {
    const others = this.#replicas.filter((id) => id !== this.localId);
    this.#followers = new Map(
      others.map((id) => [id, this.#followers.get(id) ?? new FollowerAccount(this.#durableEndOffset, nowMs)]),
    );
  }

  #advance(): boolean {
    const input = {
      highWatermark: this.#highWatermark,
      durableEnds: this.isr.maximal.map((id) => this.durableEndOf(id)),
      isrSize: this.isr.committed.length,
      minInsyncReplicas: this.#minInsyncReplicas,
      epochStartOffset: this.epochStartOffset,
    };
    const before = this.#highWatermark;
    const after = advanceHighWatermark(input);
    assert(after <= this.#durableEndOffset || after === before, `watermark ${after} passes ${this.#durableEndOffset}`);
    this.#highWatermark = after;
    const wasServable = this.#servable;
    this.#servable ||= isWatermarkServable({ ...input, highWatermark: after });
    return after > before || this.#servable !== wasServable;
  }

  #isrText(): string {
    const { committed } = this.isr;
    return `${committed.length} in-sync replicas (${committed.join(', ')}), min.insync.replicas is ${this.#minInsyncReplicas}`;
  }
}
