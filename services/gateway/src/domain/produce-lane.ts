/**
 * The requests of one ProduceStream for one partition: sent to the leader one behind the other without waiting, answered in
 * their order. Decides what may be sent, what a failure means for those behind it, and which answers may go out.
 *
 * States of a request: waiting -> sent -> answered, or sent -> failed -> waiting. After a failure nothing more is sent until
 * everything under way has come back; then the failed ones are sent again, in order. A request that failed while a later one
 * was written, or may have been, is not sent again, for it would land behind that one: its caller hears that it was not
 * written, or that this is unknown. At any time all requests under way are at one upstream.
 */
import { assert, type DomainError, type TopicPartitionName } from '@fleetmq/shared';
import type { ProduceHead } from './produce.ts';
import { type Failure, isFinal, isOpen, type RetryStep, stepAfter, unansweredError, unknownError } from './retry.ts';

/** One upstream, as far as the lane cares: an identity. */
export type UpstreamId = object;

export interface LaneRequest {
  readonly head: ProduceHead;
  readonly takenAtMs: number;
  state: 'waiting' | 'sent' | 'failed' | 'answered';
  /** Once it is answered. */
  answer: Uint8Array | undefined;
  failure: Failure | undefined;
  /** An attempt may have been carried out. */
  isOpen: boolean;
  /** The broker has said that it is in the log. */
  isWritten: boolean;
}

/** What a leader has said about a request. */
export interface LaneAnswer {
  /** Undefined: it is written. */
  readonly failure: Failure | undefined;
  readonly content: Uint8Array;
}

export interface ProduceLaneOptions {
  /** An answer that is made here. */
  readonly refuse: (head: ProduceHead, error: DomainError) => Uint8Array;
  /** How long the request after its timeout may be under way before its outcome counts as unknown. */
  readonly graceMs: number;
}

export class ProduceLane implements TopicPartitionName {
  readonly topic: string;
  readonly partition: number;
  readonly #options: ProduceLaneOptions;
  /** In order; the first one is not answered, or just about to be taken. */
  readonly #requests: LaneRequest[] = [];
  #upstream: UpstreamId | undefined;
  #sent = 0;
  #failed = 0;
  /** Before it nothing waits; from it on everything waits or has expired. */
  #firstWaiting = 0;
  /** Rounds of failure in a row. */
  attempts = 0;
  /** Nothing is sent before this (monotonic). */
  retryAtMs = 0;

  constructor({ topic, partition }: TopicPartitionName, options: ProduceLaneOptions) {
    this.topic = topic;
    this.partition = partition;
    this.#options = options;
  }

  get isEmpty(): boolean {
    return this.#requests.length === 0;
  }

  /** Whether something waits to be sent. */
  get hasWaiting(): boolean {
    return this.#nextWaiting() !== undefined;
  }

  /** Where requests are under way; undefined: none is. */
  get upstream(): UpstreamId | undefined {
    return this.#sent === 0 ? undefined : this.#upstream;
  }

  add(head: ProduceHead, nowMs: number): void {
    const plain = { answer: undefined, failure: undefined, isOpen: false, isWritten: false };
    this.#requests.push({ head, takenAtMs: nowMs, state: 'waiting', ...plain });
  }

  /** The next request for this upstream, which counts as sent; undefined: nothing may be sent there now. */
  send(upstream: UpstreamId, nowMs: number): LaneRequest | undefined {
    if (this.#failed > 0 || nowMs < this.retryAtMs) return undefined;
    if (this.#sent > 0 && this.#upstream !== upstream) return undefined;
    const request = this.#nextWaiting();
    if (request === undefined) return undefined;
    assert(request.state === 'waiting', 'what is behind the first that waits waits too');
    this.#upstream = upstream;
    request.state = 'sent';
    this.#sent++;
    this.#firstWaiting++;
    return request;
  }

  /** The leader has answered. A request that is not under way any more has its answer already. */
  take(request: LaneRequest, answer: LaneAnswer): void {
    if (request.state !== 'sent') return;
    if (answer.failure === undefined) {
      request.isWritten = true;
      this.attempts = 0;
      this.#finish(request, answer.content);
    } else {
      this.#fail(request, answer.failure, answer.content);
    }
  }

  /** Everything under way is lost, in the way that `failure` says. */
  lose(failure: Failure): void {
    for (const request of this.#requests) if (request.state === 'sent') this.#fail(request, failure);
  }

  /** Whether everything under way may be given up and sent to another leader. */
  get isAllSafe(): boolean {
    return this.#requests.every((request) => request.state !== 'sent' || request.head.isSafe);
  }

  /** Makes failed requests wait again once nothing is under way. True: there are some, and `retryAtMs` should be set. */
  recover(): boolean {
    if (this.#failed === 0 || this.#sent > 0) return false;
    const lastWritten = this.#requests.findLastIndex(mayBeInLog);
    let again = 0;
    for (const [index, request] of this.#requests.entries()) {
      if (request.state !== 'failed') continue;
      if (index < lastWritten) {
        this.#giveUp(request, 0);
      } else {
        request.state = 'waiting';
        again++;
      }
    }
    this.#failed = 0;
    this.#firstWaiting = this.#requests.findIndex((request) => request.state === 'waiting');
    if (this.#firstWaiting < 0) this.#firstWaiting = this.#requests.length;
    if (again > 0) this.attempts++;
    return again > 0;
  }

  /** The partition does not exist: everything that waits gets this error. */
  refuseWaiting(error: DomainError): void {
    for (let request = this.#nextWaiting(); request !== undefined; request = this.#nextWaiting()) {
      this.#finish(request, this.#options.refuse(request.head, error));
    }
  }

  /** The stream ends: everything without an answer gets one that says what is known of it. */
  abandon(failure: Failure): void {
    for (const request of this.#requests) {
      if (request.state === 'answered') continue;
      request.failure = failure;
      if (request.state === 'sent') request.isOpen = true;
      this.#giveUp(request, 0);
    }
  }

  /** Answers what has waited too long. Returns when to look again. */
  expire(nowMs: number): number {
    let dueAtMs = Number.POSITIVE_INFINITY;
    for (const request of this.#requests) {
      if (request.state === 'answered') continue;
      const graceMs = request.state === 'sent' ? this.#options.graceMs : 0;
      const endAtMs = request.takenAtMs + request.head.timeoutMs + graceMs;
      if (nowMs < endAtMs) {
        dueAtMs = Math.min(dueAtMs, endAtMs);
        continue;
      }
      if (request.state === 'sent') request.isOpen = true;
      this.#giveUp(request, nowMs - request.takenAtMs);
    }
    return dueAtMs;
  }

  /** The requests whose answers may go out now, in order; each is returned once. */
  answered(): LaneRequest[] {
    const end = this.#requests.findIndex((request) => request.state !== 'answered');
    const count = end < 0 ? this.#requests.length : end;
    this.#firstWaiting = Math.max(0, this.#firstWaiting - count);
    return this.#requests.splice(0, count);
  }

  #nextWaiting(): LaneRequest | undefined {
    while (this.#requests[this.#firstWaiting]?.state === 'answered') this.#firstWaiting++;
    return this.#requests[this.#firstWaiting];
  }

  #fail(request: LaneRequest, failure: Failure, content?: Uint8Array): void {
    const wasOpen = request.isOpen;
    const step = this.#stepAfter(request, failure);
    request.failure = failure;
    request.isOpen = wasOpen || isOpen(failure);
    if (step === 'retry') {
      request.state = 'failed';
      this.#sent--;
      this.#failed++;
    } else if (step === 'unknown' || content === undefined || (wasOpen && !isFinal(failure.code))) {
      this.#giveUp(request, 0);
    } else {
      this.#finish(request, content);
    }
  }

  /** A gap in the sequence behind a request that has failed is its doing: it closes when that one is sent again. */
  #stepAfter(request: LaneRequest, failure: Failure): RetryStep {
    const isGap = failure.code === 'OUT_OF_ORDER_SEQUENCE' && this.#failed > 0;
    return isGap ? 'retry' : stepAfter(failure, request.head.isSafe);
  }

  #giveUp(request: LaneRequest, waitedMs: number): void {
    const last = request.failure?.message ?? 'it has no leader';
    const name = `partition ${this.partition} of ${this.topic}`;
    const error = request.isOpen ? unknownError(name, last) : unansweredError(name, waitedMs, last);
    this.#finish(request, this.#options.refuse(request.head, error));
  }

  #finish(request: LaneRequest, answer: Uint8Array): void {
    if (request.state === 'sent') this.#sent--;
    if (request.state === 'failed') this.#failed--;
    request.state = 'answered';
    request.answer = answer;
  }
}

/** Whether it is written, or nobody will ever know. */
function mayBeInLog(request: LaneRequest): boolean {
  return request.isWritten || (request.state === 'answered' && request.isOpen);
}
