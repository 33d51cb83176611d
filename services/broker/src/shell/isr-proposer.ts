/**
 * Carries ISR proposals of the partitions that this broker leads to the controllers, and their answers back. A proposal is
 * sent until it has an answer: while it is unanswered the partition counts old and proposed members (P7).
 *
 * An attempt that ended without an answer may still succeed; that is noted before the next one is sent. One proposal per
 * partition is under way at a time, and at most `callsMax` in all. Partitions are looked at periodically while one of them is
 * not settled; while all are, nothing is looked at until somebody calls `wake`.
 */
import { BrokerReplicationService } from '@fleetmq/gen/broker/replication';
import { apiVersion, type MetadataImage, mayJoinIsr } from '@fleetmq/metadata';
import type { ControllerCalls } from '@fleetmq/metadata/link';
import {
  type BrokerId,
  type Clock,
  DomainError,
  errorName,
  isDomainError,
  type Logger,
  type Timers,
} from '@fleetmq/shared';
import type { IsrProposal } from '../domain/isr.ts';
import { assignmentFromProto } from '../wire/partition.ts';
import { Alarm } from './alarm.ts';
import type { Partitions } from './partitions.ts';
import type { Replica } from './replica.ts';
import { Semaphore } from './semaphore.ts';

export interface IsrProposerOptions {
  readonly localId: number;
  readonly partitions: Partitions;
  readonly image: MetadataImage;
  readonly calls: ControllerCalls;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly brokerEpoch: () => number;
  /** A follower that was not caught up for so long is proposed for removal. Default 5 s. */
  readonly lagMaxMs: number;
  /** Proposals under way. Default 32. */
  readonly callsMax: number;
  /** How often partitions that are not settled are looked at. Default 250 ms. */
  readonly periodMs: number;
  readonly onChange: (kind: 'shrink' | 'expand') => void;
}

const callTimeoutMs = 5_000;
const refusalPauseMs = 1_000;

export class IsrProposer {
  readonly #options: IsrProposerOptions;
  readonly #calls: Semaphore;
  readonly #alarm: Alarm;
  readonly #busy = new Set<Replica>();
  /** After a refusal the partition is left alone for a moment: the metadata that explains it is on its way. */
  readonly #pausedUntilMs = new WeakMap<Replica, number>();
  readonly #stopping = new AbortController();

  constructor(options: IsrProposerOptions) {
    this.#options = options;
    this.#calls = new Semaphore(options.callsMax);
    this.#alarm = new Alarm({ ...options, onRing: (nowMs) => this.#look(nowMs) });
  }

  /** Something moved in a partition that this broker leads, or a broker came or went. */
  wake(): void {
    this.#alarm.within(this.#options.periodMs);
  }

  stop(): void {
    this.#alarm[Symbol.dispose]();
    this.#stopping.abort(new DomainError('SHUTTING_DOWN', 'the broker stops'));
  }

  /** Finds what to propose, and proposes it. When to look again. */
  #look(nowMs: number): number {
    const { partitions, lagMaxMs, image, periodMs } = this.#options;
    let isSettled = true;
    const liveEpoch = (id: number): number | undefined => {
      const broker = image.broker(id as BrokerId);
      return broker !== undefined && mayJoinIsr(broker) ? broker.brokerEpoch : undefined;
    };
    for (const replica of partitions.all()) {
      const { leader } = replica.state;
      if (leader === undefined) continue;
      isSettled &&= leader.isSettled;
      if (this.#busy.has(replica) || nowMs < (this.#pausedUntilMs.get(replica) ?? 0)) continue;
      leader.maintainIsr(nowMs, lagMaxMs, liveEpoch);
      const { pending } = leader.isr;
      if (pending !== undefined) void this.#propose(replica, pending);
    }
    return isSettled ? Number.POSITIVE_INFINITY : nowMs + periodMs;
  }

  async #propose(replica: Replica, proposal: IsrProposal): Promise<void> {
    this.#busy.add(replica);
    try {
      await this.#calls.run(() => this.#send(replica, proposal));
    } finally {
      this.#busy.delete(replica);
    }
  }

  async #send(replica: Replica, proposal: IsrProposal): Promise<void> {
    const { leader } = replica.state;
    if (leader === undefined || leader.isr.pending !== proposal || this.#stopping.signal.aborted) return;
    const { calls, localId, brokerEpoch, image } = this.#options;
    const sizeBefore = leader.isr.committed.length;
    const inSyncReplicas = proposal.members.map((id) => ({
      brokerId: id,
      brokerEpoch: BigInt(id === localId ? brokerEpoch() : (image.broker(id as BrokerId)?.brokerEpoch ?? 0)),
    }));
    const request = {
      version: apiVersion,
      brokerId: localId,
      brokerEpoch: BigInt(brokerEpoch()),
      topicId: replica.topicId,
      partition: replica.partition,
      leaderEpoch: leader.leaderEpoch,
      partitionEpoch: proposal.partitionEpoch,
      inSyncReplicas,
    };
    try {
      const options = { signal: this.#stopping.signal, timeoutMs: callTimeoutMs };
      const answer = await calls.unary(BrokerReplicationService.method.updateISR, request, options);
      if (answer.errorCode !== 0)
        this.#onRefused(replica, proposal, new DomainError(errorName(answer.errorCode), answer.errorMessage));
      if (answer.partition !== undefined) {
        // With the settings of an older version it could commit what controllers take for impossible: the watch brings both.
        if (answer.metadataVersion > image.version) leader.isr.markUncertain(proposal);
        else replica.assign(assignmentFromProto(answer.partition));
      }
      if (answer.errorCode === 0) this.#onAccepted(replica, proposal, sizeBefore);
    } catch (error) {
      if (!isDomainError(error)) throw error;
      this.#onError(replica, proposal, error);
    }
  }

  #onAccepted({ name }: Replica, { members }: IsrProposal, sizeBefore: number): void {
    const kind = members.length < sizeBefore ? 'shrink' : 'expand';
    this.#options.onChange(kind);
    this.#options.logger.info({ partition: name, inSyncReplicas: members }, `the in-sync replicas ${kind}`);
  }

  #onError(replica: Replica, proposal: IsrProposal, error: DomainError): void {
    if (this.#stopping.signal.aborted) return;
    if (error.outcomeUnknown || mayHaveActed.has(error.code)) replica.state.leader?.isr.markUncertain(proposal);
    else this.#onRefused(replica, proposal, error);
  }

  #onRefused(replica: Replica, proposal: IsrProposal, error: DomainError): void {
    replica.state.leader?.isr.refuse(proposal);
    this.#pausedUntilMs.set(replica, this.#options.clock.monotonicMs() + refusalPauseMs);
    const fields = { partition: replica.name, members: proposal.members, code: error.code, reason: error.message };
    this.#options.logger.warn(fields, 'the controllers refuse a change of the in-sync replicas');
  }
}

/** Errors after which a call may have been carried out. */
const mayHaveActed: ReadonlySet<string> = new Set(['TIMEOUT', 'SHUTTING_DOWN', 'CANCELLED', 'UNKNOWN_ERROR']);
