/**
 * Inflates batches for readers that do not take their codec, on a thread of its own: a few kilobytes become 4 MiB and two
 * million fields to check, and a reader can ask for them again and again. On the event loop that would hold up everybody.
 *
 * One job at a time, in order; beyond `waitingMax` that wait a reader is told to come again (LIMIT_EXCEEDED). The thread starts
 * with the first job. When it dies its jobs fail with NOT_AVAILABLE, and the next one starts another.
 */
import { Worker } from 'node:worker_threads';
import type { InflationLimits } from '@fleetmq/record';
import { DomainError, type ErrorName, type Logger } from '@fleetmq/shared';

export interface InflationJob {
  readonly bytes: Uint8Array;
  /** Ids of the codecs that the reader takes. */
  readonly accepted: readonly number[];
  readonly limits: InflationLimits;
  readonly answerBytesMax: number;
}

export type InflationResult =
  | { readonly kind: 'done'; bytes: Uint8Array; readonly frames: number }
  | { readonly kind: 'refused'; readonly code: ErrorName; readonly message: string }
  | { readonly kind: 'failed'; readonly message: string };

/** See `inflateFrames`. */
export interface Inflated {
  readonly bytes: Uint8Array;
  readonly frames: number;
}

/** What readers need of an `Inflater`. */
export interface BatchInflater {
  /** Jobs that wait or run. */
  readonly size: number;
  /**
   * `bytes` must not change until this is settled. Rejects with what `inflateFrames` throws, with LIMIT_EXCEEDED when too
   * many wait, and with NOT_AVAILABLE when the job was lost.
   */
  inflate(bytes: Uint8Array, accepted: Iterable<number>, answerBytesMax: number): Promise<Inflated>;
}

interface Waiting {
  readonly job: InflationJob;
  readonly resolve: (inflated: Inflated) => void;
  readonly reject: (error: unknown) => void;
}

export interface InflaterOptions {
  readonly limits: InflationLimits;
  /** Jobs that may wait. Default 16. */
  readonly waitingMax: number;
  readonly logger: Logger;
}

/** Of the thread's heap; what is inflated lies outside of it. */
const resourceLimits = { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 16 };

export class Inflater implements BatchInflater, AsyncDisposable {
  readonly #options: InflaterOptions;
  readonly #waiting: Waiting[] = [];
  #running: Waiting | undefined;
  #thread: Worker | undefined;
  #isClosed = false;

  constructor(options: InflaterOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#waiting.length + (this.#running === undefined ? 0 : 1);
  }

  inflate(bytes: Uint8Array, accepted: Iterable<number>, answerBytesMax: number): Promise<Inflated> {
    const { waitingMax, limits } = this.#options;
    if (this.#isClosed) return Promise.reject(new DomainError('SHUTTING_DOWN', 'the broker is stopping'));
    if (this.#waiting.length >= waitingMax) {
      const text = `${this.#waiting.length} reads wait to be inflated: take the codec of the batches, or come again`;
      return Promise.reject(new DomainError('LIMIT_EXCEEDED', text, { retryAfterMs: 100 }));
    }
    return new Promise((resolve, reject) => {
      const job = { bytes, accepted: [...accepted], limits, answerBytesMax };
      this.#waiting.push({ job, resolve, reject });
      this.#next();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    const thread = this.#thread;
    this.#lose(new DomainError('SHUTTING_DOWN', 'the broker is stopping'));
    await thread?.terminate();
  }

  #next(): void {
    if (this.#running !== undefined) return;
    this.#running = this.#waiting.shift();
    if (this.#running === undefined) return;
    this.#thread ??= this.#start();
    const { job } = this.#running;
    // A copy, because the memory of what was read is lent, and a view would drag all of its buffer along.
    const bytes = new Uint8Array(job.bytes);
    this.#thread.postMessage({ ...job, bytes }, [bytes.buffer]);
  }

  #start(): Worker {
    const thread = new Worker(new URL('./inflation-thread.ts', import.meta.url), { resourceLimits });
    thread.unref();
    thread.on('message', (result: InflationResult) => this.#settle(result));
    const onEnd = (reason: unknown): void => {
      if (this.#thread !== thread) return;
      this.#options.logger.error({ reason: String(reason) }, 'the thread that inflates batches has ended');
      this.#lose(new DomainError('NOT_AVAILABLE', 'the thread that inflates batches has ended', { retryAfterMs: 100 }));
    };
    thread.on('error', onEnd);
    thread.on('exit', onEnd);
    return thread;
  }

  #settle(result: InflationResult): void {
    const running = this.#running;
    this.#running = undefined;
    if (result.kind === 'done') running?.resolve(result);
    else if (result.kind === 'refused') running?.reject(new DomainError(result.code, result.message));
    else running?.reject(new Error(result.message));
    this.#next();
  }

  /** The thread is gone, and with it all that was meant for it. */
  #lose(error: DomainError): void {
    this.#thread = undefined;
    const lost = [...(this.#running === undefined ? [] : [this.#running]), ...this.#waiting.splice(0)];
    this.#running = undefined;
    for (const { reject } of lost) reject(error);
  }
}
