/**
 * Brings batches to their leaders: gathers what is due, one request per server at a time and up to `requestsMax` of them
 * open, tells each partition's window what came back, and settles the batches.
 *
 * One drain at a time, started by events and by one timer; it never awaits, so it sees a consistent state. A batch is
 * settled exactly once: written, rejected, or expired at its deadline. It never decides what may be sent again: the window does.
 * Bounds: open requests per server, bytes per request, one batch of a partition per request (the server takes the entries
 * of a request as independent).
 */
import { DomainError, type ErrorName, formatTopicPartition, type Timer } from '@fleetmq/shared';
import type { Metadata } from '../metadata.ts';
import { unroutable } from '../offsets.ts';
import type { ClientPorts } from '../ports.ts';
import type { Channel } from '../rpc/channel.ts';
import { retryDelayMs } from '../rpc/retry.ts';
import type { BatchPlace, ProducerBatch } from './batch.ts';
import { type CarriedRequest, Carrier, type Part } from './carrier.ts';
import type { IdentitySource } from './identity.ts';
import type { PartitionQueue } from './partition-queue.ts';
import { finalError } from './window.ts';
import type { Acks } from './wire.ts';

export interface SenderOptions {
  readonly clientId: string;
  readonly acks: Acks;
  readonly requestTimeoutMs: number;
  readonly requestBytes: number;
  readonly requestsMax: number;
}

export interface SenderDeps {
  readonly ports: ClientPorts;
  readonly metadata: Metadata;
  readonly identities: IdentitySource;
  /** Callers wait for memory: do not wait for lingers. */
  readonly isPressed: () => boolean;
  readonly onSettled: (batch: ProducerBatch, result: BatchPlace | DomainError) => void;
}

interface Request extends CarriedRequest {
  readonly parts: Part[];
  bytes: number;
}

/** Entries that one request takes. */
const partsMax = 1000;
/** A broker may not have heard yet of a topic that the metadata names; after this long it is believed. */
const newTopicGraceMs = 5000;

const staleRouteCodes: ReadonlySet<ErrorName> = new Set<ErrorName>([
  'NOT_LEADER',
  'NOT_AVAILABLE',
  'STALE_EPOCH',
  'TOPIC_NOT_FOUND',
  'PARTITION_NOT_FOUND',
  'SHUTTING_DOWN',
  'STORAGE_FAILED',
  'TIMEOUT',
]);

export class Sender {
  readonly #options: SenderOptions;
  readonly #deps: SenderDeps;
  readonly #active = new Set<PartitionQueue>();
  readonly #carrier: Carrier;
  readonly #openRequests = new Map<Channel, number>();
  readonly #acquiring = new Set<PartitionQueue>();
  readonly #closing = new AbortController();
  #isScheduled = false;
  #timer: Timer | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;

  constructor(options: SenderOptions, deps: SenderDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#carrier = new Carrier({
      ...options,
      ports: deps.ports,
      closing: this.#closing.signal,
      onWritten: (part, place) => {
        this.#written(part, place);
        this.wake();
      },
      onFailed: (part, error) => {
        this.#failed(part, error);
        this.wake();
      },
      onEnd: (request) => this.#requestEnded(request),
    });
  }

  /** The queue has something to do at `atMs` on the monotonic clock; undefined: now. */
  notify(queue: PartitionQueue, atMs?: number): void {
    this.#active.add(queue);
    if (atMs === undefined) this.wake();
    else this.#wakeAt(atMs);
  }

  /** Looks at all queues once the running code has ended. */
  wake(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(() => {
      this.#isScheduled = false;
      if (!this.#closing.signal.aborted) this.#drain();
    });
  }

  /** Breaks off everything: what is not settled stays so, the producer rejects it. */
  close(): void {
    this.#closing.abort(new DomainError('CANCELLED', 'the producer was closed'));
    this.#timer?.cancel();
  }

  #wakeAt(atMs: number): void {
    if (atMs >= this.#timerAtMs) return;
    this.#timer?.cancel();
    this.#timerAtMs = atMs;
    const { clock, timers } = this.#deps.ports;
    this.#timer = timers.after(Math.max(0, atMs - clock.monotonicMs()), () => {
      this.#timerAtMs = Number.POSITIVE_INFINITY;
      this.wake();
    });
  }

  #drain(): void {
    const nowMs = this.#deps.ports.clock.monotonicMs();
    const requests: Request[] = [];
    let nextMs = Number.POSITIVE_INFINITY;
    for (const queue of [...this.#active]) {
      // What was served goes to the end, so that nobody starves when requests are short.
      this.#active.delete(queue);
      nextMs = Math.min(nextMs, this.#drainQueue(queue, nowMs, requests));
      if (!queue.isIdle) this.#active.add(queue);
    }
    for (const request of requests) this.#carrier.carry(request);
    if (nextMs < Number.POSITIVE_INFINITY) this.#wakeAt(nextMs);
  }

  /** Sends what the queue may send now; answers when to look again without an event. */
  #drainQueue(queue: PartitionQueue, nowMs: number, requests: Request[]): number {
    this.#expire(queue, nowMs);
    if (queue.isIdle) return Number.POSITIVE_INFINITY;
    const { window } = queue;
    if (window.needsIdentity) {
      this.#acquireIdentity(queue);
      return expiryMs(queue);
    }
    if (queue.blockedUntilMs > nowMs) return queue.blockedUntilMs;
    const channel = this.#deps.metadata.route(queue.topic, queue.partition);
    if (channel === undefined) {
      return this.#block(queue, nowMs, unroutable(this.#deps.metadata, queue.topic, queue.partition));
    }
    queue.blockedAttempts = 0;
    const isPressed = this.#deps.isPressed();
    for (let at = 0; ; ) {
      const retry = window.dueRetry(nowMs);
      const batch = retry?.batch ?? (window.canTake() ? queue.peekReady(nowMs, isPressed) : undefined);
      if (batch === undefined) break;
      if (batch.failure !== undefined) {
        queue.shiftReady();
        this.#deps.onSettled(batch, batch.failure);
        continue;
      }
      const index = this.#reserve(requests, channel, at, batch.byteLength);
      if (index === undefined) return Number.POSITIVE_INFINITY; // The next answer of this server wakes us.
      if (retry === undefined) queue.shiftReady();
      else window.resend(retry);
      const entry = retry ?? window.take(batch, batch.recordCount);
      (requests[index] as Request).parts.push({ queue, entry });
      at = index + 1;
    }
    const openDueMs = queue.canTakeOpen ? queue.openDueMs : undefined;
    return Math.min(window.nextRetryMs ?? expiryMs(queue), openDueMs ?? expiryMs(queue), expiryMs(queue));
  }

  /** Index of a request to this server, at or behind `from`, with room for one more batch. */
  #reserve(requests: Request[], channel: Channel, from: number, bytes: number): number | undefined {
    const { requestBytes, requestsMax } = this.#options;
    for (let i = from; i < requests.length; i++) {
      const request = requests[i] as Request;
      if (request.channel !== channel || request.parts.length >= partsMax) continue;
      if (request.bytes + bytes > requestBytes) continue;
      request.bytes += bytes;
      return i;
    }
    const open = this.#openRequests.get(channel) ?? 0;
    if (open >= requestsMax) return undefined;
    this.#openRequests.set(channel, open + 1);
    requests.push({ channel, parts: [], bytes });
    return requests.length - 1;
  }

  #requestEnded({ channel }: CarriedRequest): void {
    this.#openRequests.set(channel, (this.#openRequests.get(channel) as number) - 1);
    this.wake();
  }

  #written({ queue, entry }: Part, place: BatchPlace): void {
    queue.window.succeed(entry);
    if (entry.attempts === 1) entry.batch.giveBack();
    this.#deps.onSettled(entry.batch, place);
  }

  #failed({ queue, entry }: Part, error: DomainError): void {
    const { metadata, ports } = this.#deps;
    const nowMs = ports.clock.monotonicMs();
    const isNewTopic =
      (error.code === 'TOPIC_NOT_FOUND' || error.code === 'PARTITION_NOT_FOUND') &&
      nowMs - entry.batch.createdAtMs < newTopicGraceMs;
    const judged = isNewTopic ? new DomainError(error.code, error.message, { retriable: true, cause: error }) : error;
    const hintTaken = metadata.applyHint(queue.topic, queue.partition, error.leaderHint);
    if (!hintTaken && staleRouteCodes.has(error.code)) this.#refresh(queue.topic);
    // Two servers that each name the other as the leader must not make a tight loop.
    const isQuick = hintTaken && entry.attempts === 1;
    const retryAtMs = nowMs + (isQuick ? 0 : retryDelayMs(entry.attempts, error, ports.random));
    const isFinal = retryAtMs >= entry.batch.deadlineMs || this.#closing.signal.aborted;
    for (const rejection of queue.window.fail(entry, judged, { retryAtMs, isFinal })) {
      this.#deps.onSettled(rejection.entry.batch, finalError(rejection.entry, rejection.error));
    }
  }

  #expire(queue: PartitionQueue, nowMs: number): void {
    for (const entry of [...queue.window.entries]) {
      if (entry.state !== 'waiting' || entry.batch.deadlineMs > nowMs) continue;
      queue.window.expire(entry);
      this.#deps.onSettled(entry.batch, finalError(entry, entry.lastError as DomainError));
    }
    for (let batch = queue.takeExpired(nowMs); batch !== undefined; batch = queue.takeExpired(nowMs)) {
      const name = formatTopicPartition(queue.topic, queue.partition);
      const cause = queue.window.entries[0]?.lastError ?? this.#deps.identities.lastError;
      const why = cause === undefined ? '' : `; last error: ${cause.message}`;
      const text = `records for ${name} were not sent before their deadline${why}`;
      this.#deps.onSettled(batch, batch.failure ?? new DomainError('NOT_AVAILABLE', text, { cause }));
    }
  }

  /** No leader: ask for one, and look again after a while. */
  #block(queue: PartitionQueue, nowMs: number, error: DomainError): number {
    if (!queue.hasUnsent && queue.window.nextRetryMs === undefined) return Number.POSITIVE_INFINITY;
    this.#refresh(queue.topic);
    queue.blockedAttempts++;
    queue.blockedUntilMs = nowMs + retryDelayMs(queue.blockedAttempts, error, this.#deps.ports.random);
    return queue.blockedUntilMs;
  }

  #refresh(topic: string): void {
    this.#deps.metadata.refresh(topic).then(
      () => this.wake(),
      () => undefined, // The batches have their own deadlines, and their errors say what is wrong.
    );
  }

  #acquireIdentity(queue: PartitionQueue): void {
    if (this.#acquiring.has(queue)) return;
    this.#acquiring.add(queue);
    this.#deps.identities
      .acquire(queue.window.needsFreshIdentity, this.#closing.signal)
      .then(
        (identity) => queue.window.adopt(identity),
        (error: DomainError) => this.#withoutIdentity(queue, error),
      )
      .finally(() => {
        this.#acquiring.delete(queue);
        this.notify(queue);
      });
  }

  /** What can be had later is asked for again; what is refused fails everything that waits. */
  #withoutIdentity(queue: PartitionQueue, error: DomainError): void {
    if (error.retriable || this.#closing.signal.aborted) return;
    queue.abandon(error, this.#deps.onSettled);
  }
}

/** When the oldest batch that waits gives up. What is under way has the deadline of its request. */
function expiryMs(queue: PartitionQueue): number {
  let earliest = Number.POSITIVE_INFINITY;
  for (const { state, batch } of queue.window.entries) {
    if (state === 'waiting') earliest = Math.min(earliest, batch.deadlineMs);
  }
  for (const { deadlineMs } of queue.unsent()) return Math.min(earliest, deadlineMs);
  return earliest;
}
