/**
 * The lives of brokers, on the leader: registrations, heartbeats, and the fencing of those that are silent.
 *
 * Heartbeats are not in the log: only what they lead to is (fence, unfence, drain, hand over). The clock is monotonic; after
 * an election, and after a pause of this process, every broker has a whole session again, because its silence may be ours.
 * `domain/liveness.ts` decides who is overdue, `domain/apply-brokers.ts` what follows from it.
 */
import type { BrokerImage } from '@fleetmq/metadata';
import {
  type BrokerEpoch,
  type BrokerId,
  type Clock,
  isDomainError,
  type Logger,
  type Timer,
  type Timers,
} from '@fleetmq/shared';
import { type DrainWork, drainWork, requireBroker, requireLife, standingOf } from '../domain/apply-brokers.ts';
import type { BrokerLife, MetadataCommand, RegisterBroker } from '../domain/commands.ts';
import { withFailedLog } from '../domain/elect.ts';
import type { FailedReplica, Heartbeat, HeartbeatAnswer } from '../domain/heartbeat.ts';
import { Liveness } from '../domain/liveness.ts';
import { ProvenLogs } from '../domain/proven-logs.ts';
import { type MetadataView, metadataLevel } from '../domain/view.ts';
import type { LeaderView } from './leader-view.ts';
import type { LeadershipState } from './leadership.ts';
import type { Proposals } from './propose.ts';

export interface BrokerSessionsOptions {
  readonly view: () => MetadataView;
  readonly leader: LeaderView;
  readonly leadership: LeadershipState;
  readonly proposals: Pick<Proposals, 'propose'>;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
  /** A broker without a heartbeat for so long is fenced. Default 3 s. */
  readonly sessionTimeoutMs: number;
  /** A broker tells how far partitions have come that it leads. Must not throw. */
  readonly onMoving: (beat: Heartbeat) => void;
}

export class BrokerSessions implements Disposable {
  readonly #options: BrokerSessionsOptions;
  readonly #liveness: Liveness;
  readonly #provenLogs = new ProvenLogs();
  /** What each broker told with its last heartbeat. */
  readonly #failures = new Map<
    BrokerId,
    { readonly brokerEpoch: BrokerEpoch; readonly replicas: readonly FailedReplica[] }
  >();
  #isElecting = false;
  /** Brokers whose fencing is under way. */
  readonly #fencing = new Set<BrokerId>();
  readonly #checkMs: number;
  readonly #ticker: Timer;
  #checkedAtMs: number;
  #wasLeader = false;

  constructor(options: BrokerSessionsOptions) {
    this.#options = options;
    this.#liveness = new Liveness(options);
    this.#checkMs = Math.max(10, options.sessionTimeoutMs / 10);
    this.#checkedAtMs = options.clock.monotonicMs();
    this.#ticker = options.timers.every(this.#checkMs, () => this.#check());
    options.leadership.addListener(({ isLeader }) => {
      if (isLeader && !this.#wasLeader) {
        this.#liveness.restart(options.clock.monotonicMs());
        this.#provenLogs.restart();
        this.#failures.clear();
      }
      this.#wasLeader = isLeader;
    });
  }

  [Symbol.dispose](): void {
    this.#ticker.cancel();
  }

  async register(command: RegisterBroker, signal: AbortSignal): Promise<BrokerEpoch> {
    const brokerEpoch = await this.#options.proposals.propose(command, signal);
    this.#liveness.heard({ brokerId: command.brokerId, brokerEpoch }, this.#options.clock.monotonicMs());
    return brokerEpoch;
  }

  /** BROKER_NOT_FOUND, STALE_BROKER_EPOCH: the broker must register again. */
  async heartbeat(beat: Heartbeat, signal: AbortSignal): Promise<HeartbeatAnswer> {
    const { view, leader, clock } = this.#options;
    const before = await leader.plan({ signal, validateOnly: false }, (image) => requireLife(image, beat));
    this.#liveness.heard(beat, clock.monotonicMs());
    this.#noteFailures(beat);
    for (const failed of beat.failedPartitions) await this.#giveUp(beat, failed, signal);
    const caughtUp = beat.metadataVersion >= before.brokerEpoch;
    if (beat.wantShutDown) await this.#drain(before, signal);
    else if (before.state === 'fenced' && caughtUp) await this.#unfence(before, signal);

    this.#provenLogs.note(view(), beat, beat.logEnds, clock.monotonicMs());
    this.#options.onMoving(beat);
    void this.#electProven();
    const broker = requireLife(view(), beat);
    const isFenced = broker.state === 'fenced';
    const isGoing = beat.wantShutDown && broker.state !== 'active';
    return {
      fenced: isFenced,
      caughtUp,
      // It looks at every partition of the broker: only for one that asks.
      mayShutDown: isGoing && (isFenced || hasNothingToDo(drainWork(view(), broker))),
      metadataVersion: view().version,
    };
  }

  /** An operator's wish: hand over what can be, or, with `cancel`, serve again. How many partitions the broker still leads. */
  async drain(target: { readonly brokerId: BrokerId; readonly cancel: boolean }, signal: AbortSignal): Promise<number> {
    const { view, leader, proposals } = this.#options;
    const call = { signal, validateOnly: false };
    const { brokerId, brokerEpoch, state, drained } = await leader.plan(call, (image) =>
      requireBroker(image, target.brokerId),
    );
    const life = { brokerId, brokerEpoch };
    if (!target.cancel) await proposals.propose({ kind: 'drain-broker', ...life, keep: true }, signal);
    else if (state === 'draining' || drained === true) {
      await proposals.propose({ kind: 'unfence-broker', ...life, cancelDrain: true }, signal);
    }
    return view()
      .partitionsOfBroker(brokerId)
      .filter(({ leaderId }) => leaderId === brokerId).length;
  }

  /** Of brokers in their present lives. What a broker said stays true while it is fenced: nobody has repaired it. */
  failedReplicas(): readonly (FailedReplica & { readonly brokerId: BrokerId })[] {
    const view = this.#options.view();
    return [...this.#failures].flatMap(([brokerId, { brokerEpoch, replicas }]) =>
      view.broker(brokerId)?.brokerEpoch === brokerEpoch ? replicas.map((each) => ({ ...each, brokerId })) : [],
    );
  }

  #noteFailures({ brokerId, brokerEpoch, failedPartitions }: Heartbeat): void {
    if (failedPartitions.length === 0) this.#failures.delete(brokerId);
    else this.#failures.set(brokerId, { brokerEpoch, replicas: failedPartitions });
  }

  async #unfence({ brokerId, brokerEpoch }: BrokerImage, signal: AbortSignal): Promise<void> {
    await this.#options.proposals.propose({ kind: 'unfence-broker', brokerId, brokerEpoch }, signal);
    this.#options.logger.info({ broker: brokerId, brokerEpoch }, 'a broker is in service');
  }

  /** Once, and again while something can still be handed over or left. */
  async #drain(broker: BrokerImage, signal: AbortSignal): Promise<void> {
    const { brokerId, brokerEpoch, state, stopping } = broker;
    const view = this.#options.view();
    const isTold = state === 'draining' && (stopping === true || metadataLevel(view) < 3);
    if (state === 'fenced' || (isTold && drainWork(view, broker).ready === 0)) return;
    await this.#options.proposals.propose({ kind: 'drain-broker', brokerId, brokerEpoch, stopping: true }, signal);
    if (!isTold) this.#options.logger.info({ broker: brokerId }, 'a broker hands over its leaderships');
  }

  /** The replica can do nothing for this partition any more: another one leads it, and it is not eligible. */
  async #giveUp(life: BrokerLife, failed: FailedReplica, signal: AbortSignal): Promise<void> {
    const { brokerId, brokerEpoch } = life;
    const view = this.#options.view();
    const partition = view.partition(failed.topicId, failed.partition);
    const next = partition && withFailedLog(partition, brokerId, standingOf(view));
    if (partition === undefined || next === undefined || next === partition) return;
    const { topicId, partition: number, leaderEpoch } = partition;
    const command: MetadataCommand =
      metadataLevel(view) >= 3
        ? { kind: 'fail-replica', brokerId, brokerEpoch, topicId, partition: number }
        : { kind: 'elect-leader', topicId, partition: number, targetId: next.leaderId, leaderEpoch };
    await this.#tryPropose(command, signal);
  }

  #check(): void {
    const { view, leadership, clock, sessionTimeoutMs } = this.#options;
    const nowMs = clock.monotonicMs();
    const pauseMs = nowMs - this.#checkedAtMs - this.#checkMs;
    this.#checkedAtMs = nowMs;
    if (!leadership.isReady) return;
    if (pauseMs > sessionTimeoutMs / 2) {
      // Heartbeats may lie unread in our own sockets.
      this.#liveness.restart(nowMs);
      return;
    }
    for (const broker of this.#liveness.overdue(view().brokers(), nowMs)) {
      if (!this.#fencing.has(broker.brokerId)) void this.#fence(broker);
    }
    void this.#electProven();
  }

  /** Partitions that nobody leads get leaders among those who have told of their logs. */
  async #electProven(): Promise<void> {
    const { view, clock, sessionTimeoutMs, logger } = this.#options;
    if (this.#isElecting) return;
    const replicas = this.#provenLogs.due(view(), clock.monotonicMs(), sessionTimeoutMs);
    if (replicas.length === 0) return;
    this.#isElecting = true;
    try {
      const isDone = await this.#tryPropose({ kind: 'elect-proven', replicas });
      if (isDone)
        logger.warn({ partitions: replicas.length }, 'replicas that stopped uncleanly lead, proven by their logs');
    } finally {
      this.#isElecting = false;
    }
  }

  async #fence({ brokerId, brokerEpoch }: BrokerImage): Promise<void> {
    this.#fencing.add(brokerId);
    try {
      const isFenced = await this.#tryPropose({ kind: 'fence-broker', brokerId, brokerEpoch });
      if (isFenced) this.#options.logger.warn({ broker: brokerId, brokerEpoch }, 'a broker was silent and is fenced');
    } finally {
      this.#fencing.delete(brokerId);
    }
  }

  /** Whether it was carried out. What is refused or lost is tried again at the next heartbeat or check. */
  async #tryPropose(command: MetadataCommand, signal?: AbortSignal): Promise<boolean> {
    try {
      await this.#options.proposals.propose(command, signal);
      return true;
    } catch (error) {
      if (!isDomainError(error)) throw error;
      this.#options.logger.info({ error, command: command.kind }, 'a command about a broker was not carried out');
      return false;
    }
  }
}

function hasNothingToDo({ ready, awaited }: DrainWork): boolean {
  return ready + awaited === 0;
}
