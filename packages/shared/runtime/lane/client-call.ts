/**
 * One call on the client's lane, from the request headers to the status. What comes back goes to a receiver: the message of
 * a unary call, or the queue of a stream.
 *
 * States: waiting for a session (outgoing messages are held, within the same bound) -> open -> over. Over comes once, with
 * the peer's status, the local deadline, the caller's signal, a broken connection or `cancel`; after it nothing is sent and
 * the receiver has had exactly one `finish` or `fail`. Errors are DomainErrors. A timeout or a lost connection never says
 * that the peer did not act; only `unprocessed` does (RFC 9113, sections 6.8 and 8.7), and then the call may be repeated.
 */
import { type ClientHttp2Stream, constants, type IncomingHttpHeaders } from 'node:http2';
import { addAbortSignal } from 'node:stream';
import type { DescMethod } from '@bufbuild/protobuf';
import { DomainError, isDomainError } from '@fleetmq/shared';
import { AnswerStatus, errorOfAnswer, errorOfReset } from './answer-status.ts';
import { endWithFrame, messageLength, type RawMessage, writeFrame } from './frames.ts';
import { methodPath } from './raw.ts';

/** Takes what the peer answers. `push` and `finish` may throw DomainErrors for what is not gRPC. */
export interface Receiver {
  attach?(stream: ClientHttp2Stream): void;
  push(chunk: Uint8Array): void;
  finish(): void;
  fail(error: DomainError): void;
}

export interface ClientCallOptions {
  readonly method: DescMethod;
  readonly receiver: Receiver;
  readonly timeoutMs: number | undefined;
  readonly signal: AbortSignal | undefined;
  readonly writeMaxBytes: number;
  /** `send` asks to wait above this many bytes that have not left, and refuses above twice as many. */
  readonly sendBufferBytes: number;
  /** Text for a connection that is lost under the call. */
  readonly failureText: (stream: ClientHttp2Stream) => string;
  /** Told once, when the call is over. */
  readonly onOver: (call: ClientCall) => void;
}

interface Waiter {
  resolve(): void;
  reject(error: DomainError): void;
}

export class ClientCall {
  readonly #options: ClientCallOptions;
  readonly #responded = Promise.withResolvers<IncomingHttpHeaders>();
  #onSent: (() => void) | undefined;
  #stream: ClientHttp2Stream | undefined;
  #held: RawMessage[] = [];
  #heldBytes = 0;
  #hasEnded = false;
  readonly #status = new AnswerStatus();
  #timer: NodeJS.Timeout | undefined;
  #over = false;
  #error: DomainError | undefined;
  #streamError: Error | undefined;
  #waiters: Waiter[] = [];
  /** Headers of the answer, once they are there. */
  headers: IncomingHttpHeaders = {};
  /** Trailers of the answer, once they are there. */
  trailers: IncomingHttpHeaders = {};
  /** True when the peer has certainly not begun with this call. */
  unprocessed = false;

  constructor(options: ClientCallOptions) {
    this.#options = options;
    this.#responded.promise.catch(() => undefined); // Only some callers ask for the headers.
    const { timeoutMs, signal } = options;
    if (timeoutMs !== undefined) this.#timer = setTimeout(() => this.#late(timeoutMs), timeoutMs);
    signal?.addEventListener('abort', this.#onAbort, { once: true });
    if (signal?.aborted === true) this.#onAbort();
  }

  get isOver(): boolean {
    return this.#over;
  }

  /** Headers of the answer; rejects when the call ends without any. */
  get responded(): Promise<IncomingHttpHeaders> {
    return this.#responded.promise;
  }

  /** The session is open and this is the call's stream. Sends what was held. */
  start(stream: ClientHttp2Stream): void {
    stream.on('error', (error) => {
      this.#streamError = error;
    });
    if (this.#over) {
      cancel(stream);
      return;
    }
    this.#stream = stream;
    this.#options.receiver.attach?.(stream);
    stream.on('response', (headers) => this.#guard(() => this.#onResponse(headers)));
    stream.on('trailers', (headers) => this.#onTrailers(headers));
    stream.on('data', (chunk: Buffer) =>
      this.#guard(() => {
        this.#status.takeData();
        this.#options.receiver.push(chunk);
      }),
    );
    stream.on('end', () => this.#guard(() => this.#onEnd()));
    stream.on('close', () => this.#onClose(stream));
    stream.on('drain', () => this.#wake());
    stream.on('finish', () => this.#onSent?.());
    this.#sendHeld(stream);
  }

  /** Sends one message. False: above the high-water mark, wait for `drained`. Throws when the call is over or the buffer full. */
  send(message: RawMessage): boolean {
    this.#assertSendable();
    const length = this.#checkedLength(message);
    const waiting = this.#waitingBytes();
    if (waiting + length > 2 * this.#options.sendBufferBytes && waiting > 0) {
      throw new DomainError('LIMIT_EXCEEDED', `${waiting} bytes wait to be sent: wait for drained()`);
    }
    if (this.#stream === undefined) {
      this.#held.push(message);
      this.#heldBytes += length;
    } else {
      writeFrame(this.#stream, message, length);
    }
    return waiting + length < this.#options.sendBufferBytes;
  }

  /** Sends the last message and ends the request. */
  sendLast(message: RawMessage): void {
    this.#assertSendable();
    const length = this.#checkedLength(message);
    this.#hasEnded = true;
    if (this.#stream === undefined) this.#held.push(message);
    else endWithFrame(this.#stream, message, length);
  }

  /** Resolves when all of the request has left, or the call is over. To be called once. */
  sent(): Promise<void> {
    if (this.#over || this.#stream?.writableFinished === true) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onSent = resolve;
    });
  }

  /** Ends the request; the answer still comes. */
  end(): void {
    if (this.#hasEnded || this.#over) return;
    this.#hasEnded = true;
    this.#stream?.end();
  }

  /** Resolves when `send` would say true; rejects when the call is over. */
  drained(): Promise<void> {
    if (this.#over) return Promise.reject(this.#overError());
    if (this.#waitingBytes() < this.#options.sendBufferBytes) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  /** Ends the call with this error, unless it is over. The peer is told with a reset. */
  fail(error: DomainError): void {
    if (this.#over) return;
    this.#finish(error);
    if (this.#stream !== undefined) cancel(this.#stream);
  }

  readonly #onAbort = (): void => {
    const reason: unknown = this.#options.signal?.reason;
    this.fail(
      isDomainError(reason) ? reason : new DomainError('CANCELLED', 'the call was cancelled', { cause: reason }),
    );
  };

  #late(timeoutMs: number): void {
    const path = methodPath(this.#options.method);
    const outcomeUnknown = this.#stream !== undefined;
    const outcome = outcomeUnknown ? 'its outcome is unknown' : 'it was not sent';
    this.fail(
      new DomainError('TIMEOUT', `${path} has no answer after ${Math.ceil(timeoutMs)} ms; ${outcome}`, {
        outcomeUnknown,
      }),
    );
  }

  #assertSendable(): void {
    if (this.#over) throw this.#overError();
    if (this.#hasEnded) throw new DomainError('INVALID_REQUEST', 'a message is sent after the end of the request');
  }

  #overError(): DomainError {
    return this.#error ?? new DomainError('CANCELLED', 'the call has ended');
  }

  #checkedLength(message: RawMessage): number {
    const length = messageLength(message);
    const { writeMaxBytes } = this.#options;
    if (length <= writeMaxBytes) return length;
    throw new DomainError(
      'REQUEST_TOO_LARGE',
      `a message of ${length} bytes is over the limit of ${writeMaxBytes} bytes`,
    );
  }

  #waitingBytes(): number {
    return this.#stream === undefined ? this.#heldBytes : this.#stream.writableLength;
  }

  #sendHeld(stream: ClientHttp2Stream): void {
    const held = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    const last = this.#hasEnded ? held.pop() : undefined;
    for (const message of held) writeFrame(stream, message);
    if (last !== undefined) endWithFrame(stream, last);
    else if (this.#hasEnded) stream.end();
    this.#wake();
  }

  #wake(): void {
    if (this.#waitingBytes() >= this.#options.sendBufferBytes) return;
    for (const waiter of this.#waiters.splice(0)) waiter.resolve();
  }

  #onResponse(headers: IncomingHttpHeaders): void {
    this.#status.takeHeaders(headers);
    this.headers = headers;
    if (this.#status.current !== undefined) this.trailers = headers;
    this.#responded.resolve(headers);
  }

  #onTrailers(headers: IncomingHttpHeaders): void {
    this.trailers = headers;
    this.#status.takeTrailers(headers);
  }

  #onEnd(): void {
    const status = this.#status.current;
    if (status === undefined) {
      throw new DomainError('NOT_AVAILABLE', 'the answer ends without a gRPC status', { outcomeUnknown: true });
    }
    if (status.error === undefined) this.#options.receiver.finish();
    this.#finish(status.error);
    // Either both halves have ended, or the peer no longer wants the rest of the request: this resets it with NO_ERROR.
    if (this.#stream?.writableEnded === false) this.#stream.destroy();
  }

  #onClose(stream: ClientHttp2Stream): void {
    if (!this.#over) this.#finish(this.#errorOfClose(stream));
  }

  #errorOfClose(stream: ClientHttp2Stream): DomainError {
    const { rstCode } = stream;
    const errorCode = (this.#streamError as NodeJS.ErrnoException | undefined)?.code;
    this.unprocessed =
      rstCode === constants.NGHTTP2_REFUSED_STREAM ||
      errorCode === 'ERR_HTTP2_GOAWAY_SESSION' ||
      errorCode === 'ERR_HTTP2_INVALID_SESSION' ||
      errorCode === 'ERR_HTTP2_OUT_OF_STREAMS';
    const text = this.unprocessed ? 'the peer did not take the call' : this.#options.failureText(stream);
    return (
      this.#status.current?.error ??
      errorOfReset(rstCode ?? 0, `${methodPath(this.#options.method)}: `, text, {
        outcomeUnknown: !this.unprocessed,
        cause: this.#streamError,
      })
    );
  }

  /** Runs a step of reading; what a peer sends may end the call, never throw into the event loop. */
  #guard(step: () => void): void {
    if (this.#over) return;
    try {
      step();
    } catch (error) {
      if (!isDomainError(error)) throw error;
      this.fail(errorOfAnswer(error));
    }
  }

  #finish(error: DomainError | undefined): void {
    this.#over = true;
    this.#error = error;
    clearTimeout(this.#timer);
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    this.#held = [];
    this.#heldBytes = 0;
    this.#onSent?.();
    // An error costs its stack: none is made for a call that ended well with nobody waiting, which is nearly every call.
    if (error !== undefined || this.#waiters.length > 0) {
      const failure = this.#overError();
      for (const waiter of this.#waiters.splice(0)) waiter.reject(failure);
      this.#responded.reject(failure);
    }
    this.#options.onOver(this);
    if (error !== undefined) this.#options.receiver.fail(error);
  }
}

const aborted = AbortSignal.abort();

/**
 * Resets a stream with CANCEL. The stream's own `close` would end the request properly before it resets it, so that a peer
 * might take half a request for all of it; what an abort signal destroys is reset alone.
 */
function cancel(stream: ClientHttp2Stream): void {
  if (!stream.destroyed) addAbortSignal(aborted, stream);
}
