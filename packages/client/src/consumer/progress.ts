/**
 * How far a consumer is in one partition. Pure. Two positions: `fetched`, the next offset to ask for, and `delivered`, the next
 * one to hand to the caller; what lies between is buffered. A generation ties buffered batches and open streams to the state
 * that they were made under: `seek`, `pause` and a reset start a new one, and what belongs to an older one is dropped.
 *
 * Invariants: delivered <= fetched; neither goes back but by `moveTo` and `rewind`; a batch is taken only if it reaches beyond `fetched`, so
 * each offset is handed over once, across any number of reconnects. The partition is finished when delivered >= end.
 */
import { assert, DomainError, type Offset, toOffset } from '@fleetmq/shared';

export class PartitionProgress {
  readonly topic: string;
  readonly partition: number;
  #fetched: number;
  #delivered: number;
  /** First offset that is not wanted any more; undefined: no end. */
  end: number | undefined;
  isPaused = false;
  /** Rises with every jump: ties buffered batches to the state that they were fetched under. */
  generation = 0;
  /** Rises when the partition must be subscribed to anew: after a jump, and after an error. */
  subscription = 0;
  /** Not asked for before this time (after an error), on the monotonic clock. */
  retryAtMs = 0;
  /** Errors since the last answer. */
  failures = 0;
  /** Offset after the last committed record, as far as the leader has said. */
  highWatermark = 0;
  /** The end of the log that the caller began at, until a record has been handed over. */
  origin: 'earliest' | 'latest' | undefined;

  constructor(topic: string, partition: number, start: number, origin?: 'earliest' | 'latest') {
    this.topic = topic;
    this.partition = partition;
    this.#fetched = toOffset(start);
    this.#delivered = this.#fetched;
    this.origin = origin;
  }

  /** The next offset to ask for. */
  get fetched(): Offset {
    return this.#fetched as Offset;
  }

  /** The next offset that the caller gets. */
  get position(): Offset {
    return this.#delivered as Offset;
  }

  get isFetched(): boolean {
    return this.end !== undefined && this.#fetched >= this.end;
  }

  get isFinished(): boolean {
    return this.end !== undefined && this.#delivered >= this.end;
  }

  /** Goes on at this offset; forgets what was fetched. */
  moveTo(offset: number, origin?: 'earliest' | 'latest'): void {
    this.#fetched = toOffset(offset);
    this.#delivered = this.#fetched;
    this.generation++;
    this.subscription++;
    this.origin = origin;
    this.retryAtMs = 0;
  }

  /** Forgets what is fetched and not delivered. */
  rewind(): void {
    this.generation++;
    this.subscription++;
    this.#fetched = this.#delivered;
  }

  /**
   * A batch of offsets [base, end) has come. False: it holds nothing new. It may begin below the next offset (then its first
   * records are skipped) or above it, where records were compacted away.
   */
  take(base: number, end: number): boolean {
    assert(end > base, `a batch of ${base} to ${end} is empty`);
    return this.skipTo(end);
  }

  /** The server says that nothing more lies before this offset. False: that was known. */
  skipTo(offset: number): boolean {
    if (offset <= this.#fetched) return false;
    this.#fetched = offset;
    return true;
  }

  /** Offsets below `offset` have been handed over. */
  deliver(offset: number): void {
    assert(offset <= this.#fetched, `offset ${offset} is delivered before it is fetched`);
    if (offset > this.#delivered) this.#delivered = offset;
    this.origin = undefined;
  }
}

/** Where a consumer ends by itself. A number is an offset that is not read any more; a Date likewise. */
export type Until = 'end' | number | Date | { readonly count: number };

/** Checks what a caller gave; INVALID_REQUEST with the value. */
export function checkUntil(until: Until | undefined): void {
  if (until === undefined || until === 'end') return;
  if (typeof until === 'number') {
    toOffset(until);
  } else if (until instanceof Date) {
    if (Number.isNaN(until.getTime())) throw new DomainError('INVALID_REQUEST', 'until is an invalid Date');
  } else if (!Number.isSafeInteger(until.count) || until.count < 0) {
    throw new DomainError('INVALID_REQUEST', `until has a count of ${until.count}, expected 0 or more`);
  }
}

/** How many records are wanted: Infinity when `until` is no count. */
export function countOf(until: Until | undefined): number {
  return typeof until === 'object' && 'count' in until ? until.count : Number.POSITIVE_INFINITY;
}
