/**
 * The way of one batch: find the partition, check what was asked, append, wait for the acknowledgments. The first three
 * happen at once or not at all; whoever is refused there has written nothing. From the append on an answer that is no ack
 * says only what is true: undone, not enough replicas, or unknown (P5).
 *
 * No promise here: the outcome is told to a callback, once, perhaps before `append` returns.
 */
import type { ListenerName } from '@fleetmq/metadata';
import { attribute, type BatchLimits, type ValidatedBatch, validateProduced } from '@fleetmq/record';
import {
  type Checksum,
  type Clock,
  DomainError,
  isDomainError,
  type LeaderEpoch,
  type Lease,
  type TopicPartitionName,
  WireReader,
} from '@fleetmq/shared';
import { ackRule } from '../domain/custom-acks.ts';
import type { LeaderState } from '../domain/leader.ts';
import {
  ackTimeoutMs,
  assertNotTransactional,
  assertTimestamp,
  buildLooseBatch,
  type ProduceBounds,
} from '../domain/produce.ts';
import type { ProduceAsk, ProduceOutcome } from '../wire/produce.ts';
import type { ByteBudget } from './byte-budget.ts';
import type { Partitions } from './partitions.ts';
import type { Replica } from './replica.ts';

export interface ProducerOptions {
  readonly localId: number;
  readonly partitions: Partitions;
  readonly pendingBudget: ByteBudget;
  readonly checksum: Checksum;
  readonly clock: Clock;
  readonly bounds: ProduceBounds;
  /** Limits of batches apart from their size, which is the topic's. */
  readonly batchLimits: BatchLimits;
  /** Throws NOT_AVAILABLE while this broker may not take records: not caught up, fenced, stopping. */
  readonly assertServing: () => void;
  readonly onProduced: (records: number, bytes: number) => void;
  readonly onRefused: (error: DomainError) => void;
}

/** What a batch is appended with. */
export interface AppendAsk {
  readonly target: TopicPartitionName;
  readonly acks: number;
  readonly customAckCount: number;
  readonly timeoutMs: number | undefined;
  /** Left of the call that carries it; undefined: no deadline. */
  readonly callMs: number | undefined;
  /** Which kind of addresses hints have. */
  readonly listener: ListenerName;
}

export type TellOutcome = (outcome: ProduceOutcome) => void;

export class Producer {
  readonly #options: ProducerOptions;

  constructor(options: ProducerOptions) {
    this.#options = options;
  }

  /** Makes a batch of loose records and appends it. */
  appendRecords(ask: ProduceAsk, context: Pick<AppendAsk, 'callMs' | 'listener'>, tell: TellOutcome): void {
    const batchOf = (replica: Replica): Uint8Array => {
      assertNotTransactional(ask.transactional);
      const { maxMessageBytes } = replica.config;
      if (ask.records.bytes > maxMessageBytes) throw tooLarge(ask.records.bytes, maxMessageBytes);
      return buildLooseBatch(new WireReader(ask.request), ask.records, ask);
    };
    this.#append({ ...ask, ...context }, batchOf, tell);
  }

  /** Appends a ready-made batch as it comes. `lease` is of the memory that it lies in. */
  appendBatch(ask: AppendAsk, batch: Uint8Array, tell: TellOutcome, lease?: Lease): void {
    this.#append(ask, () => batch, tell, lease);
  }

  #append(ask: AppendAsk, batchOf: (replica: Replica) => Uint8Array, tell: TellOutcome, lease?: Lease): void {
    try {
      this.#options.assertServing();
      const { topic, partition } = ask.target;
      const replica = this.#options.partitions.leading(topic, partition, ask.listener);
      const { leader } = replica.state;
      if (leader === undefined) throw new DomainError('NOT_AVAILABLE', `${replica.name} is changing its leader`);
      this.#appendTo(replica, leader, ask, batchOf, tell, lease);
    } catch (error) {
      if (!isDomainError(error)) throw error;
      this.#options.onRefused(error);
      tell(error);
    }
  }

  #appendTo(
    replica: Replica,
    leader: LeaderState,
    ask: AppendAsk,
    batchOf: (replica: Replica) => Uint8Array,
    tell: TellOutcome,
    lease: Lease | undefined,
  ): void {
    const { clock, bounds, localId } = this.#options;
    const rule = ackRule(ask.acks, ask.customAckCount, leader.replicas.length);
    leader.assertCanAck(rule);
    const log = replica.openLog();
    const batch = this.#validate(replica, batchOf(replica));
    this.#assertRoom(batch.bytes.length);
    if (!replica.acks.hasRoom(rule)) {
      throw new DomainError('LIMIT_EXCEEDED', `too many requests wait for ${replica.name}`, { retryAfterMs: 50 });
    }
    const appendTimeMs = Math.floor(clock.wallMs());
    const stamp = { leaderEpoch: leader.leaderEpoch as LeaderEpoch, appendTimeMs };
    const appended = log.appendAsLeader(batch, stamp, lease);
    if (appended.kind === 'appended') this.#options.onProduced(batch.recordCount, batch.bytes.length);
    const outcome = {
      offset: appended.baseOffset,
      appendTimeMs: appended.appendTimeMs,
      logStartOffset: log.startOffset,
      leaderId: localId,
    };
    replica.onAppended();
    if (rule.kind === 'none') {
      tell(outcome);
      return;
    }
    const timeoutMs = ackTimeoutMs(ask.timeoutMs, ask.callMs, bounds);
    replica.awaitAck(rule, {
      endOffset: appended.endOffset,
      deadlineMs: clock.monotonicMs() + timeoutMs,
      done: (error) => tell(error ?? outcome),
    });
  }

  #validate(replica: Replica, bytes: Uint8Array): ValidatedBatch {
    const { batchLimits, checksum, clock } = this.#options;
    const { config } = replica;
    const limits = { ...batchLimits, batchBytesMax: config.maxMessageBytes };
    const batch = validateProduced(bytes, limits, checksum);
    assertNotTransactional((batch.attributes & attribute.transactional) !== 0);
    assertTimestamp(batch.maxTimestampMs, clock.wallMs(), config);
    return batch;
  }

  #assertRoom(bytes: number): void {
    const { pendingBudget } = this.#options;
    if (pendingBudget.fits(bytes)) return;
    const text = `${pendingBudget.bytes} bytes wait for the disks of this broker already`;
    throw new DomainError('LIMIT_EXCEEDED', text, { retryAfterMs: 50 });
  }
}

function tooLarge(bytes: number, bytesMax: number): DomainError {
  return new DomainError('RECORD_TOO_LARGE', `records of ${bytes} bytes are over ${bytesMax}, max.message.bytes`);
}
