/**
 * One replica on this broker: its log, its role, and those who wait for it. The one place where events of the log, of the
 * followers and of the controllers meet; everything here runs to completion without waiting, except the jobs that change
 * the log (truncation, reset), which run one after the other in `jobs`.
 *
 * Invariants: while the log has failed the role is offline; whoever waits is told exactly once, by progress, by an error or
 * by its deadline; an error after the append never claims that nothing was written (P5).
 */
import type { PartitionLog } from '@fleetmq/log';
import type { TopicConfig } from '@fleetmq/metadata';
import { assert, DomainError, formatTopicPartition } from '@fleetmq/shared';
import type { AckRule } from '../domain/custom-acks.ts';
import { type Assignment, PartitionState, type RoleChange } from '../domain/partition.ts';
import { AckQueue, type AckWaiter } from './ack-queue.ts';
import type { ByteBudget } from './byte-budget.ts';
import { DurabilityWaiters, type TellDurable } from './durability-waiters.ts';

/** Told about what moves in a replica. Must not throw and must not wait. */
export interface ReplicaListener {
  /** There is more to send to followers, or their watermark or log start is behind. */
  onProgress(replica: Replica): void;
  onRoleChange(replica: Replica, change: RoleChange): void;
  onFailure(replica: Replica): void;
  /** Somebody waits for acknowledgments, until then by the monotonic clock: `expireAcks` has to be called. */
  onAckWaiting(deadlineMs: number): void;
}

export interface ReplicaOptions {
  readonly localId: number;
  readonly topicId: string;
  readonly topic: string;
  readonly partition: number;
  /** Of the partition, but for replicas that come and go while it moves: some settings depend on it. */
  readonly replicationFactor: number;
  readonly config: TopicConfig;
  /** As it was recorded in an earlier life. */
  readonly highWatermark: number;
  readonly waitersMax: number;
  /** Bytes of all logs that are not durable yet. */
  readonly pendingBudget: ByteBudget;
  readonly listener: ReplicaListener;
  readonly monotonicMs: () => number;
}

export class Replica {
  readonly topicId: string;
  readonly topic: string;
  readonly partition: number;
  readonly state: PartitionState;
  readonly acks: AckQueue;
  readonly #options: ReplicaOptions;
  config: TopicConfig;
  replicationFactor: number;
  #log: PartitionLog | undefined;
  #failure: DomainError | undefined;
  #damage: DomainError | undefined;
  #rebuildEpoch = 0;
  #spoiltEpoch = 0;
  /** The end of what followers may have been sent before it was durable here. */
  #exposedEnd = 0;
  #pendingBytes = 0;
  #readers = new Set<() => void>();
  #startWaiters = new Set<() => void>();
  readonly #followerAcks = new DurabilityWaiters();
  #jobs: Promise<void> = Promise.resolve();
  #jobCount = 0;

  constructor(options: ReplicaOptions) {
    this.#options = options;
    this.topicId = options.topicId;
    this.topic = options.topic;
    this.partition = options.partition;
    this.config = options.config;
    this.replicationFactor = options.replicationFactor;
    this.state = new PartitionState(options.localId, options.highWatermark);
    this.acks = new AckQueue(options.waitersMax);
  }

  get name(): string {
    return formatTopicPartition(this.topic, this.partition);
  }

  /** Undefined while it is being opened, after a failure, and when it was closed. */
  get log(): PartitionLog | undefined {
    return this.#log;
  }

  get failure(): DomainError | undefined {
    return this.#failure;
  }

  /** Damage that was found while no other replica was in sync: what is whole is served on. */
  get damage(): DomainError | undefined {
    return this.#damage;
  }

  /** Leader epoch whose leader does not count the failed log any more, so that an empty one may take its place; 0: none. */
  get rebuildEpoch(): number {
    return this.#rebuildEpoch;
  }

  /** Whether a job that changes the log is under way or waits. */
  get isBusy(): boolean {
    return this.#jobCount > 0;
  }

  get readerCount(): number {
    return this.#readers.size;
  }

  attach(log: PartitionLog): void {
    assert(this.#log === undefined, `${this.name} has a log already`);
    this.#log = log;
    this.state.onLogOpened(log.endOffset);
  }

  /** NOT_AVAILABLE while the log is not open, STORAGE_FAILED after it has failed. */
  openLog(): PartitionLog {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#log !== undefined) return this.#log;
    throw new DomainError('NOT_AVAILABLE', `the log of ${this.name} is being opened`, { retryAfterMs: 50 });
  }

  /**
   * Applies what the controllers say. Nothing before the log is open, and nothing any more after it has failed. Who is to lead
   * waits for the jobs on its log: where it ends, and the new epoch begins, is known after the last cut (P7).
   */
  assign(assignment: Assignment): void {
    const beginsToLead = assignment.leaderId === this.#options.localId && this.state.leader === undefined;
    if (this.isBusy && beginsToLead) void this.runJob(async () => this.#assign(assignment));
    else this.#assign(assignment);
  }

  #assign(assignment: Assignment): void {
    const log = this.#log;
    if (log === undefined || this.#failure !== undefined) return;
    const change = this.state.applyAssignment(assignment, {
      endOffset: log.endOffset,
      durableEndOffset: log.durableEndOffset,
      minInsyncReplicas: this.config.minInsyncReplicas,
      nowMs: this.#options.monotonicMs(),
    });
    if (change !== undefined) this.#onChange(change);
    // Another replica is in sync now: it can take over, and then give back what is damaged here.
    if (this.#damage !== undefined && !this.#isLastInSync()) this.onLogFailure(this.#damage);
  }

  /** A message of a leader came in: a newer epoch than known ends whatever this replica was. */
  observeLeader(leaderId: number, leaderEpoch: number): void {
    const change = this.state.observeLeader(leaderId, leaderEpoch);
    if (change !== undefined) this.#onChange(change);
  }

  configure(config: TopicConfig, replicationFactor: number): void {
    this.config = config;
    this.replicationFactor = replicationFactor;
    if (this.state.leader?.onMinInsyncReplicas(config.minInsyncReplicas) === true) this.#onWatermark();
    this.#checkInsync();
  }

  /** How far the log may be sent: without other in-sync replicas only what is durable, for it may still be rolled back. */
  get sendableEnd(): number {
    const log = this.#log;
    if (log === undefined) return 0;
    const isAlone = (this.state.leader?.isr.maximal.length ?? 1) <= 1;
    return isAlone ? log.durableEndOffset : log.endOffset;
  }

  /** Followers are about to be sent what lies before `end`, durable or not. */
  onExposed(end: number): void {
    if (end > this.#exposedEnd) this.#exposedEnd = end;
  }

  /** Records that followers may have were rolled back in this epoch: the log takes no more of it, leadership has to go. */
  get isSpoilt(): boolean {
    return this.#spoiltEpoch !== 0 && this.#spoiltEpoch === this.state.leaderEpoch;
  }

  /** After each append: the bytes that wait for the disk are charged to the broker's budget. */
  onAppended(): void {
    this.#chargePending();
    if (this.state.role === 'leader') this.#options.listener.onProgress(this);
  }

  /** Old records were deleted: the followers are to delete theirs. */
  onLogStartMoved(): void {
    this.#options.listener.onProgress(this);
  }

  /** The log is durable up to `end`. */
  onDurable(end: number): void {
    this.#chargePending();
    this.#followerAcks.tell(end);
    const { leader } = this.state;
    if (leader === undefined) return;
    if (leader.onLocalDurable(end)) this.#onWatermark();
    this.advanceAcks();
    this.#options.listener.onProgress(this);
  }

  /**
   * The disk was full: what was not durable is gone from the log, and was never acknowledged (P22). The next leader may have
   * it all the same, if it was sent on; only what was not is certainly not written (P5).
   */
  onRolledBack(durableEnd: number, error: DomainError): void {
    this.#chargePending();
    const { leader } = this.state;
    const exposedEnd = this.#exposedEnd;
    this.#exposedEnd = Math.min(exposedEnd, durableEnd);
    const mayBeElsewhere = exposedEnd > durableEnd || (leader !== undefined && leader.isr.maximal.length > 1);
    if (leader !== undefined && mayBeElsewhere) this.#spoiltEpoch = leader.leaderEpoch;
    const unknown = outcomeUnknown('the disk is full, but followers may have the records');
    this.acks.fail(unknown, (_, { endOffset }) => endOffset > durableEnd && endOffset <= exposedEnd);
    this.acks.fail(error, (_, { endOffset }) => endOffset > durableEnd);
    this.#followerAcks.fail(durableEnd, error);
    if (this.isSpoilt) this.#options.listener.onFailure(this);
  }

  /** The log is dead (P21): no ack any more, and leadership has to go. */
  onLogFailure(error: DomainError): void {
    if (this.#failure !== undefined) return;
    const text = `the log of ${this.name} is closed after an I/O error: ${error.message}`;
    this.#failure = new DomainError(error.code === 'CORRUPT_LOG' ? 'CORRUPT_LOG' : 'STORAGE_FAILED', text, {
      cause: error,
    });
    const change = this.state.stop();
    this.#chargePending();
    this.#followerAcks.fail(-1, this.#failure);
    this.#onChange(change);
    this.#options.listener.onFailure(this);
  }

  /** A read failed or found damage. With other in-sync replicas this one gives up and is rebuilt; a last copy serves what is whole (P20). */
  onReadFailure(error: DomainError): void {
    if (error.code !== 'CORRUPT_LOG' && error.code !== 'STORAGE_FAILED') return;
    if (!this.#isLastInSync()) this.onLogFailure(error);
    else if (this.#damage === undefined) {
      this.#damage = error;
      this.#options.listener.onFailure(this);
    }
  }

  /** The leader of that epoch has said that it does not count the failed log any more. */
  onMayRebuild(leaderEpoch: number): void {
    if (this.#failure !== undefined && leaderEpoch >= this.state.leaderEpoch) this.#rebuildEpoch = leaderEpoch;
  }

  /** A follower has confirmed its end, and that its log begins at `startOffset` or later. */
  onFollowerDurable(
    brokerId: number,
    {
      end,
      startOffset,
      brokerEpoch,
    }: { readonly end: number; readonly startOffset: number; readonly brokerEpoch: number },
  ): void {
    const { leader } = this.state;
    if (leader === undefined) return;
    leader.onFollowerStart(brokerId, startOffset);
    if (this.#startWaiters.size > 0) this.#wakeStartWaiters();
    const moved = leader.onFollowerDurable(brokerId, end, brokerEpoch, this.#options.monotonicMs());
    if (moved) this.#onWatermark();
    this.advanceAcks();
  }

  /** A follower's log has failed: it counts nowhere until it answers with another one. */
  onFollowerFailed(brokerId: number): void {
    this.state.leader?.onFollowerFailed(brokerId);
    this.#options.listener.onProgress(this);
  }

  /** A follower's broker has fallen silent: it does not count as caught up any more. */
  onFollowerSilent(brokerId: number, heardAtMs: number): void {
    this.state.leader?.onFollowerSilent(brokerId, heardAtMs);
    this.#options.listener.onProgress(this);
  }

  onFollowerHeard(brokerId: number): void {
    this.state.leader?.onFollowerHeard(brokerId);
    this.#options.listener.onProgress(this);
  }

  /** The controllers have answered a proposal with this. */
  advanceAcks(): void {
    const { leader } = this.state;
    if (leader !== undefined) this.acks.advance((rule) => leader.ackPoint(rule));
  }

  /** Waits for the ack of an append that has been made. `done` may be called before this returns. */
  awaitAck(rule: AckRule, waiter: AckWaiter): void {
    const { leader } = this.state;
    assert(leader !== undefined, `${this.name} took an append without leading`);
    if (leader.ackPoint(rule) >= waiter.endOffset) waiter.done(undefined);
    else if (this.acks.add(rule, waiter)) this.#options.listener.onAckWaiting(waiter.deadlineMs);
    else waiter.done(outcomeUnknown('too many requests wait for this partition'));
  }

  /** The earliest deadline that is left; infinity: nobody waits. */
  expireAcks(nowMs: number): number {
    return this.acks.expire(nowMs, () => outcomeUnknown('the acknowledgments did not come in time'));
  }

  /** Calls `wake` at the next change that readers may want to see; the result ends that. */
  onReadable(wake: () => void): () => void {
    this.#readers.add(wake);
    return () => this.#readers.delete(wake);
  }

  /** Calls `wake` when a follower has confirmed something, or the role has changed; the result ends that. */
  onFollowerNews(wake: () => void): () => void {
    this.#startWaiters.add(wake);
    return () => this.#startWaiters.delete(wake);
  }

  /** Calls `done` once the log is durable up to `endOffset`; in the order of the calls. */
  whenDurable(endOffset: number, done: TellDurable): void {
    const log = this.#log;
    if (log === undefined || this.#failure !== undefined) done(this.#failure ?? closed(this.name));
    else if (this.#followerAcks.isEmpty && log.durableEndOffset >= endOffset) done(undefined);
    else this.#followerAcks.add(endOffset, done);
  }

  /** Runs a job that changes the log, after those before it. A job must not throw: it tells its caller itself. */
  runJob(job: () => Promise<void>): Promise<void> {
    this.#jobCount++;
    this.#jobs = this.#jobs.then(job).finally(() => {
      this.#jobCount--;
    });
    return this.#jobs;
  }

  /** The partition leaves this broker, or the broker stops. The log is the caller's to close. */
  detach(): PartitionLog | undefined {
    const log = this.#log;
    const change = this.state.stop();
    this.#log = undefined;
    this.#chargePending();
    this.#followerAcks.fail(-1, closed(this.name));
    this.#onChange(change);
    return log;
  }

  #onChange(change: RoleChange): void {
    if (change.newEpoch) {
      this.acks.fail(outcomeUnknown('leadership has moved'));
      // What an older leader waits for may be cut before it is durable: it must never be told that it is.
      this.#followerAcks.fail(-1, new DomainError('STALE_EPOCH', `leader epoch ${this.state.leaderEpoch} has begun`));
      if (this.#spoiltEpoch !== this.state.leaderEpoch) this.#spoiltEpoch = 0;
    }
    this.#options.listener.onRoleChange(this, change);
    if (change.hwMoved) this.#onWatermark();
    this.#checkInsync();
    this.advanceAcks();
    if (change.newEpoch || change.before !== change.after) this.#wakeReaders();
    this.#wakeStartWaiters();
    if (this.state.role === 'leader') this.#options.listener.onProgress(this);
  }

  /** Those who wait for the watermark are told at once when it has to stand still (P4). */
  #checkInsync(): void {
    const { leader } = this.state;
    if (leader === undefined || !leader.isBelowMinInsync) return;
    this.acks.fail(leader.notEnoughReplicasAfterAppend(), (rule) => rule.kind === 'committed');
  }

  #isLastInSync(): boolean {
    const { localId } = this.state;
    return (this.state.assignment?.inSyncReplicas ?? []).every((id) => id === localId);
  }

  #onWatermark(): void {
    this.advanceAcks();
    this.#wakeReaders();
    this.#options.listener.onProgress(this);
  }

  #wakeReaders(): void {
    if (this.#readers.size === 0) return;
    const readers = this.#readers;
    this.#readers = new Set();
    for (const wake of readers) wake();
  }

  #wakeStartWaiters(): void {
    for (const wake of [...this.#startWaiters]) wake();
  }

  #chargePending(): void {
    const pending = this.#log === undefined || this.#failure !== undefined ? 0 : this.#log.pendingBytes;
    this.#options.pendingBudget.adjust(pending - this.#pendingBytes);
    this.#pendingBytes = pending;
  }
}

function outcomeUnknown(why: string): DomainError {
  return new DomainError('TIMEOUT', `${why}: whether the records will survive is not known`, { outcomeUnknown: true });
}

function closed(name: string): DomainError {
  return new DomainError('NOT_AVAILABLE', `the log of ${name} is closed`);
}
