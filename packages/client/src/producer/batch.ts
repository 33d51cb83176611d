/**
 * One batch of a producer on its way: open (records are added), closed (its records are fixed), packed (its bytes are, or it
 * could not be packed), settled (written or failed, once; possible at any time before, too).
 * Packing fixes the bytes and their checksum; the identity is written behind them when the batch is sent, so that a
 * batch can be sent again under another identity without being built again (protobuf takes the last value of a scalar).
 */
import type { BatchBuilder, BuiltBatch, ClosedRecords, RecordHeader } from '@fleetmq/record';
import { batchField, looseRecords } from '@fleetmq/record';
import { assert, type DomainError, fieldTag, type Lease, WireWriter, wireVarint } from '@fleetmq/shared';
import type { WindowEntry } from './window.ts';

/** Where a batch lies in its partition. */
export interface BatchPlace {
  readonly baseOffset: number;
  /** Append time at the leader, milliseconds since 1970-01-01 UTC. */
  readonly timestampMs: number;
}

export class ProducerBatch {
  readonly topic: string;
  readonly partition: number;
  /** On the monotonic clock. */
  readonly createdAtMs: number;
  readonly deadlineMs: number;
  #builder: BatchBuilder | undefined;
  #records: ClosedRecords | undefined;
  #bytes: Uint8Array | undefined;
  #failure: DomainError | undefined;
  #lease: Lease | undefined;
  #recordCount = 0;
  #cost = 0;
  #contexts: unknown[] | undefined;
  #settling: PromiseWithResolvers<BatchPlace> | undefined;
  #awaitedCount = 0;

  constructor(
    at: { topic: string; partition: number; nowMs: number; deliveryTimeoutMs: number },
    builder: BatchBuilder,
  ) {
    this.topic = at.topic;
    this.partition = at.partition;
    this.createdAtMs = at.nowMs;
    this.deadlineMs = at.nowMs + at.deliveryTimeoutMs;
    this.#builder = builder;
  }

  get recordCount(): number {
    return this.#recordCount;
  }

  /** What its records took of the budget. */
  get cost(): number {
    return this.#cost;
  }

  /** What the callers gave along, by record; undefined when nobody did. */
  get contexts(): readonly unknown[] | undefined {
    return this.#contexts;
  }

  /** Records whose callers hold a promise, and so hear of a failure. */
  get awaitedCount(): number {
    return this.#awaitedCount;
  }

  get byteLength(): number {
    return this.#bytes?.length ?? (this.#records ?? this.#builder)?.byteLength ?? 0;
  }

  /** What is to be packed: undefined before the batch is closed, and once it is packed or settled. */
  get records(): ClosedRecords | undefined {
    return this.#records;
  }

  /** Its turn to be sent, or with a `failure` to be given up, may come. */
  get isPacked(): boolean {
    return this.#bytes !== undefined || this.#failure !== undefined;
  }

  /** Why it could not be packed. */
  get failure(): DomainError | undefined {
    return this.#failure;
  }

  hasRoomFor(keyBytes: number, valueBytes: number, headerBytes: number): boolean {
    return this.#builder?.hasRoomFor(keyBytes, valueBytes, headerBytes) === true;
  }

  /** Adds a record and returns its place in the batch. */
  append(
    record: {
      readonly key: Uint8Array | undefined;
      readonly value: Uint8Array | undefined;
      readonly headers: readonly RecordHeader[] | undefined;
      readonly timestampMs: number;
    },
    cost: number,
    caller: { readonly context: unknown; readonly isAwaited: boolean },
  ): number {
    assert(this.#builder !== undefined, 'a record comes to a closed batch');
    this.#builder.append(record.key, record.value, record.headers, record.timestampMs);
    this.#cost += cost;
    if (caller.isAwaited) this.#awaitedCount++;
    if (caller.context !== undefined) {
      this.#contexts ??= [];
      this.#contexts[this.#recordCount] = caller.context;
    }
    return this.#recordCount++;
  }

  /** Fixes the records. The builder is free again afterwards. */
  close(): BatchBuilder {
    assert(this.#builder !== undefined, 'a batch is closed twice');
    const builder = this.#builder;
    this.#records = builder.close();
    this.#builder = undefined;
    return builder;
  }

  /** Fixes the bytes, or that there are none. Comes too late when the batch has been settled meanwhile. */
  packed(result: BuiltBatch | DomainError): void {
    if (this.#records === undefined) return;
    this.#records = undefined;
    if ('bytes' in result) ({ bytes: this.#bytes, lease: this.#lease } = result);
    else this.#failure = result;
  }

  /** The batch as it is sent in this attempt: its bytes, and its identity behind them. */
  wire(entry: WindowEntry<ProducerBatch>): readonly Uint8Array[] {
    assert(this.#bytes !== undefined, 'a batch is sent that is not packed');
    if (entry.identity === undefined) return [this.#bytes];
    const identity = new WireWriter(32)
      .varint(fieldTag(batchField.producerId, wireVarint))
      .varint64(entry.identity.producerId)
      .varint(fieldTag(batchField.producerEpoch, wireVarint))
      .varint(entry.identity.producerEpoch)
      .varint(fieldTag(batchField.baseSequence, wireVarint))
      .varint(entry.baseSequence);
    return [this.#bytes, identity.finish()];
  }

  /** Its records without their batch; undefined when they are compressed. */
  loose(): Uint8Array | undefined {
    assert(this.#bytes !== undefined, 'a batch is sent that is not packed');
    return looseRecords(this.#bytes);
  }

  /**
   * Somebody has all of the bytes and nobody will look at them again: their memory may be used for others. Not to be called when
   * there was more than one attempt, since what was sent in the first one may still be on its way.
   */
  giveBack(): void {
    this.#lease?.release();
    this.#lease = undefined;
    this.#release();
  }

  /** Settles with the batch. */
  settled(): Promise<BatchPlace> {
    if (this.#settling === undefined) {
      this.#settling = Promise.withResolvers();
      this.#settling.promise.catch(() => undefined); // Each derived promise reports for itself.
    }
    return this.#settling.promise;
  }

  resolve(place: BatchPlace): void {
    this.#release();
    this.#settling?.resolve(place);
  }

  reject(error: DomainError): void {
    this.#release();
    this.#settling?.reject(error);
  }

  #release(): void {
    this.#lease = undefined;
    this.#bytes = undefined;
    this.#records = undefined;
    this.#builder = undefined;
  }
}
