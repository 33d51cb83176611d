/**
 * Idempotence by producer id (KIP-98, KIP-360): per id its epoch and its last 5 batches. The table is a function of the
 * frames, so leader and follower, and a log before and after a restart, hold the same one.
 *
 * Rules for a batch (producer id, epoch, base sequence): equal to one of the last 5: duplicate, with the first answer; the
 * next in sequence: new; anything else: OUT_OF_ORDER_SEQUENCE. An older epoch is PRODUCER_FENCED; a newer one starts at
 * sequence 0. An id that is not in the table starts at 0, else UNKNOWN_PRODUCER. Sequences wrap at 2^31. Time is append
 * time, never a clock. A full table refuses new ids: forgetting an id that is in use would let a batch in twice.
 */
import { attribute, sequenceModulus } from '@fleetmq/record';
import { DomainError } from '@fleetmq/shared';

/** Where a batch was appended first. */
export interface StoredBatch {
  readonly baseSequence: number;
  readonly recordCount: number;
  readonly baseOffset: number;
  readonly appendTimeMs: number;
}

/** What the table needs of a batch. */
export interface ProducedBatch {
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly recordCount: number;
  readonly attributes: number;
}

export interface ProducerState {
  readonly producerEpoch: number;
  /** Oldest first, 1 to 5; none after a control batch that raised the epoch. */
  readonly batches: readonly StoredBatch[];
  readonly lastAppendTimeMs: number;
}

export interface ProducerBounds {
  readonly producerIdsMax: number;
  readonly producerExpiryMs: number;
}

const batchesKept = 5;
export const noProducer = 0n;

export class ProducerTable {
  /** Least recently used first. */
  readonly #states = new Map<bigint, ProducerState>();
  #bounds: ProducerBounds;

  constructor(bounds: ProducerBounds) {
    this.#bounds = bounds;
  }

  get size(): number {
    return this.#states.size;
  }

  entries(): IterableIterator<[bigint, ProducerState]> {
    return this.#states.entries();
  }

  /** Of the batches that are remembered. */
  baseOffsets(): Set<number> {
    const offsets = new Set<number>();
    for (const { batches } of this.#states.values()) for (const { baseOffset } of batches) offsets.add(baseOffset);
    return offsets;
  }

  /** What was known at `offset` of the batches that are still remembered, least recently used first. */
  entriesBelow(offset: number): [bigint, ProducerState][] {
    const entries: [bigint, ProducerState][] = [];
    for (const [producerId, state] of this.#states) {
      const batches = state.batches.filter(({ baseOffset }) => baseOffset < offset);
      const last = batches.at(-1);
      if (last !== undefined) entries.push([producerId, { ...state, batches, lastAppendTimeMs: last.appendTimeMs }]);
      else if (state.batches.length === 0) entries.push([producerId, state]);
    }
    return entries.sort(([, a], [, b]) => lastOffset(a) - lastOffset(b));
  }

  get(producerId: bigint): ProducerState | undefined {
    return this.#states.get(producerId);
  }

  /** Where this batch was appended before; undefined when it is new and may be appended. Changes nothing. */
  check(batch: ProducedBatch, nowMs: number): StoredBatch | undefined {
    if (batch.producerId === noProducer) return undefined;
    const state = this.#live(batch.producerId, nowMs);
    if (state === undefined) {
      this.#checkRoom(nowMs);
      return expectFirst(batch, 'UNKNOWN_PRODUCER', 'is not known');
    }
    if (batch.producerEpoch < state.producerEpoch) {
      throw new DomainError(
        'PRODUCER_FENCED',
        `producer ${batch.producerId} has epoch ${state.producerEpoch}, the batch comes with ${batch.producerEpoch}`,
      );
    }
    if (batch.producerEpoch > state.producerEpoch) {
      return expectFirst(batch, 'OUT_OF_ORDER_SEQUENCE', `starts epoch ${batch.producerEpoch}`);
    }
    return findDuplicate(batch, state);
  }

  /** Takes note of a batch in the log. It does not judge: what is in the log has happened. */
  record(batch: ProducedBatch, baseOffset: number, appendTimeMs: number): void {
    if (batch.producerId === noProducer) return;
    const state = this.#live(batch.producerId, appendTimeMs);
    const sameEpoch = state?.producerEpoch === batch.producerEpoch;
    const isControl = (batch.attributes & attribute.control) !== 0;
    const batches = sameEpoch ? state.batches : [];
    const { baseSequence, recordCount } = batch;
    const stored: StoredBatch = { baseSequence, recordCount, baseOffset, appendTimeMs };
    this.#states.delete(batch.producerId);
    this.#states.set(batch.producerId, {
      producerEpoch: batch.producerEpoch,
      batches: isControl ? batches : [...batches.slice(1 - batchesKept), stored],
      lastAppendTimeMs: appendTimeMs,
    });
    this.#dropExpired(appendTimeMs);
  }

  /** Puts an entry of a snapshot back, behind those that are there. */
  restore(producerId: bigint, state: ProducerState): void {
    this.#states.set(producerId, state);
  }

  clear(): void {
    this.#states.clear();
  }

  configure(bounds: ProducerBounds): void {
    this.#bounds = bounds;
  }

  #live(producerId: bigint, nowMs: number): ProducerState | undefined {
    const state = this.#states.get(producerId);
    return state === undefined || this.#isExpired(state, nowMs) ? undefined : state;
  }

  #isExpired(state: ProducerState, nowMs: number): boolean {
    return nowMs - state.lastAppendTimeMs > this.#bounds.producerExpiryMs;
  }

  #checkRoom(nowMs: number): void {
    if (this.#states.size < this.#bounds.producerIdsMax) return;
    for (const state of this.#states.values()) {
      if (this.#isExpired(state, nowMs)) return;
      const retryAfterMs = state.lastAppendTimeMs + this.#bounds.producerExpiryMs - nowMs + 1;
      throw new DomainError('LIMIT_EXCEEDED', `the log remembers ${this.#states.size} producer ids, no more`, {
        retryAfterMs,
      });
    }
  }

  #dropExpired(nowMs: number): void {
    for (const [producerId, state] of this.#states) {
      if (!this.#isExpired(state, nowMs)) return;
      this.#states.delete(producerId);
    }
  }
}

function lastOffset(state: ProducerState): number {
  return state.batches.at(-1)?.baseOffset ?? -1;
}

function expectFirst(batch: ProducedBatch, code: 'UNKNOWN_PRODUCER' | 'OUT_OF_ORDER_SEQUENCE', why: string): undefined {
  if (batch.baseSequence === 0) return undefined;
  throw new DomainError(code, `producer ${batch.producerId} ${why}, yet its batch has sequence ${batch.baseSequence}`);
}

function findDuplicate(batch: ProducedBatch, state: ProducerState): StoredBatch | undefined {
  const { baseSequence, recordCount } = batch;
  const last = state.batches.at(-1);
  const expected = last === undefined ? 0 : (last.baseSequence + last.recordCount) % sequenceModulus;
  if (baseSequence === expected) return undefined;
  const first = state.batches.find((old) => old.baseSequence === baseSequence && old.recordCount === recordCount);
  if (first !== undefined) return first;
  throw new DomainError(
    'OUT_OF_ORDER_SEQUENCE',
    `producer ${batch.producerId} sent sequence ${baseSequence} (${recordCount} records), expected is ${expected}`,
  );
}
