/**
 * ProduceStream: each request goes to its partition's leader over one upstream per leader, answers come back in order per
 * partition. At most a window of requests and bytes is taken without an answer that the caller has read; then the stream is
 * not read. What happens when leaders move or fail is decided in `domain/produce-lane.ts`.
 *
 * Ends when the caller has ended and all is answered. A malformed request ends it with its error, and a gateway that closes
 * with SHUTTING_DOWN, in both cases behind the answers to everything that was taken.
 */
import {
  type BackoffOptions,
  backoffMs,
  DomainError,
  type Random,
  Ring,
  type Timer,
  type TopicPartitionName,
} from '@fleetmq/shared';
import type { RawContext } from '@fleetmq/shared/runtime';
import type { Leader } from '../domain/locate.ts';
import { produceError, readProduce, readProduceCode } from '../domain/produce.ts';
import { type LaneRequest, ProduceLane } from '../domain/produce-lane.ts';
import { type Failure, failureInBody, stepAfter } from '../domain/retry.ts';
import { ProduceUpstream } from './produce-upstream.ts';
import { forwardedHeaders, type Upstreams } from './upstreams.ts';

export interface StreamWindow {
  /** Requests that are taken and not answered. */
  readonly requestsMax: number;
  /** Their bytes; one request is always taken, however large. */
  readonly bytesMax: number;
}

const retryBackoff: BackoffOptions = { baseMs: 10, maxMs: 250 };
/** A leader answers TIMEOUT itself when a request's time is over; it is given this much longer. */
const graceMs = 1_000;

export async function* produceStream(
  upstreams: Upstreams,
  requests: AsyncIterable<Uint8Array>,
  context: RawContext,
  window: StreamWindow,
  random: Random,
): AsyncGenerator<Uint8Array> {
  const stream = new ProduceStream(upstreams, context, window, random);
  void stream.readAll(requests);
  try {
    for (let answer = await stream.next(); answer !== undefined; answer = await stream.next()) yield answer;
  } finally {
    stream.stop();
  }
}

class ProduceStream {
  readonly #upstreams: Upstreams;
  readonly #context: RawContext;
  readonly #window: StreamWindow;
  readonly #random: Random;
  readonly #lanes = new Map<string, ProduceLane>();
  readonly #leaders = new Map<string, ProduceUpstream>();
  readonly #answers: Ring<LaneRequest>;
  readonly #stopListening: () => void;
  #taken = 0;
  #takenBytes = 0;
  #hasEnded = false;
  #isStopped = false;
  #failure: unknown;
  #timer: Timer | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;

  constructor(upstreams: Upstreams, context: RawContext, window: StreamWindow, random: Random) {
    this.#upstreams = upstreams;
    this.#context = context;
    this.#window = window;
    this.#random = random;
    this.#answers = new Ring(window.requestsMax);
    this.#stopListening = upstreams.onChange(() => this.#followLeaders());
    context.signal.addEventListener('abort', () => this.stop(), { once: true });
  }

  /** Takes requests while the window has room. Never rejects: what ends the stream early is thrown by `next`. */
  async readAll(requests: AsyncIterable<Uint8Array>): Promise<void> {
    const iterator = requests[Symbol.asyncIterator]();
    const { draining } = this.#context;
    try {
      while (!this.#isEnding()) {
        const next = await unlessAborted(iterator.next(), draining);
        if (next === undefined || next.done === true) break;
        await this.#room(next.value.length);
        if (!this.#isEnding()) this.#take(next.value);
      }
      if (draining.aborted) throw new DomainError('SHUTTING_DOWN', 'the gateway closes: go on at another one');
    } catch (error) {
      this.#failure ??= error;
    }
    this.#hasEnded = true;
    this.#wakeWriter?.();
  }

  /** The next answer; undefined when there will be none. Rejects with what ended the stream, behind all answers. */
  async next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const request = this.#answers.shift();
      if (request !== undefined) {
        this.#taken--;
        this.#takenBytes -= request.head.request.length;
        this.#wakeReader?.();
        return request.answer;
      }
      if (this.#isStopped || (this.#hasEnded && this.#taken === 0)) break;
      await new Promise<void>((resolve) => {
        this.#wakeWriter = resolve;
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
    return undefined;
  }

  /** Cancels what is still under way. */
  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#stopListening();
    this.#timer?.cancel();
    for (const upstream of this.#leaders.values()) upstream.close();
    this.#wakeReader?.();
    this.#wakeWriter?.();
  }

  /** Whether nothing more is taken. */
  #isEnding(): boolean {
    return this.#isStopped || this.#failure !== undefined;
  }

  #take(bytes: Uint8Array): void {
    const head = readProduce(bytes);
    const key = keyOf(head);
    let lane = this.#lanes.get(key);
    if (lane === undefined) {
      lane = new ProduceLane(head, { refuse: produceError, graceMs });
      this.#lanes.set(key, lane);
    }
    this.#taken++;
    this.#takenBytes += bytes.length;
    const nowMs = this.#nowMs();
    lane.add(head, nowMs);
    this.#wakeAt(nowMs + head.timeoutMs);
    this.#advance(lane);
  }

  /** Moves a lane on: failed requests, requests to send, answers to hand out. */
  #advance(lane: ProduceLane): void {
    if (this.#isStopped) return;
    const nowMs = this.#nowMs();
    if (lane.recover()) {
      lane.retryAtMs = nowMs + backoffMs(lane.attempts, retryBackoff, this.#random);
      this.#wakeAt(lane.retryAtMs);
    }
    if (lane.hasWaiting && lane.retryAtMs <= nowMs) this.#send(lane, nowMs);
    for (const request of lane.answered()) this.#answers.push(request);
    if (lane.isEmpty) this.#lanes.delete(keyOf(lane));
    if (this.#answers.size > 0) this.#wakeWriter?.();
  }

  #send(lane: ProduceLane, nowMs: number): void {
    const location = this.#upstreams.locate(lane);
    if (location.kind === 'missing') {
      lane.refuseWaiting(location.error);
    } else if (location.kind === 'leader') {
      const upstream = this.#upstreamTo(location.leader);
      while (upstream.hasRoom) {
        const request = lane.send(upstream, nowMs);
        if (request === undefined) break;
        upstream.send(lane, request);
      }
    }
  }

  #upstreamTo(leader: Leader): ProduceUpstream {
    const known = this.#leaders.get(leader.url);
    if (known !== undefined) return known;
    const upstream = new ProduceUpstream(leader, this.#upstreams.transportTo(leader), {
      headers: forwardedHeaders(this.#context),
      onAnswer: (lane, request, content) => {
        const { code, message } = readProduceCode(content);
        lane.take(request, { failure: code === 'OK' ? undefined : failureInBody(code, message), content });
        this.#advance(lane);
      },
      onRoom: () => this.#advanceAll(),
      onEnd: (error) => this.#lose(upstream, error),
    });
    this.#leaders.set(leader.url, upstream);
    return upstream;
  }

  /** An upstream is gone. What it refused as a whole, a request that it could not read above all, ends the stream. */
  #lose(upstream: ProduceUpstream, error: DomainError): void {
    this.#leaders.delete(upstream.leader.url);
    const { code, message } = error;
    const isRefusal = stepAfter(error, true) === 'answer';
    if (isRefusal) {
      this.#failure ??= error;
      this.#hasEnded = true;
    }
    const failure: Failure = isRefusal
      ? { code: 'CANCELLED', message, outcomeUnknown: true }
      : { code, message, outcomeUnknown: error.outcomeUnknown };
    for (const lane of [...this.#lanes.values()]) {
      if (lane.upstream !== upstream) continue;
      lane.lose(failure);
      if (isRefusal) lane.abandon(failure);
      this.#advance(lane);
    }
    this.#wakeWriter?.();
  }

  /** The metadata has changed: requests at a leader that leads no more are given up if they may be repeated. */
  #followLeaders(): void {
    for (const lane of [...this.#lanes.values()]) {
      const { upstream } = lane;
      const location = this.#upstreams.locate(lane);
      const hasMoved =
        location.kind === 'leader' && upstream !== undefined && upstream !== this.#leaders.get(location.leader.url);
      if (hasMoved && lane.isAllSafe) {
        lane.lose({ code: 'NOT_AVAILABLE', message: 'its leader has changed', outcomeUnknown: true });
      }
      lane.retryAtMs = Math.min(lane.retryAtMs, this.#nowMs());
      this.#advance(lane);
    }
  }

  #advanceAll(): void {
    for (const lane of [...this.#lanes.values()]) this.#advance(lane);
  }

  #onTime(): void {
    this.#timerAtMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#nowMs();
    for (const lane of [...this.#lanes.values()]) {
      this.#wakeAt(lane.expire(nowMs));
      if (lane.retryAtMs > nowMs) this.#wakeAt(lane.retryAtMs);
      this.#advance(lane);
    }
  }

  /** Looks at all lanes at this time, or earlier. */
  #wakeAt(atMs: number): void {
    if (atMs >= this.#timerAtMs || this.#isStopped) return;
    this.#timer?.cancel();
    this.#timerAtMs = atMs;
    this.#timer = this.#upstreams.timers.after(Math.max(1, atMs - this.#nowMs()), () => this.#onTime());
  }

  #nowMs(): number {
    return this.#upstreams.clock.monotonicMs();
  }

  /** Waits until the window takes this many bytes more. */
  async #room(bytes: number): Promise<void> {
    const { requestsMax, bytesMax } = this.#window;
    const isFull = (): boolean =>
      this.#taken > 0 && (this.#taken >= requestsMax || this.#takenBytes + bytes > bytesMax);
    while (isFull() && !this.#isStopped) {
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve;
      });
    }
  }
}

function keyOf({ topic, partition }: TopicPartitionName): string {
  return `${topic}:${partition}`;
}

/** Undefined when the signal aborts before the value comes. */
function unlessAborted<Value>(value: Promise<Value>, signal: AbortSignal): Promise<Value | undefined> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => resolve(undefined);
    const done = (): void => signal.removeEventListener('abort', onAbort);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    value.then(resolve, reject).finally(done);
  });
}
