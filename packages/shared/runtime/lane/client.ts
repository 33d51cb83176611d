/**
 * The client's lane: plain gRPC over one HTTP/2 connection to one address. It is a Connect `Transport`, so every generated
 * client runs on it, and it calls the hot RPCs with raw bytes, without a message class.
 *
 * Both ways of calling throw DomainErrors (Connect's `createClient` passes them through unchanged): with the code that the
 * server's ErrorResponse names, else by the status. A unary call that the peer has certainly not begun is repeated once on
 * a new connection; nothing else is ever repeated here, retries belong to the callers.
 * Bounds: open calls, bytes per direction and call, message sizes, and for unary calls a deadline even if none is named.
 */
import type { ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2';
import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import type { StreamResponse, Transport, UnaryResponse } from '@connectrpc/connect';
import { DomainError, isDomainError } from '@fleetmq/shared';
import { BodyTurns, longBodyBytes } from './body-turns.ts';
import { ClientCall, type Receiver } from './client-call.ts';
import { plainHeaders, pushHeaders, webHeaders } from './client-headers.ts';
import { messageLength, type RawMessage } from './frames.ts';
import { Inbound } from './inbound.ts';
import { methodPath } from './raw.ts';
import { type ClientTls, LaneSession } from './session.ts';
import { formatTimeout } from './timeout.ts';
import { UnaryReceiver } from './unary-receiver.ts';

export interface LaneClientLimits {
  /** Largest answer message, in bytes. Default 16 MiB. */
  readonly readMaxBytes: number;
  /** Largest request message, in bytes. Default 16 MiB. */
  readonly writeMaxBytes: number;
  /** Answer bytes of a stream that may wait for the consumer before the peer is stopped. Default 8 MiB. */
  readonly receiveBufferBytes: number;
  /** Request bytes of a stream above which `send` says false; at twice as many it refuses. Default 1 MiB. */
  readonly sendBufferBytes: number;
  /** Open calls of the transport. Default 4,096. */
  readonly callsMax: number;
  /** Deadline of a unary call that names none. Default 30 s. */
  readonly defaultTimeoutMs: number;
}

export interface LaneTransportOptions {
  /** `http://host:port` or `https://host:port`. */
  readonly baseUrl: string;
  readonly tls?: ClientTls | undefined;
  readonly limits?: Partial<LaneClientLimits>;
  /** Flow control: bytes per stream (default 1 MiB) and per connection (default 16 MiB). */
  readonly windows?: { readonly streamBytes?: number; readonly connectionBytes?: number };
  /** PING a silent peer under open calls after `intervalMs` (default 30 s); it has `timeoutMs` to answer (default 10 s). */
  readonly keepalive?: { readonly intervalMs?: number; readonly timeoutMs?: number };
  /** Bound on opening a connection, TLS and HTTP/2 handshake included. Default 5 s. */
  readonly connectTimeoutMs?: number;
  /** Memory that Node lets one HTTP/2 session use, in MiB. Default 64. */
  readonly sessionMemoryMiB?: number;
  /** Headers for each call, asked for when the call starts, such as `authorization`. */
  readonly headers?: (method: DescMethod) => Readonly<Record<string, string>>;
}

export interface RawCallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Sent as `grpc-timeout` and enforced here. Unary: the transport's default if absent. Streams: none if absent. */
  readonly timeoutMs?: number | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** A call whose request is a stream. */
export interface RawBidiCall {
  /** False: above the high-water mark, await `drained()`. Throws the call's error when it is over, LIMIT_EXCEEDED when full. */
  send(message: RawMessage): boolean;
  /** Resolves when `send` has room again; rejects with the call's error when it is over. */
  drained(): Promise<void>;
  /** Ends the request; answers still come. */
  end(): void;
  /** One consumer. Leaving the loop early cancels the call. */
  readonly responses: AsyncIterableIterator<Uint8Array>;
  /** Cancels the call if it is not over. */
  close(): void;
}

export interface LaneTransport extends Transport, AsyncDisposable {
  readonly baseUrl: string;
  /** Calls that are not over. */
  readonly openCalls: number;
  /** One message each way. The answer is a view of receive buffers: copy what is kept for long. */
  rawUnary(method: DescMethod, message: RawMessage, options?: RawCallOptions): Promise<Uint8Array>;
  /** One message, many answers. Starts when it is called, not when it is iterated; leaving the loop cancels the call. */
  rawServerStream(method: DescMethod, message: RawMessage, options?: RawCallOptions): AsyncIterableIterator<Uint8Array>;
  /** Many messages each way; also for methods that answer once. */
  rawBidi(method: DescMethod, options?: RawCallOptions): RawBidiCall;
  /** Ends all calls with CANCELLED or NOT_AVAILABLE and closes the connection. */
  close(): Promise<void>;
}

const defaultLimits: LaneClientLimits = {
  readMaxBytes: 16 * 1024 * 1024,
  writeMaxBytes: 16 * 1024 * 1024,
  receiveBufferBytes: 8 * 1024 * 1024,
  sendBufferBytes: 1024 * 1024,
  callsMax: 4_096,
  defaultTimeoutMs: 30_000,
};

export function createLaneTransport(options: LaneTransportOptions): LaneTransport {
  return new LaneClient(options);
}

class LaneClient implements LaneTransport {
  readonly baseUrl: string;
  readonly #limits: LaneClientLimits;
  readonly #session: LaneSession;
  readonly #callHeaders: LaneTransportOptions['headers'];
  readonly #baseHeaders: readonly string[];
  readonly #calls = new Set<ClientCall>();
  readonly #bodies = new BodyTurns();

  constructor(options: LaneTransportOptions) {
    this.baseUrl = options.baseUrl;
    this.#limits = { ...defaultLimits, ...options.limits };
    this.#session = new LaneSession({
      baseUrl: options.baseUrl,
      tls: options.tls,
      connectTimeoutMs: options.connectTimeoutMs ?? 5_000,
      keepaliveMs: options.keepalive?.intervalMs ?? 30_000,
      keepaliveTimeoutMs: options.keepalive?.timeoutMs ?? 10_000,
      streamWindowBytes: options.windows?.streamBytes ?? 1024 * 1024,
      connectionWindowBytes: options.windows?.connectionBytes ?? 16 * 1024 * 1024,
      sessionMemoryMiB: options.sessionMemoryMiB ?? 64,
    });
    this.#callHeaders = options.headers;
    const { protocol, host } = new URL(options.baseUrl);
    this.#baseHeaders = [
      ...[':method', 'POST', ':scheme', protocol.slice(0, -1), ':authority', host],
      ...['content-type', 'application/grpc+proto', 'te', 'trailers', 'user-agent', 'fleetmq'],
    ];
  }

  get openCalls(): number {
    return this.#calls.size;
  }

  async rawUnary(method: DescMethod, message: RawMessage, options: RawCallOptions = {}): Promise<Uint8Array> {
    return (await this.#unary(method, message, options)).message;
  }

  rawServerStream(
    method: DescMethod,
    message: RawMessage,
    options: RawCallOptions = {},
  ): AsyncIterableIterator<Uint8Array> {
    const { call, inbound } = this.#stream(method, options);
    try {
      if (!call.isOver) call.sendLast(message);
    } catch (error) {
      if (!isDomainError(error)) throw error;
      call.fail(error);
    }
    return inbound;
  }

  rawBidi(method: DescMethod, options: RawCallOptions = {}): RawBidiCall {
    const { call, inbound } = this.#stream(method, options);
    return {
      send: (message) => call.send(message),
      drained: () => call.drained(),
      end: () => call.end(),
      responses: inbound,
      close: () => {
        call.fail(new DomainError('CANCELLED', 'the call was closed'));
      },
    };
  }

  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    header: HeadersInit | undefined,
    input: MessageInitShape<I>,
  ): Promise<UnaryResponse<I, O>> {
    const request = toBinary(method.input, create(method.input, input));
    const { message, call, responseHeaders } = await this.#unary(method, request, {
      signal,
      timeoutMs,
      headers: plainHeaders(header),
    });
    return {
      stream: false,
      service: method.parent,
      method,
      message: fromBinary(method.output, message),
      get header() {
        return webHeaders(responseHeaders);
      },
      get trailer() {
        return webHeaders(call.trailers);
      },
    };
  }

  async stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodStreaming<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    header: HeadersInit | undefined,
    input: AsyncIterable<MessageInitShape<I>>,
  ): Promise<StreamResponse<I, O>> {
    const { call, inbound } = this.#stream(method, { signal, timeoutMs, headers: plainHeaders(header) });
    void pumpRequests(method.input, input, call);
    const responseHeaders = await call.responded;
    return {
      stream: true,
      service: method.parent,
      method,
      message: decodeAll(method.output, inbound),
      get header() {
        return webHeaders(responseHeaders);
      },
      get trailer() {
        return webHeaders(call.trailers);
      },
    };
  }

  async close(): Promise<void> {
    for (const call of this.#calls)
      call.fail(new DomainError('CANCELLED', `the transport to ${this.baseUrl} was closed`));
    await this.#session.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #unary(method: DescMethod, message: RawMessage, options: RawCallOptions): Promise<UnaryAnswer> {
    const timeoutMs = options.timeoutMs ?? this.#limits.defaultTimeoutMs;
    const startedAt = performance.now();
    for (let attempt = 1; ; attempt++) {
      const leftMs = Math.max(0, timeoutMs - (performance.now() - startedAt));
      const receiver = new UnaryReceiver(this.#limits.readMaxBytes);
      const call = this.#open(method, receiver, { ...options, timeoutMs: leftMs });
      try {
        this.#sendOnly(call, message);
        return { message: await receiver.answer, call, responseHeaders: call.headers };
      } catch (error) {
        if (!call.isOver && isDomainError(error)) call.fail(error);
        if (!call.unprocessed || attempt > 1) throw error;
      }
    }
  }

  #sendOnly(call: ClientCall, message: RawMessage): void {
    if (messageLength(message) < longBodyBytes) {
      if (!call.isOver) call.sendLast(message);
      return;
    }
    this.#bodies.take(async () => {
      if (call.isOver) return;
      try {
        call.sendLast(message);
        await call.sent();
      } catch (error) {
        if (!isDomainError(error)) throw error;
        call.fail(error);
      }
    });
  }

  #stream(method: DescMethod, options: RawCallOptions): { readonly call: ClientCall; readonly inbound: Inbound } {
    const { readMaxBytes, receiveBufferBytes } = this.#limits;
    const inbound = new Inbound({ messageBytesMax: readMaxBytes, bufferBytesMax: receiveBufferBytes });
    const call = this.#open(method, inbound, options);
    inbound.onReturn = () => call.fail(new DomainError('CANCELLED', 'the consumer left the stream'));
    return { call, inbound };
  }

  #open(method: DescMethod, receiver: Receiver, options: RawCallOptions): ClientCall {
    if (this.#calls.size >= this.#limits.callsMax) {
      throw new DomainError('LIMIT_EXCEEDED', `${this.#calls.size} calls to ${this.baseUrl} are open`);
    }
    const { writeMaxBytes, sendBufferBytes } = this.#limits;
    const headers = this.#headers(method, options);
    const call = new ClientCall({
      method,
      receiver,
      timeoutMs: options.timeoutMs,
      signal: options.signal,
      writeMaxBytes,
      sendBufferBytes,
      failureText: (stream) => this.#session.failureText(stream),
      onOver: (ended) => this.#calls.delete(ended),
    });
    if (call.isOver) return call;
    this.#calls.add(call);
    const stream = this.#session.request(headers);
    if (stream !== undefined) call.start(stream);
    else void this.#openLater(call, headers);
    return call;
  }

  async #openLater(call: ClientCall, headers: readonly string[]): Promise<void> {
    try {
      let stream: ClientHttp2Stream | undefined;
      while (stream === undefined && !call.isOver) {
        await this.#session.ready();
        if (!call.isOver) stream = this.#session.request(headers);
      }
      if (stream !== undefined) call.start(stream);
    } catch (error) {
      if (!isDomainError(error)) throw error;
      call.fail(error);
    }
  }

  #headers(method: DescMethod, options: RawCallOptions): string[] {
    const headers = [...this.#baseHeaders, ':path', methodPath(method)];
    if (options.timeoutMs !== undefined) headers.push('grpc-timeout', formatTimeout(options.timeoutMs));
    pushHeaders(headers, { ...this.#callHeaders?.(method), ...options.headers });
    return headers;
  }
}

interface UnaryAnswer {
  readonly message: Uint8Array;
  readonly call: ClientCall;
  readonly responseHeaders: IncomingHttpHeaders;
}

/** Encodes and sends a typed request stream, as fast as the peer takes it. */
async function pumpRequests<I extends DescMessage>(
  schema: I,
  input: AsyncIterable<MessageInitShape<I>>,
  call: ClientCall,
): Promise<void> {
  try {
    for await (const message of input) {
      if (call.isOver) return;
      if (!call.send(toBinary(schema, create(schema, message)))) await call.drained();
    }
    call.end();
  } catch (error) {
    // An error of the call itself is already with its receiver; an error of the input ends the call.
    call.fail(
      isDomainError(error) ? error : new DomainError('CANCELLED', 'the request stream failed', { cause: error }),
    );
  }
}

async function* decodeAll<O extends DescMessage>(schema: O, messages: Inbound): AsyncIterable<MessageShape<O>> {
  for await (const message of messages) yield fromBinary(schema, message);
}
