/**
 * The incoming half of a streamed call, on either side: messages of an HTTP/2 stream as an async iterator with a bound.
 * While more than `bufferBytesMax` wait for the consumer, the stream is paused, so that HTTP/2 flow control stops the
 * peer; it flows again when half of that is consumed. Beside it at most one stream window is in memory.
 *
 * States: open -> finished (queue, then done) or failed (queue, then the error) or dropped (nothing more, queue discarded).
 * One consumer with one pending `next()` at a time. Never rejects a promise that nobody waits for.
 */
import type { Http2Stream } from 'node:http2';
import { assert, type BufferPool, DomainError, Ring } from '@fleetmq/shared';
import { FrameReader } from './frames.ts';
import { letGoOfChunk } from './received-memory.ts';

export interface InboundOptions {
  /** Largest message, in bytes; a larger claim fails the call before anything is allocated. */
  readonly messageBytesMax: number;
  /** The stream is paused above this many waiting bytes; each message counts 64 bytes more than its length. */
  readonly bufferBytesMax: number;
  /** Where long messages are put together. Default: memory of their own. */
  readonly buffers?: BufferPool | undefined;
}

const messageOverhead = 64;
/** One chunk of 64 KiB holds at most this many frames: the queue may pass its bound by one chunk. */
const framesPerChunkMax = 16_384;

const done: IteratorResult<Uint8Array> = { done: true, value: undefined };

interface Waiter {
  resolve(result: IteratorResult<Uint8Array>): void;
  reject(error: unknown): void;
}

export class Inbound implements AsyncIterableIterator<Uint8Array> {
  #stream: Http2Stream | undefined;
  readonly #reader: FrameReader;
  readonly #bufferBytesMax: number;
  readonly #queue: Ring<Uint8Array>;
  readonly #deliver = (message: Uint8Array): void => this.#accept(message);
  #bytes = 0;
  #paused = false;
  #over = false;
  #error: DomainError | undefined;
  #waiter: Waiter | undefined;
  #onReturn: (() => void) | undefined;

  constructor(options: InboundOptions) {
    this.#reader = new FrameReader(options.messageBytesMax, { buffers: options.buffers, letGo: letGoOfChunk });
    this.#bufferBytesMax = options.bufferBytesMax;
    this.#queue = new Ring(Math.ceil(options.bufferBytesMax / messageOverhead) + framesPerChunkMax);
  }

  /** The stream that is paused while too much waits. Its owner feeds `push`. */
  attach(stream: Http2Stream): void {
    this.#stream = stream;
  }

  /** Called once, when the consumer leaves its loop before the end. */
  set onReturn(callback: () => void) {
    this.#onReturn = callback;
  }

  /** Takes a chunk of the stream. Throws DomainErrors for what is not gRPC; the owner ends the call with them. */
  push(chunk: Uint8Array): void {
    if (this.#over) return;
    this.#reader.push(chunk, this.#deliver);
    if (this.#bytes > this.#bufferBytesMax && !this.#paused) {
      this.#paused = true;
      this.#stream?.pause();
    }
  }

  /** The peer has ended its half. Throws INVALID_REQUEST when it did so inside a frame. */
  finish(): void {
    if (this.#over) return;
    this.#reader.finish();
    this.#over = true;
    this.#settle();
  }

  /** What is queued is still delivered, then `next()` rejects with this error. */
  fail(error: DomainError): void {
    if (this.#over) return;
    this.#over = true;
    this.#error = error;
    this.#settle();
  }

  /** Throws away what is queued; the consumer sees the error if there is one, else the end. */
  drop(error?: DomainError): void {
    while (this.#queue.shift() !== undefined);
    this.#bytes = 0;
    this.#over = true;
    this.#error ??= error;
    this.#settle();
  }

  next(): Promise<IteratorResult<Uint8Array>> {
    const message = this.#queue.shift();
    if (message !== undefined) {
      this.#consumed(message);
      return Promise.resolve({ done: false, value: message });
    }
    if (this.#over) return this.#ending();
    assert(this.#waiter === undefined, 'a message stream has one consumer with one next() at a time');
    return new Promise((resolve, reject) => {
      this.#waiter = { resolve, reject };
    });
  }

  return(): Promise<IteratorResult<Uint8Array>> {
    const wasOver = this.#over;
    this.#error = undefined;
    this.drop();
    if (!wasOver) this.#onReturn?.();
    return Promise.resolve(done);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The error is given once; after it the stream is simply at its end, as a finished generator is. */
  #ending(): Promise<IteratorResult<Uint8Array>> {
    const error = this.#error;
    if (error === undefined) return Promise.resolve(done);
    this.#error = undefined;
    return Promise.reject(error);
  }

  #accept(message: Uint8Array): void {
    const waiter = this.#waiter;
    if (waiter !== undefined) {
      this.#waiter = undefined;
      waiter.resolve({ done: false, value: message });
      return;
    }
    if (!this.#queue.push(message)) throw new DomainError('LIMIT_EXCEEDED', 'too many messages wait to be read');
    this.#bytes += message.length + messageOverhead;
  }

  #consumed(message: Uint8Array): void {
    this.#bytes -= message.length + messageOverhead;
    if (!this.#paused || this.#bytes > this.#bufferBytesMax / 2) return;
    this.#paused = false;
    if (this.#stream?.destroyed === false) this.#stream.resume();
  }

  #settle(): void {
    const waiter = this.#waiter;
    if (waiter === undefined) return;
    this.#waiter = undefined;
    const error = this.#error;
    this.#error = undefined;
    if (error === undefined) waiter.resolve(done);
    else waiter.reject(error);
  }
}
