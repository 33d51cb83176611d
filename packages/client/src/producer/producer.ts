/**
 * The producer as callers see it. Takes records, finds room and a partition for each, and hands them to the partition's
 * queue; the sender does the rest. Order: records of one partition leave in the order in which `send` took them, also while
 * the topic's metadata is still on its way or callers wait for memory.
 *
 * `send` answers with a receipt per record. `trySend` and `sendBatch` make no promise per record: their failures are told to
 * `onDelivery`, and else thrown by the next `flush` or `close`, so none is lost in silence.
 * Bounds: the budget (bytes, records, waiting callers) covers everything that was accepted and is not settled.
 */
import type { Codecs } from '@fleetmq/record';
import { BufferPool, type Checksum, DomainError, isDomainError, isTopicName, type Random } from '@fleetmq/shared';
import type { CallBounds, Metadata, TopicView } from '../metadata.ts';
import type { ClientPorts } from '../ports.ts';
import { toClientError } from '../rpc/errors.ts';
import { withDeadline } from '../rpc/retry.ts';
import { type Plain, plainSerde, type Serde } from '../serde.ts';
import type { BatchPlace, ProducerBatch } from './batch.ts';
import { Budget, type Later } from './budget.ts';
import { IdentitySource } from './identity.ts';
import { type CheckedOptions, checkProducerOptions, type DeliveryReport, type ProducerOptions } from './options.ts';
import { Packer } from './packer.ts';
import { PartitionQueue } from './partition-queue.ts';
import { fixedPartition, StickyChoice } from './partitioner.ts';
import {
  type Accepted,
  acceptRecord,
  type Placed,
  type ProducerRecord,
  type Receipt,
  receiptOf,
  recordBytesMax,
  type SendOptions,
} from './record.ts';
import { Sender } from './sender.ts';

export interface ProducerDeps {
  readonly metadata: Metadata;
  readonly clientId: string;
  readonly codecs: Codecs;
  readonly checksum: Checksum;
  readonly later: Later;
  readonly ports: ClientPorts;
  /** Runs when the producer has been closed. */
  readonly onClosed?: () => void;
}

interface TopicState {
  view: TopicView;
  readonly queues: (PartitionQueue | undefined)[];
  readonly sticky: StickyChoice;
}

/** Records that wait for the metadata of their topic. */
interface Waiting {
  readonly record: Accepted;
  readonly onPlaced: ((placed: Placed | DomainError) => void) | undefined;
}

/** So often a topic in use is looked at for new partitions. */
const metadataAgeMaxMs = 30_000;

export class Producer<Key = Plain, Value = Plain> implements AsyncDisposable {
  readonly #options: CheckedOptions;
  readonly #deps: ProducerDeps;
  readonly #serdes: { readonly key: Serde<Key>; readonly value: Serde<Value> };
  readonly #partitioner: ProducerOptions<Key, Value>['partitioner'];
  readonly #onDelivery: ProducerOptions<Key, Value>['onDelivery'];
  readonly #random: Random;
  readonly #wallMs: () => number;
  readonly #budget: Budget;
  /** Memory of batches: a quarter of what may be buffered waits for its next use. */
  readonly #buffers: BufferPool;
  readonly #packer: Packer;
  readonly #sender: Sender;
  readonly #topics = new Map<string, TopicState>();
  readonly #waiting = new Map<string, { readonly records: Waiting[]; readonly done: Promise<void> }>();
  /** Callers that wait for memory; what comes later stands behind them. */
  readonly #entering = new Set<Promise<void>>();
  #unreported: { readonly first: DomainError; records: number } | undefined;
  #isClosed = false;

  constructor(options: ProducerOptions<Key, Value>, deps: ProducerDeps) {
    this.#options = checkProducerOptions(options as ProducerOptions<never, never>, deps.codecs);
    this.#deps = deps;
    this.#serdes = {
      key: options.key ?? (plainSerde as unknown as Serde<Key>),
      value: options.value ?? (plainSerde as unknown as Serde<Value>),
    };
    this.#partitioner = options.partitioner;
    this.#onDelivery = options.onDelivery;
    this.#random = options.random ?? deps.ports.random;
    const { acks, requestTimeoutMs, requestBytes, requestsMax, bufferBytes, bufferRecords } = this.#options;
    const { clock, timers } = deps.ports;
    this.#wallMs = () => Math.floor(clock.wallMs());
    this.#budget = new Budget({ bytesMax: bufferBytes, recordsMax: bufferRecords, timers, later: deps.later });
    this.#buffers = new BufferPool({ idleBytesMax: bufferBytes / 4 });
    this.#packer = new Packer({ build: this.#options.build, checksum: deps.checksum });
    this.#sender = new Sender(
      { clientId: deps.clientId, acks, requestTimeoutMs, requestBytes, requestsMax },
      {
        ports: deps.ports,
        metadata: deps.metadata,
        identities: new IdentitySource(deps.metadata, deps.clientId, requestTimeoutMs),
        isPressed: () => this.#budget.hasWaiters,
        onSettled: this.#onSettled,
      },
    );
  }

  /** Estimated bytes and number of records that are accepted and not settled. */
  get buffered(): { readonly bytes: number; readonly records: number } {
    return { bytes: this.#budget.usedBytes, records: this.#budget.usedRecords };
  }

  /**
   * Sends one record, or many, and resolves with where they lie. Waits for memory when the buffer is full.
   * Errors: what the record is refused for, or TIMEOUT (not retriable) when its outcome is unknown.
   */
  send(topic: string, value: Value | null, options?: SendOptions<Key>): Promise<Receipt>;
  send(records: readonly ProducerRecord<Key, Value>[]): Promise<Receipt[]>;
  send(
    target: string | readonly ProducerRecord<Key, Value>[],
    value?: Value | null,
    options: SendOptions<Key> = {},
  ): Promise<Receipt | Receipt[]> {
    try {
      if (typeof target === 'string') return this.#sendOne(this.#accept(target, value as Value | null, options));
      const records = target.map((record) => this.#accept(record.topic, record.value, record));
      return Promise.all(records.map((record) => this.#sendOne(record)));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Takes a record if there is room for it now. Makes no promise for it: see `onDelivery` and `flush`. */
  trySend(topic: string, value: Value | null, options: SendOptions<Key> = {}): boolean {
    const record = this.#accept(topic, value, options);
    if (!this.#budget.tryTake(record.cost)) {
      this.#sender.wake();
      return false;
    }
    this.#enter(record, undefined);
    return true;
  }

  /** Takes all records, waiting for memory as needed; resolves once they are buffered, not written. See `onDelivery`, `flush`. */
  async sendBatch(records: Iterable<ProducerRecord<Key, Value>>, bounds: CallBounds = {}): Promise<void> {
    for (const input of records) {
      const record = this.#accept(input.topic, input.value, input);
      if (this.#budget.tryTake(record.cost)) this.#enter(record, undefined);
      else await this.#enterInTurn(record, undefined, bounds);
    }
  }

  /**
   * Resolves when everything that was accepted before is settled. Throws when a record failed whose caller holds no promise
   * and no `onDelivery` was given; each failure is thrown once.
   */
  async flush(bounds: CallBounds = {}): Promise<void> {
    await withDeadline(this.#settleAll(), 'flush', this.#deps.ports.timers, bounds);
    const failed = this.#unreported;
    if (failed === undefined) return;
    this.#unreported = undefined;
    const { code, message, retriable } = failed.first;
    throw new DomainError(code, `${failed.records} records were not delivered; the first: ${message}`, {
      retriable,
      cause: failed.first,
    });
  }

  /** Flushes (bounded by `timeoutMs`, default the delivery timeout), then takes nothing more. Throws as `flush` does. */
  async close(bounds: CallBounds = {}): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    try {
      await this.flush({ timeoutMs: this.#options.deliveryTimeoutMs, ...bounds });
    } finally {
      this.#sender.close();
      const error = new DomainError('CANCELLED', 'the producer was closed before the record was sent');
      for (const { queues } of this.#topics.values())
        for (const queue of queues) queue?.abandon(error, this.#onSettled);
      this.#deps.onClosed?.();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #accept(topic: string, value: Value | null, options: SendOptions<Key>): Accepted {
    if (this.#isClosed) throw new DomainError('CANCELLED', 'the producer is closed');
    if (!this.#topics.has(topic) && !isTopicName(topic)) {
      throw new DomainError('INVALID_REQUEST', `"${topic}" is no topic name`);
    }
    return acceptRecord(topic, value, options, this.#serdes, this.#wallMs);
  }

  #sendOne(record: Accepted): Promise<Receipt> {
    let direct: Promise<Receipt> | undefined;
    let settleLater: ((receipt: Promise<Receipt>) => void) | undefined;
    const onPlaced = (placed: Placed | DomainError): void => {
      const receipt = isDomainError(placed) ? Promise.reject(placed) : receiptOf(placed);
      if (settleLater === undefined) direct = receipt;
      else settleLater(receipt);
    };
    if (this.#budget.tryTake(record.cost)) this.#enter(record, onPlaced);
    else this.#enterInTurn(record, onPlaced, {}).catch((error) => onPlaced(toClientError(error)));
    return (
      direct ??
      new Promise((resolve) => {
        settleLater = resolve;
      })
    );
  }

  async #enterInTurn(record: Accepted, onPlaced: Waiting['onPlaced'], bounds: CallBounds): Promise<void> {
    this.#sender.wake();
    const timeoutMs = bounds.timeoutMs ?? this.#options.deliveryTimeoutMs;
    const turn = this.#budget.take({ bytes: record.cost, timeoutMs, signal: bounds.signal }, () =>
      this.#enter(record, onPlaced),
    );
    this.#entering.add(turn);
    try {
      await turn;
    } finally {
      this.#entering.delete(turn);
    }
  }

  /** The record has its room: into its queue, or in line behind the topic's metadata. */
  #enter(record: Accepted, onPlaced: Waiting['onPlaced']): void {
    const state = this.#topics.get(record.topic);
    const waiting = this.#waiting.get(record.topic);
    if (waiting !== undefined) {
      waiting.records.push({ record, onPlaced });
    } else if (state === undefined || state.view !== this.#deps.metadata.cachedTopic(record.topic)) {
      this.#awaitTopic(record.topic, { record, onPlaced });
    } else {
      this.#place(state, record, onPlaced);
    }
  }

  #awaitTopic(topic: string, first: Waiting): void {
    const records = [first];
    const done = this.#deps.metadata.topic(topic, { timeoutMs: this.#options.deliveryTimeoutMs }).then(
      (view) => {
        const state = this.#topics.get(topic) ?? { view, queues: [], sticky: new StickyChoice(this.#random) };
        state.view = view;
        this.#topics.set(topic, state);
        this.#waiting.delete(topic);
        for (const { record, onPlaced } of records) this.#place(state, record, onPlaced);
      },
      (thrown) => {
        this.#waiting.delete(topic);
        for (const { record, onPlaced } of records) this.#refuse(record, toClientError(thrown), onPlaced);
      },
    );
    this.#waiting.set(topic, { records, done });
  }

  #place(state: TopicState, record: Accepted, onPlaced: Waiting['onPlaced']): void {
    try {
      const number =
        fixedPartition(state.view, record, this.#partitioner) ??
        state.sticky.choose(state.view, (current) => state.queues[current]?.isBetweenBatches !== false);
      state.queues[number] ??= this.#newQueue(state.view, number);
      const queue = state.queues[number];
      const isFirst = queue.isBetweenBatches;
      const { closedCount } = queue;
      if (isFirst) this.#deps.metadata.refreshIfOlder(record.topic, metadataAgeMaxMs);
      const caller = { context: record.context, isAwaited: onPlaced !== undefined };
      const placed = queue.append(record, record.cost, caller);
      onPlaced?.(placed);
      const isDue =
        this.#budget.hasWaiters ||
        placed.batch.byteLength >= this.#options.batchBytes ||
        queue.closedCount > closedCount;
      if (isDue) this.#sender.notify(queue);
      else if (isFirst) this.#sender.notify(queue, this.#options.lingerMs === 0 ? undefined : queue.openDueMs);
    } catch (error) {
      if (!isDomainError(error)) throw error;
      this.#refuse(record, error, onPlaced);
    }
  }

  #newQueue(view: TopicView, partition: number): PartitionQueue {
    const options = this.#options;
    const topicBytesMax = Number(view.config['max.message.bytes'] ?? Number.POSITIVE_INFINITY);
    return new PartitionQueue(view.name, partition, {
      ...options,
      batchBytes: Math.max(1024, Math.min(options.batchBytes, topicBytesMax - 1024)),
      recordBytesMax,
      packer: this.#packer,
      onPacked: (queue) => this.#sender.notify(queue),
      clock: this.#deps.ports.clock,
      buffers: this.#buffers,
    });
  }

  #refuse(record: Accepted, error: DomainError, onPlaced: Waiting['onPlaced']): void {
    this.#budget.give(record.cost, 1);
    onPlaced?.(error);
    const { topic, partition = -1, context } = record;
    const report = {
      topic,
      partition,
      recordCount: 1,
      contexts: [context],
      error,
      baseOffset: undefined,
      timestampMs: undefined,
    };
    this.#report(report, onPlaced === undefined ? 1 : 0);
  }

  readonly #onSettled = (batch: ProducerBatch, result: BatchPlace | DomainError): void => {
    const { topic, partition, recordCount } = batch;
    const isFailed = isDomainError(result);
    const report: DeliveryReport = {
      topic,
      partition,
      recordCount,
      contexts: batch.contexts ?? [],
      error: isFailed ? result : undefined,
      baseOffset: isFailed ? undefined : result.baseOffset,
      timestampMs: isFailed ? undefined : result.timestampMs,
    };
    this.#report(report, recordCount - batch.awaitedCount);
    if (isFailed) batch.reject(result);
    else batch.resolve(result);
    this.#budget.give(batch.cost, recordCount);
  };

  #report(report: DeliveryReport, unawaitedCount: number): void {
    const onDelivery = this.#onDelivery;
    if (onDelivery !== undefined) {
      // Not in the middle of our own work: what it throws is the caller's error, uncaught.
      queueMicrotask(() => onDelivery(report));
    } else if (report.error !== undefined && unawaitedCount > 0) {
      this.#unreported ??= { first: report.error, records: 0 };
      this.#unreported.records += unawaitedCount;
    }
  }

  async #settleAll(): Promise<void> {
    await Promise.allSettled(this.#entering);
    await Promise.all([...this.#waiting.values()].map(({ done }) => done));
    const settling: Promise<unknown>[] = [];
    for (const { queues } of this.#topics.values()) {
      for (const queue of queues) {
        if (queue === undefined || queue.isIdle) continue;
        queue.flush();
        this.#sender.notify(queue);
        for (const batch of queue.batches()) settling.push(batch.settled());
      }
    }
    await Promise.allSettled(settling);
  }
}
