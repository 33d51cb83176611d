/**
 * The batches of one partition that have been sent and are not settled, and what an idempotent producer may do with them.
 * Pure: no clock, no promise; the sender tells it what happened and asks what may be sent.
 *
 * An entry is `sent` (a request is under way) or `waiting` (to be sent again). Sequences are given out when a batch is first
 * sent. While an entry waits, nothing new is sent, and waiting entries go out one by one from the front: so order is kept
 * over retries, and the broker always sees the next sequence (Kafka's KIP-98 and its client's Sender).
 *
 * The identity (producer id and epoch) BREAKS when its sequence cannot go on. Then nothing is sent until every request has
 * come back, the waiting batches get sequences from 0 under a fresh identity, and work goes on. It breaks
 *  - by a GAP: a batch before these was dropped and never written, so none of them can have been written either (the
 *    broker refuses gaps): all may be sent anew;
 *  - by LOST STATE: the broker does not know this producer any more, or misses batches that it had confirmed. Then a batch
 *    whose earlier attempt has an unknown outcome may be in the log: it is rejected rather than doubled (KIP-360 judges alike).
 * A batch that is dropped leaves a possible gap behind it; the next answer for a later batch tells whether it is one.
 *
 * Invariants: entries are in sequence order without holes while the identity is whole; the newest batch is less than
 * `maxInFlight` batches ahead of the oldest that is not settled, also when those between have settled: a broker knows only the
 * last five again, so a retry of the oldest must never find five newer ones stored.
 */
import { assert, DomainError } from '@fleetmq/shared';
import { isOutcomeUnknown } from '../rpc/errors.ts';

export interface ProducerIdentity {
  readonly producerId: bigint;
  readonly producerEpoch: number;
}

export interface WindowEntry<Batch> {
  readonly batch: Batch;
  readonly recordCount: number;
  /** Rises with each batch of the partition and never starts again. */
  readonly ordinal: number;
  identity: ProducerIdentity | undefined;
  baseSequence: number;
  state: 'sent' | 'waiting';
  attempts: number;
  /** A waiting entry is not sent before this time. */
  retryAtMs: number;
  /** Some attempt may have been written. */
  outcomeUnknown: boolean;
  lastError: DomainError | undefined;
}

export interface Rejection<Batch> {
  readonly entry: WindowEntry<Batch>;
  readonly error: DomainError;
}

export interface WindowOptions {
  /** 1 to 5: brokers remember the last five batches of a producer. */
  readonly maxInFlight: number;
  readonly idempotent: boolean;
}

const sequenceModulus = 2 ** 31;

export class InFlightWindow<Batch> {
  readonly #options: WindowOptions;
  readonly #entries: WindowEntry<Batch>[] = [];
  #identity: ProducerIdentity | undefined;
  /** Some batch of this identity is written. */
  #isConfirmed = false;
  #nextSequence = 0;
  #nextOrdinal = 0;
  #broken: 'gap' | 'lost-state' | undefined;
  /** Ordinals of dropped batches, rising; two are never neighbours, so there are at most `maxInFlight + 1`. */
  #possibleGaps: number[] = [];

  constructor(options: WindowOptions) {
    assert(
      Number.isInteger(options.maxInFlight) && options.maxInFlight >= 1 && options.maxInFlight <= 5,
      `maxInFlight is ${options.maxInFlight}, expected 1 to 5`,
    );
    this.#options = options;
  }

  get size(): number {
    return this.#entries.length;
  }

  get entries(): readonly WindowEntry<Batch>[] {
    return this.#entries;
  }

  get identity(): ProducerIdentity | undefined {
    return this.#identity;
  }

  /** A fresh identity is needed, and it is safe to take one: `adopt` it. */
  get needsIdentity(): boolean {
    if (!this.#options.idempotent) return false;
    if (this.#identity === undefined) return true;
    return this.#broken !== undefined && !this.#hasSent();
  }

  /** Whether the identity must not be the one that other partitions use. */
  get needsFreshIdentity(): boolean {
    return this.#broken !== undefined;
  }

  adopt(identity: ProducerIdentity): void {
    assert(this.needsIdentity, 'an identity comes when none is needed');
    this.#identity = identity;
    this.#broken = undefined;
    this.#possibleGaps = [];
    this.#isConfirmed = false;
    this.#nextSequence = 0;
    for (const entry of this.#entries) {
      entry.outcomeUnknown = false;
      this.#number(entry);
    }
  }

  /** Whether a batch that was never sent may go now, `others` of them before it. */
  canTake(others = 0): boolean {
    const oldest = this.#entries[0]?.ordinal ?? this.#nextOrdinal;
    if (this.#nextOrdinal + others - oldest >= this.#options.maxInFlight) return false;
    if (this.#hasWaiting()) return false;
    return !this.#options.idempotent || (this.#identity !== undefined && this.#broken === undefined);
  }

  /** Takes a batch in as sent. */
  take(batch: Batch, recordCount: number): WindowEntry<Batch> {
    assert(this.canTake(), 'the window takes no batch now');
    const entry: WindowEntry<Batch> = {
      batch,
      recordCount,
      ordinal: this.#nextOrdinal++,
      identity: undefined,
      baseSequence: 0,
      state: 'sent',
      attempts: 1,
      retryAtMs: 0,
      outcomeUnknown: false,
      lastError: undefined,
    };
    this.#number(entry);
    this.#entries.push(entry);
    return entry;
  }

  /** The entry that is to be sent again now; `resend` it. Undefined while others must come back first. */
  dueRetry(nowMs: number): WindowEntry<Batch> | undefined {
    const first = this.#entries[0];
    if (first === undefined || first.state !== 'waiting' || first.retryAtMs > nowMs || this.#hasSent())
      return undefined;
    return this.#broken === undefined && (!this.#options.idempotent || this.#identity !== undefined)
      ? first
      : undefined;
  }

  /** When `dueRetry` may answer next, or undefined when it is not a matter of time. */
  get nextRetryMs(): number | undefined {
    const first = this.#entries[0];
    return first?.state === 'waiting' && !this.#hasSent() && this.#broken === undefined ? first.retryAtMs : undefined;
  }

  resend(entry: WindowEntry<Batch>): void {
    assert(entry.state === 'waiting' && this.#entries[0] === entry, 'only the first waiting entry is sent again');
    entry.state = 'sent';
    entry.attempts++;
  }

  /** The batch is written. */
  succeed(entry: WindowEntry<Batch>): void {
    this.#remove(entry);
    this.#isConfirmed = true;
    this.#possibleGaps = this.#possibleGaps.filter((gap) => gap > entry.ordinal);
  }

  /**
   * An attempt failed. Entries that are not in the result wait for another attempt, from `retryAtMs` on.
   * `isFinal`: no time is left for another one.
   */
  fail(
    entry: WindowEntry<Batch>,
    error: DomainError,
    next: { readonly retryAtMs: number; readonly isFinal: boolean },
  ): Rejection<Batch>[] {
    entry.lastError = error;
    if (isOutcomeUnknown(error)) entry.outcomeUnknown = true;
    entry.retryAtMs = next.retryAtMs;
    const isSequenceError = error.code === 'OUT_OF_ORDER_SEQUENCE' || error.code === 'UNKNOWN_PRODUCER';
    if (next.isFinal || !(error.retriable || (isSequenceError && this.#options.idempotent))) {
      this.#drop(entry);
      return [{ entry, error }];
    }
    entry.state = 'waiting';
    if (isSequenceError && this.#entries[0] === entry && this.#broken === undefined) {
      // A broker that never stored anything of this identity does not know it at all.
      const isHole = error.code === 'OUT_OF_ORDER_SEQUENCE' || !this.#isConfirmed;
      const isGap = isHole && this.#possibleGaps.some((gap) => gap < entry.ordinal);
      this.#broken = isGap ? 'gap' : 'lost-state';
    }
    return this.#rejectUnsafe();
  }

  /** Gives up an entry that waits. */
  expire(entry: WindowEntry<Batch>): void {
    assert(entry.state === 'waiting', 'an entry expires only while no request is under way');
    this.#drop(entry);
  }

  #drop(entry: WindowEntry<Batch>): void {
    const isFirst = this.#entries[0] === entry;
    const isLast = this.#entries.at(-1) === entry;
    this.#remove(entry);
    if (!this.#options.idempotent || this.#broken !== undefined) return;
    if (!entry.outcomeUnknown && isLast) this.#nextSequence = entry.baseSequence;
    else if (!entry.outcomeUnknown && isFirst) this.#broken = 'gap';
    else this.#notePossibleGap(entry.ordinal);
  }

  #notePossibleGap(ordinal: number): void {
    const before = this.#possibleGaps.filter((gap) => gap < ordinal);
    const last = before.at(-1);
    const isNeighbour =
      last !== undefined && !this.#entries.some((entry) => entry.ordinal > last && entry.ordinal < ordinal);
    if (!isNeighbour) before.push(ordinal);
    this.#possibleGaps = [...before, ...this.#possibleGaps.filter((gap) => gap > ordinal)];
  }

  /** After lost state, what may be in the log is not sent a second time. */
  #rejectUnsafe(): Rejection<Batch>[] {
    if (this.#broken !== 'lost-state') return [];
    const unsafe = this.#entries.filter(({ state, outcomeUnknown }) => state === 'waiting' && outcomeUnknown);
    for (const entry of unsafe) this.#remove(entry);
    return unsafe.map((entry) => ({ entry, error: entry.lastError as DomainError }));
  }

  #number(entry: WindowEntry<Batch>): void {
    if (!this.#options.idempotent) return;
    entry.identity = this.#identity;
    entry.baseSequence = this.#nextSequence;
    this.#nextSequence = (this.#nextSequence + entry.recordCount) % sequenceModulus;
  }

  #remove(entry: WindowEntry<Batch>): void {
    const at = this.#entries.indexOf(entry);
    assert(at >= 0, 'an entry is settled twice');
    this.#entries.splice(at, 1);
  }

  #hasSent(): boolean {
    return this.#entries.some(({ state }) => state === 'sent');
  }

  #hasWaiting(): boolean {
    return this.#entries.some(({ state }) => state === 'waiting');
  }
}

/** What the caller hears: a last attempt that may have been written is a TIMEOUT with an unknown outcome. */
export function finalError(entry: WindowEntry<unknown>, error: DomainError): DomainError {
  if (!entry.outcomeUnknown || error.code === 'TIMEOUT') return error;
  return new DomainError(
    'TIMEOUT',
    `the outcome of the write is unknown; last error: ${error.code}: ${error.message}`,
    {
      retriable: false,
      cause: error,
    },
  );
}
