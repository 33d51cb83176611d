/**
 * One call on the server's lane, from the request headers to the trailers. It is also the context that the handler sees.
 *
 * States: reading the request -> handler running -> concluded (status decided; the last bytes may still leave) -> closed.
 * Exactly one conclusion per call: the handler's result, its error, the deadline, a cancel by the caller, a stalled reader or
 * the server's shutdown, whichever comes first. After it nothing of the handler reaches the wire, its signal is aborted
 * unless all went well, and its iterator gets `return()`.
 * Backpressure: outgoing, the next message is pulled only when the stream takes more; incoming, see inbound.ts.
 * Every stay is bounded: the request of a single-message call by the request timeout, a unary call by its deadline, a reader
 * that takes nothing by `stallMs`, the last bytes by `flushMs`.
 */
import {
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
  type ServerStreamResponseOptions,
} from 'node:http2';
import { performance } from 'node:perf_hooks';
import type { DescMethod } from '@bufbuild/protobuf';
import { type ContextValues, createContextValues } from '@connectrpc/connect';
import { type BufferPool, DomainError, type ErrorName, type Logger } from '@fleetmq/shared';
import { toDomainError } from '../rpc-errors.ts';
import { connectionOfSession, type PeerConnection } from './connection.ts';
import { endWithFrame, FrameReader, messageLength, type RawMessage, writeFrame } from './frames.ts';
import { Inbound } from './inbound.ts';
import type { CallObservation, Gate, LaneLimits } from './limits.ts';
import { methodPath, type RawContext, type RawRoute } from './raw.ts';
import { letGoOfChunk } from './received-memory.ts';
import { errorTrailers } from './status.ts';
import { parseTimeout, timerMsMax } from './timeout.ts';

/** What all calls of one lane share. */
export interface CallEnvironment {
  readonly limits: LaneLimits;
  readonly logger: Logger;
  readonly draining: AbortSignal;
  readonly calls: Set<ServerCall>;
  readonly gate: Gate | undefined;
  readonly buffers: BufferPool | undefined;
  readonly onCall: ((observation: CallObservation) => void) | undefined;
}

const okHeaders: OutgoingHttpHeaders = {
  ':status': 200,
  'content-type': 'application/grpc+proto',
  'grpc-accept-encoding': 'identity',
};
const okTrailers: OutgoingHttpHeaders = { 'grpc-status': '0' };
// `sendDate` is an option of Node that its types lack: gRPC has no use for the header, and it costs bytes in each answer.
const withTrailers = { waitForTrailers: true, sendDate: false } as ServerStreamResponseOptions;
const withoutBody = { endStream: true, sendDate: false } as ServerStreamResponseOptions;

/** Errors of a stream are followed by its close event, which says how it ended. */
const ignoreError = (): void => undefined;

export class ServerCall implements RawContext {
  readonly method: DescMethod;
  readonly connection: PeerConnection;
  readonly draining: AbortSignal;
  readonly #route: RawRoute;
  readonly #stream: ServerHttp2Stream;
  readonly #headers: IncomingHttpHeaders;
  readonly #environment: CallEnvironment;
  readonly #startedAt = performance.now();
  #deadlineAt: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #gated: Promise<void> | undefined;
  #controller: AbortController | undefined;
  #reason: DomainError | undefined;
  #values: ContextValues | undefined;
  #inbound: Inbound | undefined;
  #iterator: AsyncIterator<RawMessage> | undefined;
  #wake: (() => void) | undefined;
  #trailers = okTrailers;
  #concluded = false;
  #isRequestRead = false;
  #isClosed = false;
  #closeListeners: (() => void)[] | undefined;

  /** A property and not a method, so that it may be taken apart from its call. */
  readonly header = (name: string): string | undefined => {
    const value = this.#headers[name];
    return Array.isArray(value) ? value.join(', ') : value;
  };

  constructor(route: RawRoute, stream: ServerHttp2Stream, headers: IncomingHttpHeaders, environment: CallEnvironment) {
    this.#route = route;
    this.#stream = stream;
    this.#headers = headers;
    this.#environment = environment;
    this.method = route.method;
    this.draining = environment.draining;
    this.connection = connectionOfSession(stream.session);
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#reason !== undefined) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  get deadlineMs(): number | undefined {
    return this.#deadlineAt === undefined ? undefined : Math.max(0, this.#deadlineAt - performance.now());
  }

  get peer(): string {
    return this.connection.address;
  }

  get values(): ContextValues {
    this.#values ??= createContextValues();
    return this.#values;
  }

  onClose(callback: () => void): void {
    if (this.#isClosed) {
      callback();
      return;
    }
    this.#closeListeners ??= [];
    this.#closeListeners.push(callback);
  }

  giveUp(reason: DomainError): void {
    if (!this.#concluded) this.#conclude(reason);
    this.#stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  }

  /** Starts the call. Never throws. */
  serve(): void {
    this.#environment.calls.add(this);
    this.#stream.on('error', ignoreError);
    this.#stream.on('close', () => this.#closed());
    this.#stream.on('drain', () => this.#wake?.());
    try {
      this.#checkEncoding();
      this.#startTimer();
      this.#openGate();
    } catch (error) {
      this.fail(toDomainError(error, this.#environment.logger));
      return;
    }
    this.#start(this.#route);
  }

  /** Ends the call with an error, unless it is concluded already. */
  fail(error: DomainError): void {
    if (this.#concluded) return;
    this.#conclude(error);
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return;
    const trailers = errorTrailers(error);
    if (stream.headersSent) {
      this.#trailers = trailers;
      stream.end();
    } else {
      stream.respond({ ...okHeaders, ...trailers }, withoutBody);
      this.#releaseRequest();
    }
    this.#boundFlush();
  }

  #start(route: RawRoute): void {
    switch (route.kind) {
      case 'unary':
        this.#readOne((request) => this.#run(async () => this.#reply(await route.handler(request, this))));
        break;
      case 'server_streaming':
        this.#readOne((request) => this.#run(() => this.#pump(route.handler(request, this))));
        break;
      case 'client_streaming': {
        const requests = this.#readAll();
        void this.#run(async () => this.#reply(await route.handler(requests, this)));
        break;
      }
      case 'bidi_streaming': {
        const requests = this.#readAll();
        void this.#run(() => this.#pump(route.handler(requests, this)));
        break;
      }
    }
  }

  /** Before any message is read: one that is not marked as compressed may be so all the same, under an encoding unknown here. */
  #checkEncoding(): void {
    const encoding = this.#headers['grpc-encoding'];
    if (encoding === undefined || encoding === 'identity') return;
    throw new DomainError('UNIMPLEMENTED', `grpc-encoding "${encoding}" is not taken: send identity`);
  }

  #startTimer(): void {
    const { defaultTimeoutMs, maxTimeoutMs, requestTimeoutMs } = this.#environment.limits;
    const header = this.#headers['grpc-timeout'];
    const asked = typeof header === 'string' ? parseTimeout(header) : undefined;
    if (asked === 0) throw new DomainError('TIMEOUT', 'the caller has no time left for this call');
    const { kind } = this.#route;
    const timeoutMs =
      kind === 'unary' ? Math.min(asked ?? defaultTimeoutMs, maxTimeoutMs) : asked && Math.min(asked, timerMsMax);
    if (timeoutMs !== undefined) this.#deadlineAt = this.#startedAt + timeoutMs;
    const isOneRequest = kind === 'unary' || kind === 'server_streaming';
    const firstMs = isOneRequest ? Math.min(timeoutMs ?? requestTimeoutMs, requestTimeoutMs) : timeoutMs;
    if (firstMs !== undefined) this.#timer = setTimeout(() => this.#late(), firstMs);
  }

  /** One timer serves both bounds: that on the request, and the deadline, which may be further away. */
  #late(): void {
    const leftMs = this.deadlineMs;
    const isInTime = leftMs !== undefined && leftMs > 0 && (this.#isRequestRead || this.#concluded);
    if (isInTime) this.#timer = setTimeout(() => this.#late(), leftMs);
    else if (this.#concluded) this.#stream.close(constants.NGHTTP2_CANCEL);
    else this.fail(new DomainError('TIMEOUT', this.#lateText(leftMs)));
  }

  #lateText(leftMs: number | undefined): string {
    if (leftMs !== 0) return `no request within ${this.#environment.limits.requestTimeoutMs} ms`;
    return `the deadline of ${Math.round((this.#deadlineAt ?? 0) - this.#startedAt)} ms has passed`;
  }

  #openGate(): void {
    const gated = this.#environment.gate?.(this);
    if (gated === undefined) return;
    this.#gated = gated;
    gated.catch((error) => this.fail(toDomainError(error, this.#environment.logger)));
  }

  /** Reads the only request message and hands it over once the caller has ended its half. */
  #readOne(start: (request: Uint8Array) => Promise<void>): void {
    const { limits, buffers } = this.#environment;
    const reader = new FrameReader(limits.readMaxBytes, { buffers, letGo: letGoOfChunk });
    let request: Uint8Array | undefined;
    const deliver = (message: Uint8Array): void => {
      if (request !== undefined) throw new DomainError('UNIMPLEMENTED', 'more than one request message in this call');
      request = message;
    };
    this.#stream.on('data', (chunk: Buffer) => this.#guard(() => reader.push(chunk, deliver)));
    this.#stream.on('end', () =>
      this.#ended(() => {
        reader.finish();
        // The status that gRPC has for a wrong number of messages (statuscodes.md).
        if (request === undefined) throw new DomainError('UNIMPLEMENTED', 'no request message in this call');
        this.#isRequestRead = true;
        if (this.#deadlineAt === undefined) clearTimeout(this.#timer);
        void start(request);
      }),
    );
  }

  #readAll(): Inbound {
    const { limits, buffers } = this.#environment;
    const { readMaxBytes: messageBytesMax, receiveBufferBytes: bufferBytesMax } = limits;
    const inbound = new Inbound({ messageBytesMax, bufferBytesMax, buffers });
    inbound.attach(this.#stream);
    this.#inbound = inbound;
    this.#stream.on('data', (chunk: Buffer) => this.#guard(() => inbound.push(chunk)));
    this.#stream.on('end', () => this.#ended(() => inbound.finish()));
    return inbound;
  }

  /** Node ends a stream that was reset like one whose request is complete. Such a call ends when its stream closes. */
  #ended(step: () => void): void {
    if (!this.#stream.aborted) this.#guard(step);
  }

  /** Runs a step of reading; nothing that a caller sends may throw into the event loop. */
  #guard(step: () => void): void {
    if (this.#concluded) return;
    try {
      step();
    } catch (error) {
      this.fail(toDomainError(error, this.#environment.logger));
    }
  }

  async #run(handle: () => Promise<void>): Promise<void> {
    try {
      if (this.#gated !== undefined) await this.#gated;
      if (!this.#concluded) await handle();
    } catch (error) {
      this.fail(toDomainError(error, this.#environment.logger));
    }
  }

  #reply(message: RawMessage): void {
    if (this.#concluded) return;
    const length = this.#checkedLength(message);
    this.#conclude(undefined);
    if (!this.#respond()) return;
    endWithFrame(this.#stream, message, length);
    // A deadline that is nearer bounds the flush as well, without a timer of its own.
    if ((this.deadlineMs ?? Number.POSITIVE_INFINITY) > this.#environment.limits.flushMs) this.#boundFlush();
  }

  async #pump(messages: AsyncIterable<RawMessage>): Promise<void> {
    const iterator = messages[Symbol.asyncIterator]();
    this.#iterator = iterator;
    for (;;) {
      const next = await iterator.next();
      if (this.#concluded) return;
      if (next.done === true) break;
      const length = this.#checkedLength(next.value);
      if (!this.#respond()) return;
      if (!writeFrame(this.#stream, next.value, length)) await this.#drained();
      if (this.#concluded) return;
    }
    this.#iterator = undefined;
    this.#conclude(undefined);
    if (!this.#respond()) return;
    this.#stream.end();
    this.#boundFlush();
  }

  #checkedLength(message: RawMessage): number {
    const length = messageLength(message);
    const { writeMaxBytes } = this.#environment.limits;
    if (length <= writeMaxBytes) return length;
    throw new DomainError(
      'REQUEST_TOO_LARGE',
      `the answer of ${length} bytes is over the limit of ${writeMaxBytes} bytes`,
    );
  }

  /** Sends the response headers unless that is done. False when the stream is gone. */
  #respond(): boolean {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) return false;
    if (stream.headersSent) return true;
    stream.once('wantTrailers', () => {
      stream.sendTrailers(this.#trailers);
      this.#releaseRequest();
    });
    stream.respond(okHeaders, withTrailers);
    return true;
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      const { stallMs } = this.#environment.limits;
      const stall = setTimeout(() => this.#stalled(stallMs), stallMs);
      this.#wake = () => {
        this.#wake = undefined;
        clearTimeout(stall);
        resolve();
      };
    });
  }

  #stalled(stallMs: number): void {
    if (!this.#concluded) this.giveUp(new DomainError('LIMIT_EXCEEDED', `the caller took nothing for ${stallMs} ms`));
  }

  #conclude(error: DomainError | undefined): void {
    this.#concluded = true;
    this.#observe(error?.code ?? 'OK');
    if (error !== undefined) {
      this.#reason = error;
      this.#controller?.abort(error);
      this.#endIterator();
    }
    this.#inbound?.drop(error);
    this.#wake?.();
    // What the caller still sends is read and thrown away, so that the stream can end.
    if (!this.#stream.destroyed) this.#stream.resume();
  }

  #endIterator(): void {
    const iterator = this.#iterator;
    this.#iterator = undefined;
    iterator?.return?.().catch((error: unknown) => {
      this.#environment.logger.warn(
        { err: error, method: methodPath(this.method) },
        'a handler failed while it was ended',
      );
    });
  }

  #observe(code: ErrorName | 'OK'): void {
    this.#environment.onCall?.({ method: this.method, code, durationMs: performance.now() - this.#startedAt });
  }

  /** The answer is complete before the request is: tell the caller to stop sending (RFC 9113, section 8.1). */
  #releaseRequest(): void {
    const stream = this.#stream;
    if (stream.readableEnded) return;
    setImmediate(() => stream.close(constants.NGHTTP2_NO_ERROR));
  }

  #boundFlush(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#stream.close(constants.NGHTTP2_CANCEL), this.#environment.limits.flushMs);
  }

  #closed(): void {
    clearTimeout(this.#timer);
    this.#isClosed = true;
    this.#environment.calls.delete(this);
    if (!this.#concluded)
      this.#conclude(new DomainError('CANCELLED', 'the caller cancelled, or its connection is lost'));
    for (const listener of this.#closeListeners ?? []) listener();
    this.#closeListeners = undefined;
  }
}
