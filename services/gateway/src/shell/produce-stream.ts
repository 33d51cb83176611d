/**
 * ProduceStream: each request goes to its partition's leader, answers come back in order per partition. Requests for one
 * partition are sent one after the other, those for different partitions in parallel; so a repeated request never overtakes
 * or is overtaken. At most a window of requests and bytes is taken without an answer that the caller has read; then the
 * stream is not read.
 *
 * Ends when the caller has ended and all is answered. A malformed request ends it with its error, and a gateway that closes
 * with SHUTTING_DOWN, in both cases behind the answers to everything that was taken.
 */
import { DomainError, Ring } from '@fleetmq/shared';
import type { RawContext } from '@fleetmq/shared/runtime';
import { type ProduceHead, readProduce } from '../domain/produce.ts';
import { produceOne } from './produce-calls.ts';
import type { Upstreams } from './upstreams.ts';

export interface StreamWindow {
  /** Requests that are taken and not answered. */
  readonly requestsMax: number;
  /** Their bytes; one request is always taken, however large. */
  readonly bytesMax: number;
}

/** What the contract says. */
const streamWindow: StreamWindow = { requestsMax: 1_024, bytesMax: 8 * 1024 * 1024 };

interface Answer {
  readonly content: Uint8Array;
  /** Of its request. */
  readonly bytes: number;
}

export async function* produceStream(
  upstreams: Upstreams,
  requests: AsyncIterable<Uint8Array>,
  context: RawContext,
  window: StreamWindow = streamWindow,
): AsyncGenerator<Uint8Array> {
  const stream = new ProduceStream(upstreams, context, window);
  const reading = stream.readAll(requests);
  try {
    for (let answer = await stream.next(); answer !== undefined; answer = await stream.next()) {
      yield answer.content;
      stream.release(answer);
    }
    await reading;
  } finally {
    stream.stop();
  }
}

class ProduceStream {
  readonly #upstreams: Upstreams;
  readonly #context: RawContext;
  readonly #window: StreamWindow;
  readonly #answers: Ring<Answer>;
  /** The last request of each partition that is not done. */
  readonly #tails = new Map<string, Promise<void>>();
  readonly #stopping = new AbortController();
  #taken = 0;
  #takenBytes = 0;
  #running = 0;
  #hasEnded = false;
  #failure: unknown;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;

  constructor(upstreams: Upstreams, context: RawContext, window: StreamWindow) {
    this.#upstreams = upstreams;
    this.#context = context;
    this.#window = window;
    this.#answers = new Ring(window.requestsMax);
    const stop = (): void => this.stop();
    context.signal.addEventListener('abort', stop, { once: true });
  }

  /** Takes requests while the window has room. Rejects with what ends the stream early, once everything is answered. */
  async readAll(requests: AsyncIterable<Uint8Array>): Promise<void> {
    const iterator = requests[Symbol.asyncIterator]();
    const { draining } = this.#context;
    try {
      while (!this.#stopping.signal.aborted) {
        const next = await unlessAborted(iterator.next(), draining);
        if (next === undefined || next.done === true) break;
        const head = readProduce(next.value);
        await this.#room(next.value.length);
        this.#start(head);
      }
      if (draining.aborted) throw new DomainError('SHUTTING_DOWN', 'the gateway closes: go on at another one');
    } catch (error) {
      this.#failure = error;
    }
    this.#hasEnded = true;
    this.#wakeWriter?.();
  }

  /** The next answer; undefined when there will be none. Rejects with what ended the stream, or a bug of ours. */
  async next(): Promise<Answer | undefined> {
    for (;;) {
      const answer = this.#answers.shift();
      if (answer !== undefined) return answer;
      if (this.#stopping.signal.aborted || (this.#hasEnded && this.#running === 0)) break;
      await new Promise<void>((resolve) => {
        this.#wakeWriter = resolve;
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
    return undefined;
  }

  /** The caller has taken the answer. */
  release({ bytes }: Answer): void {
    this.#taken--;
    this.#takenBytes -= bytes;
    this.#wakeReader?.();
  }

  /** Cancels what is still under way. */
  stop(): void {
    if (this.#stopping.signal.aborted) return;
    this.#stopping.abort(new DomainError('CANCELLED', 'the stream has ended'));
    this.#wakeReader?.();
    this.#wakeWriter?.();
  }

  #start(head: ProduceHead): void {
    const key = `${head.topic}:${head.partition}`;
    const before = this.#tails.get(key);
    this.#taken++;
    this.#takenBytes += head.request.length;
    this.#running++;
    const done = this.#run(head, before).then(() => {
      if (this.#tails.get(key) === done) this.#tails.delete(key);
      this.#running--;
      this.#wakeWriter?.();
    });
    this.#tails.set(key, done);
  }

  /** Never rejects. */
  async #run(head: ProduceHead, before: Promise<void> | undefined): Promise<void> {
    try {
      await before;
      if (this.#stopping.signal.aborted) return;
      const { signal } = this.#stopping;
      const header = (name: string): string | undefined => this.#context.header(name);
      const content = await produceOne(this.#upstreams, head, { signal, deadlineMs: undefined, header });
      this.#answers.push({ content, bytes: head.request.length });
    } catch (error) {
      if (this.#stopping.signal.aborted) return;
      this.#failure ??= error;
      this.stop();
    }
  }

  /** Waits until the window takes this many bytes more. */
  async #room(bytes: number): Promise<void> {
    const { requestsMax, bytesMax } = this.#window;
    const isFull = (): boolean =>
      this.#taken > 0 && (this.#taken >= requestsMax || this.#takenBytes + bytes > bytesMax);
    while (isFull() && !this.#stopping.signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve;
      });
    }
  }
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
