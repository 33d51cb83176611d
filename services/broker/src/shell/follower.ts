/**
 * The follower's side of replication: takes messages of leaders and answers each once what it carried is durable. Messages of
 * one partition are handled in the order in which they came; those that only append are handled at once, those that cut or
 * reset the log become jobs of the replica, and what comes behind them waits there.
 *
 * Who sends what: another cluster, another target, an older registration or an older leader epoch is refused and changes
 * nothing (P12). What to do with a message is decided in domain/follower.ts; truncation never goes below the own watermark
 * (P13). An answer is durable: the end that it names counts for the leader's watermark. A log that has failed confirms nothing
 * more, and every leader is told at once, unasked: an idle partition would not find out.
 */

import type { PartitionLog } from '@fleetmq/log';
import { assert, DomainError, isDomainError, type Lease, type Logger, type Offset } from '@fleetmq/shared';
import { type FollowerStep, followerStep } from '../domain/follower.ts';
import type { ReplicateAnswer, ReplicateMessage } from '../wire/replicate.ts';
import { followerView } from './log-view.ts';
import type { Partitions } from './partitions.ts';
import type { Replica } from './replica.ts';

export interface ReceiverOptions {
  readonly localId: number;
  readonly partitions: Partitions;
  readonly logger: Logger;
  readonly clusterId: () => string;
  /** Own registration; 0 before there is one. */
  readonly brokerEpoch: () => number;
  /** Registration of a broker as the metadata knows it; 0: unknown. */
  readonly knownEpochOf: (brokerId: number) => number;
  /** Told about bytes and records that came in. */
  readonly onReceived: (bytes: number) => void;
}

interface FinishedStep {
  readonly log: PartitionLog;
  readonly message: ReplicateMessage;
  readonly step: FollowerStep;
  readonly answer: AnswerTo;
  readonly lease: Lease | undefined;
}

export type AnswerTo = (answer: ReplicateAnswer) => void;

export class ReplicationReceiver {
  readonly #options: ReceiverOptions;
  /** The open streams of leaders. */
  readonly #streams = new Set<AnswerTo>();

  constructor(options: ReceiverOptions) {
    this.#options = options;
  }

  /** Sends on this stream what no message asked for, until the result is called. */
  addStream(answer: AnswerTo): () => void {
    this.#streams.add(answer);
    return () => this.#streams.delete(answer);
  }

  /** Tells the leaders of a replica whose log has failed. Those without a stream find out when they open one. */
  onFailure({ topicId, partition, failure }: Pick<Replica, 'topicId' | 'partition' | 'failure'>): void {
    if (failure === undefined) return;
    const answer = this.#refusal({ topicId, partition, correlationId: 0 }, failure);
    for (const send of this.#streams) send(answer);
  }

  /**
   * Takes a message; `answer` is called once, possibly before this returns. Never throws. `lease` is of the memory that the
   * batches lie in, and is let go when they are durable.
   */
  handle(message: ReplicateMessage, answer: AnswerTo, lease?: Lease): void {
    const refused = (error: DomainError): void => answer(this.#refusal(message, error));
    try {
      this.#assertSender(message);
      const replica = this.#replicaOf(message);
      if (message.mayRebuild) replica.onMayRebuild(message.leaderEpoch);
      if (!replica.isBusy && this.#tryAppend(replica, message, answer, lease)) lease?.release();
      else void replica.runJob(() => this.#process(replica, message, { answer, refused, lease }));
    } catch (error) {
      if (!isDomainError(error)) throw error;
      refused(error);
    }
  }

  #assertSender(message: ReplicateMessage): void {
    const { localId, clusterId, knownEpochOf, brokerEpoch } = this.#options;
    if (message.clusterId !== clusterId()) {
      throw new DomainError('WRONG_CLUSTER', `this is cluster ${clusterId()}, the message is for ${message.clusterId}`);
    }
    if (message.targetId !== localId) {
      throw new DomainError('WRONG_TARGET', `this is broker ${localId}, the message is for broker ${message.targetId}`);
    }
    if (brokerEpoch() === 0) throw new DomainError('NOT_AVAILABLE', 'this broker is not registered yet');
    const known = knownEpochOf(message.leaderId);
    if (message.leaderBrokerEpoch < known) {
      const text = `broker ${message.leaderId} is known under registration ${known}, not ${message.leaderBrokerEpoch}`;
      throw new DomainError('STALE_BROKER_EPOCH', text);
    }
  }

  #replicaOf(message: ReplicateMessage): Replica {
    const replica = this.#options.partitions.find(message.topicId, message.partition);
    if (replica === undefined) {
      const text = `partition ${message.partition} of topic ${message.topicId} is not known here (yet)`;
      throw new DomainError('PARTITION_NOT_FOUND', text, { retriable: true });
    }
    return replica;
  }

  /** Checks the epoch and adopts a newer one. The log is open afterwards. */
  #enter(replica: Replica, message: ReplicateMessage): PartitionLog {
    const log = replica.openLog();
    const { state } = replica;
    if (message.leaderEpoch < state.leaderEpoch) {
      throw new DomainError('STALE_EPOCH', `leader epoch ${state.leaderEpoch} is known, not ${message.leaderEpoch}`);
    }
    replica.observeLeader(message.leaderId, message.leaderEpoch);
    if (state.role === 'leader' || (state.leaderId !== 0 && state.leaderId !== message.leaderId)) {
      const text = `broker ${state.leaderId} leads ${replica.name} in epoch ${state.leaderEpoch}, not ${message.leaderId}`;
      throw new DomainError('STALE_EPOCH', text);
    }
    return log;
  }

  /** The usual case, without waiting. False when the log has to be changed first. */
  #tryAppend(replica: Replica, message: ReplicateMessage, answer: AnswerTo, lease: Lease | undefined): boolean {
    const log = this.#enter(replica, message);
    const step = followerStep(message, followerView(log), replica.state.highWatermark);
    if (step.kind === 'reset' || (step.kind === 'append' && step.truncateTo !== undefined)) return false;
    this.#finish(replica, { log, message, step, answer, lease });
    return true;
  }

  /** As a job: nothing else changes the log meanwhile. Everything is looked at anew, for the job may have waited. */
  async #process(
    replica: Replica,
    message: ReplicateMessage,
    {
      answer,
      refused,
      lease,
    }: {
      readonly answer: AnswerTo;
      readonly refused: (error: DomainError) => void;
      readonly lease: Lease | undefined;
    },
  ): Promise<void> {
    try {
      const log = this.#enter(replica, message);
      const step = followerStep(message, followerView(log), replica.state.highWatermark);
      const { state } = replica;
      const epoch = state.leaderEpoch;
      if (step.kind === 'append' && step.truncateTo !== undefined) {
        this.#noteCut(replica, message, step.truncateTo, log.endOffset);
        assert(step.truncateTo >= state.highWatermark, `a cut at ${step.truncateTo} is below the watermark`);
        await log.truncateTo(step.truncateTo as Offset);
        assert(log.endOffset === step.truncateTo, `the log ends at ${log.endOffset}, cut at ${step.truncateTo}`);
      } else if (step.kind === 'reset') {
        this.#noteCut(replica, message, step.startOffset, log.endOffset);
        await log.resetTo(step.startOffset as Offset);
      }
      if (state.leaderEpoch !== epoch) throw new DomainError('STALE_EPOCH', 'a newer leader came meanwhile');
      if (step.kind === 'reset') state.onReset(step.startOffset);
      this.#finish(replica, { log, message, step, answer, lease });
      lease?.release();
    } catch (error) {
      if (!isDomainError(error)) throw error;
      refused(error);
    }
  }

  /** The rest of a step, once the log ends where the batches begin. */
  #finish(replica: Replica, { log, message, step, answer, lease }: FinishedStep): void {
    if (step.kind === 'halt') {
      const error = new DomainError('CORRUPT_LOG', step.reason);
      replica.onLogFailure(error);
      throw error;
    }
    if (step.kind === 'diverged') {
      answer({
        ...this.#ok(replica, message),
        diverged: true,
        divergingEpoch: step.epoch,
        divergingEndOffset: step.endOffset,
      });
      return;
    }
    if (step.batches.length > 0) {
      log.appendAsFollower(step.batches, lease);
      this.#options.onReceived(step.batches.length);
      replica.onAppended();
    }
    const { matchedEnd } = step;
    assert(matchedEnd <= log.endOffset, `matched up to ${matchedEnd}, the log ends at ${log.endOffset}`);
    replica.whenDurable(matchedEnd, (error) => {
      if (error !== undefined) {
        answer(this.#refusal(message, error));
        return;
      }
      replica.state.onMatch(matchedEnd, message.highWatermark);
      const done = (): void => {
        const { failure } = replica;
        answer(
          failure ? this.#refusal(message, failure) : { ...this.#ok(replica, message), durableEndOffset: matchedEnd },
        );
      };
      const start = Math.min(message.logStartOffset, replica.state.highWatermark);
      if (start <= log.startOffset) done();
      else void replica.runJob(() => this.#followStart(log, { start, message, answer, done }));
    });
  }

  /** What the leader has deleted goes here, too, as far as it is committed; the answer says that it is done. */
  async #followStart(
    log: PartitionLog,
    ask: {
      readonly start: number;
      readonly message: ReplicateMessage;
      readonly answer: AnswerTo;
      readonly done: () => void;
    },
  ): Promise<void> {
    const { start, message, answer, done } = ask;
    try {
      await log.advanceStartOffset(Math.min(start, log.endOffset) as Offset);
      done();
    } catch (error) {
      if (!isDomainError(error)) throw error;
      answer(this.#refusal(message, error));
    }
  }

  #noteCut(replica: Replica, message: ReplicateMessage, at: number, endOffset: number): void {
    this.#options.logger.info(
      { partition: replica.name, leader: message.leaderId, leaderEpoch: message.leaderEpoch, at, endOffset },
      message.reset ? 'the log begins anew, as its leader asks' : 'the log is cut where it parts from its leader',
    );
  }

  #ok(replica: Replica, message: ReplicateMessage): ReplicateAnswer {
    return {
      errorCode: undefined,
      errorMessage: '',
      correlationId: message.correlationId,
      topicId: message.topicId,
      partition: message.partition,
      leaderEpoch: replica.state.leaderEpoch,
      durableEndOffset: 0,
      diverged: false,
      divergingEpoch: 0,
      divergingEndOffset: 0,
      brokerEpoch: this.#options.brokerEpoch(),
      endOffset: replica.log?.endOffset ?? 0,
    };
  }

  #refusal(
    message: Pick<ReplicateMessage, 'topicId' | 'partition' | 'correlationId'>,
    error: DomainError,
  ): ReplicateAnswer {
    const replica = this.#options.partitions.find(message.topicId, message.partition);
    return {
      errorCode: error.code,
      errorMessage: error.message,
      correlationId: message.correlationId,
      topicId: message.topicId,
      partition: message.partition,
      leaderEpoch: replica?.state.leaderEpoch ?? 0,
      durableEndOffset: 0,
      diverged: false,
      divergingEpoch: 0,
      divergingEndOffset: 0,
      brokerEpoch: this.#options.brokerEpoch(),
      endOffset: replica?.log?.endOffset ?? 0,
    };
  }
}
