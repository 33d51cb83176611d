/**
 * One ProduceStream: requests come in, answers go out in order per partition, each with its request's correlation id. At most
 * a window of requests and bytes is unanswered; beyond it the stream is not read, so flow control stops the caller.
 *
 * Answers that are ready before their turn wait in the lane of their partition. A request that cannot be read ends the
 * stream with its error; one that is refused is an answer like any other.
 */
import { type BufferPool, DomainError, Ring } from '@fleetmq/shared';
import { decodeProduce, encodeProduceAnswer } from '../wire/produce.ts';
import type { AppendAsk, Producer } from './producer.ts';
import { Wakeup } from './wakeup.ts';

export interface ProduceStreamOptions {
  readonly producer: Producer;
  /** Where long requests lie. */
  readonly buffers: BufferPool;
  readonly requestsMax: number;
  readonly bytesMax: number;
  readonly listener: AppendAsk['listener'];
  /** Aborts when the caller is gone or the server stops to wait for it. */
  readonly signal: AbortSignal;
  /** Aborts when the server begins to close: what was taken is answered, then the stream ends with SHUTTING_DOWN. */
  readonly draining: AbortSignal;
}

interface Slot {
  answer: Uint8Array | undefined;
  readonly bytes: number;
}

/** The answers to `requests`, as they may go out. */
export async function* runProduceStream(
  requests: AsyncIterable<Uint8Array>,
  options: ProduceStreamOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const window = new ProduceWindow(options);
  const reading = readRequests(requests, window, options.signal);
  // A failure of the requests is thrown below, once what came before it is answered.
  reading.catch(() => undefined);
  const onAbort = (): void => window.close();
  const onDrain = (): void => window.finish();
  options.signal.addEventListener('abort', onAbort, { once: true });
  options.draining.addEventListener('abort', onDrain, { once: true });
  try {
    for (;;) {
      const answer = window.take();
      if (answer !== undefined) yield answer;
      else if (window.isDone) break;
      else await window.changed.wait();
    }
    if (options.draining.aborted) throw new DomainError('SHUTTING_DOWN', 'the broker is closing: go on with another');
    await reading;
  } finally {
    options.signal.removeEventListener('abort', onAbort);
    options.draining.removeEventListener('abort', onDrain);
    window.close();
  }
}

async function readRequests(
  requests: AsyncIterable<Uint8Array>,
  window: ProduceWindow,
  signal: AbortSignal,
): Promise<void> {
  try {
    for await (const request of requests) {
      window.submit(request);
      while (window.isFull && !signal.aborted) await window.room.wait();
      if (signal.aborted) return;
    }
  } finally {
    window.finish();
  }
}

class ProduceWindow {
  readonly changed = new Wakeup();
  readonly room = new Wakeup();
  readonly #options: ProduceStreamOptions;
  /** Per partition the answers that have not gone out, in the order of their requests. */
  readonly #lanes = new Map<string, Ring<Slot>>();
  readonly #ready: Ring<Uint8Array>;
  #requests = 0;
  #bytes = 0;
  #finished = false;
  #closed = false;

  constructor(options: ProduceStreamOptions) {
    this.#options = options;
    this.#ready = new Ring(options.requestsMax + 1);
  }

  get isFull(): boolean {
    return this.#requests >= this.#options.requestsMax || this.#bytes >= this.#options.bytesMax;
  }

  /** Everything is answered and nothing more comes. */
  get isDone(): boolean {
    return this.#closed || (this.#finished && this.#requests === 0);
  }

  submit(request: Uint8Array): void {
    const ask = decodeProduce(request);
    const { topic, partition } = ask.target;
    const key = `${topic}\n${partition}`;
    const lane = this.#lanes.get(key) ?? new Ring<Slot>(this.#options.requestsMax + 1);
    this.#lanes.set(key, lane);
    const slot: Slot = { answer: undefined, bytes: request.length };
    lane.push(slot);
    this.#requests++;
    this.#bytes += slot.bytes;
    const { producer, listener, buffers } = this.#options;
    producer.appendRecords(ask, { callMs: undefined, listener }, (outcome) => {
      slot.answer = encodeProduceAnswer(outcome, ask.correlationId);
      this.#release(key, lane);
    });
    // Its records were copied into a batch.
    buffers.leaseOf(request)?.release();
  }

  /** An answer that may go out; its request counts as answered from now on. */
  take(): Uint8Array | undefined {
    const answer = this.#ready.shift();
    if (answer === undefined) return undefined;
    this.#requests--;
    if (!this.isFull) this.room.set();
    return answer;
  }

  finish(): void {
    this.#finished = true;
    this.changed.set();
  }

  close(): void {
    this.#closed = true;
    this.room.set();
    this.changed.set();
  }

  #release(key: string, lane: Ring<Slot>): void {
    for (let head = lane.peek(); head?.answer !== undefined; head = lane.peek()) {
      lane.shift();
      this.#bytes -= head.bytes;
      this.#ready.push(head.answer);
    }
    if (lane.size === 0) this.#lanes.delete(key);
    if (this.#ready.size > 0) this.changed.set();
  }
}
