/**
 * What waits for one partition: the open batch, the closed ones, and the window of those that were sent. Records leave in
 * the order in which they came: a closed batch that is not packed yet holds up those behind it. Decides when the open batch is
 * closed: it is full, its linger is over, somebody flushes, or memory is short; as long as the window takes nothing, the open
 * batch rather grows than closes.
 * Bounds: the producer's budget bounds all queues together; the window has its own.
 */
import { BatchBuilder, type RecordHeader } from '@fleetmq/record';
import { type BufferPool, type Clock, type DomainError, Ring } from '@fleetmq/shared';
import { ProducerBatch } from './batch.ts';
import type { Packer } from './packer.ts';
import { finalError, InFlightWindow } from './window.ts';

export interface QueueOptions {
  readonly batchBytes: number;
  readonly batchRecords: number;
  /** Bound of a record that is larger than `batchBytes`: it gets a batch of its own. */
  readonly recordBytesMax: number;
  readonly lingerMs: number;
  readonly deliveryTimeoutMs: number;
  readonly maxInFlight: number;
  readonly idempotent: boolean;
  readonly packer: Packer;
  /** A batch has been packed after it was closed: it may be its turn. */
  readonly onPacked: (queue: PartitionQueue) => void;
  readonly clock: Clock;
  /** Where batches lie. */
  readonly buffers: BufferPool;
}

export interface OutgoingRecord {
  readonly key: Uint8Array | undefined;
  readonly value: Uint8Array | undefined;
  readonly headers: readonly RecordHeader[] | undefined;
  readonly headerBytes: number;
  readonly timestampMs: number;
}

export class PartitionQueue {
  readonly topic: string;
  readonly partition: number;
  readonly window: InFlightWindow<ProducerBatch>;
  /** Nothing is sent before this time; set by the sender while there is no leader. */
  blockedUntilMs = 0;
  blockedAttempts = 0;
  readonly #options: QueueOptions;
  readonly #closed: Ring<ProducerBatch> = new Ring(2 ** 31);
  #open: ProducerBatch | undefined;
  #spare: BatchBuilder | undefined;
  #isFlushing = false;

  constructor(topic: string, partition: number, options: QueueOptions) {
    this.topic = topic;
    this.partition = partition;
    this.#options = options;
    this.window = new InFlightWindow({ maxInFlight: options.maxInFlight, idempotent: options.idempotent });
  }

  get isIdle(): boolean {
    return this.#open === undefined && this.#closed.size === 0 && this.window.size === 0;
  }

  get hasUnsent(): boolean {
    return this.#open !== undefined || this.#closed.size > 0;
  }

  /** Whether the next record opens a new batch; a sticky partitioner then moves on. */
  get isBetweenBatches(): boolean {
    return this.#open === undefined;
  }

  /** Closed batches that were never sent, packed or not. */
  get closedCount(): number {
    return this.#closed.size;
  }

  /** Adds a record to the open batch, or to a new one. RECORD_TOO_LARGE above `recordBytesMax`. */
  append(
    record: OutgoingRecord,
    cost: number,
    caller: { readonly context: unknown; readonly isAwaited: boolean },
  ): { readonly batch: ProducerBatch; readonly index: number } {
    const keyBytes = record.key?.length ?? 0;
    const valueBytes = record.value?.length ?? 0;
    const open = this.#open;
    const { batchBytes, clock } = this.#options;
    if (
      open !== undefined &&
      (open.byteLength >= batchBytes || !open.hasRoomFor(keyBytes, valueBytes, record.headerBytes))
    ) {
      this.#closeOpen();
    }
    if (this.#open === undefined) {
      this.#open = this.#newBatch(keyBytes + valueBytes + record.headerBytes, clock.monotonicMs());
      this.#isFlushing = false;
    }
    const batch = this.#open;
    try {
      return { batch, index: batch.append(record, cost, caller) };
    } finally {
      if (batch.recordCount === 0) this.#open = undefined;
    }
  }

  /** What is open goes out without waiting for its linger. */
  flush(): void {
    this.#isFlushing = this.#open !== undefined;
  }

  /** When the open batch is due, on the monotonic clock. */
  get openDueMs(): number | undefined {
    return this.#open === undefined
      ? undefined
      : this.#isFlushing
        ? 0
        : this.#open.createdAtMs + this.#options.lingerMs;
  }

  /** The next batch to send (or with its `failure` to give up), if one is due and packed; it stays first until `shiftReady`. */
  peekReady(nowMs: number, isPressed: boolean): ProducerBatch | undefined {
    const first = this.#closed.peek();
    if (first?.isPacked === true) return first;
    if (!this.#isOpenDue(nowMs, isPressed)) return undefined;
    this.#closeOpen();
    const next = this.#closed.peek();
    return next?.isPacked === true ? next : undefined;
  }

  /** Whether it is time to close the open batch. Those that are being packed will take their room in the window before it. */
  #isOpenDue(nowMs: number, isPressed: boolean): boolean {
    if (this.#open === undefined || !this.canTakeOpen) return false;
    const isFull = this.#open.byteLength >= this.#options.batchBytes;
    return isPressed || isFull || (this.openDueMs as number) <= nowMs;
  }

  /** Whether the window has room for the open batch and everything before it. */
  get canTakeOpen(): boolean {
    return this.window.canTake(this.#closed.size);
  }

  shiftReady(): void {
    this.#closed.shift();
  }

  /** Every batch that is not settled, oldest first. */
  *batches(): Generator<ProducerBatch> {
    for (const { batch } of this.window.entries) yield batch;
    yield* this.unsent();
  }

  /** The batches that were never sent, oldest first. */
  *unsent(): Generator<ProducerBatch> {
    for (let i = 0; i < this.#closed.size; i++) yield this.#closed.at(i) as ProducerBatch;
    if (this.#open !== undefined) yield this.#open;
  }

  /** Takes out the oldest batch that was never sent, if its deadline is over. */
  takeExpired(nowMs: number): ProducerBatch | undefined {
    const first = this.#closed.peek() ?? this.#open;
    if (first === undefined || first.deadlineMs > nowMs) return undefined;
    if (first === this.#open) this.#open = undefined;
    else this.#closed.shift();
    return first;
  }

  /** Takes out the oldest batch that was never sent. */
  takeUnsent(): ProducerBatch | undefined {
    return this.takeExpired(Number.POSITIVE_INFINITY);
  }

  /** Gives up everything that no request carries. */
  abandon(error: DomainError, onSettled: (batch: ProducerBatch, error: DomainError) => void): void {
    for (const entry of [...this.window.entries]) {
      if (entry.state !== 'waiting') continue;
      this.window.expire(entry);
      onSettled(entry.batch, finalError(entry, error));
    }
    for (let batch = this.takeUnsent(); batch !== undefined; batch = this.takeUnsent()) {
      onSettled(batch, batch.failure ?? error);
    }
  }

  #newBatch(recordBytes: number, nowMs: number): ProducerBatch {
    const { topic, partition } = this;
    const { batchBytes, batchRecords, recordBytesMax, deliveryTimeoutMs, buffers } = this.#options;
    const isLarge = recordBytes + 64 > batchBytes;
    let builder = isLarge ? undefined : this.#spare;
    if (builder === undefined) {
      builder = new BatchBuilder({
        recordBytesMax: isLarge ? recordBytesMax : batchBytes,
        recordsMax: batchRecords,
        buffers,
      });
    } else {
      this.#spare = undefined;
    }
    return new ProducerBatch({ topic, partition, nowMs, deliveryTimeoutMs }, builder);
  }

  #closeOpen(): void {
    const batch = this.#open as ProducerBatch;
    const { packer, onPacked, batchBytes } = this.#options;
    const builder = batch.close();
    if (builder.recordBytesMax === batchBytes) this.#spare = builder;
    this.#open = undefined;
    this.#closed.push(batch);
    packer.pack(batch, () => onPacked(this));
  }
}
