/**
 * For the conformance tests: sends the bytes of a case over HTTP/2 and tells what came back, without any code of the lane's
 * client. What a server must never do, whatever the case, is checked here.
 */
import assert from 'node:assert/strict';
import * as http2 from 'node:http2';
import { addAbortSignal } from 'node:stream';
import type { ErrorName } from '@fleetmq/shared';
import { decodeAnswer, type HandlerEvents, type Kind, methodOf } from './conformance-service-fixture.ts';
import { until } from './lane-fixture.ts';
import { methodPath } from './raw.ts';
import { errorOfTrailers } from './status.ts';

/** What the client does next. */
export type Step =
  | { readonly send: Uint8Array }
  /** Waits until so many messages have come. */
  | { readonly waitFor: number }
  /** Waits until the handler runs. */
  | { readonly started: true }
  | { readonly end: true }
  | { readonly reset: number };

export interface Outcome {
  /** Status of HTTP; 0: no answer. */
  readonly http: number;
  readonly type: 'grpc' | 'grpc+json' | 'grpc-web' | 'other' | 'none';
  /** `grpc-status`; -1: none. */
  readonly status: number;
  /** `grpc-message`, decoded. */
  readonly text: string;
  /** Code of the ErrorResponse in `grpc-status-details-bin`. */
  readonly detail: ErrorName | 'none';
  readonly messages: readonly string[];
  /** The RST_STREAM that the server sent. */
  readonly reset: string;
  /** The status came in the headers, and nothing after them. */
  readonly trailersOnly: boolean;
  /** `grpc-accept-encoding` of the answer. */
  readonly accepts: string;
}

export interface Request {
  readonly kind: Kind;
  /** Replace the usual headers; undefined leaves one out. */
  readonly headers?: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly steps: readonly Step[];
  /** Ends the request with its headers. */
  readonly headersOnly?: boolean;
}

const withinMs = 20_000;

/** One connection to a server, and what its handlers were told. */
export interface Target {
  readonly session: http2.ClientHttp2Session;
  readonly events: HandlerEvents;
}

/** Sends one request; resolves when its stream is closed. */
export async function exchange({ session, events }: Target, request: Request): Promise<Outcome> {
  const startedBefore = events.started;
  const headers = { ...usualHeaders(request.kind), ...request.headers };
  for (const [name, value] of Object.entries(headers)) if (value === undefined) delete headers[name];
  const stream = session.request(headers as http2.OutgoingHttpHeaders, { endStream: request.headersOnly === true });
  const answer = new Answer(stream, request.kind);
  for (const step of request.steps) {
    if ('started' in step) await until(() => events.started > startedBefore, 'the handler runs', withinMs);
    else await take(stream, step, answer);
  }
  await answer.closed(session);
  return answer.outcome();
}

function usualHeaders(kind: Kind): Record<string, string | readonly string[] | undefined> {
  return {
    ':method': 'POST',
    ':path': methodPath(methodOf[kind]),
    'content-type': 'application/grpc',
    te: 'trailers',
  };
}

async function take(
  stream: http2.ClientHttp2Stream,
  step: Exclude<Step, { started: true }>,
  answer: Answer,
): Promise<void> {
  // A server may end a call before it has all of the request.
  if (stream.closed || stream.destroyed) return;
  if ('end' in step) stream.end();
  else if ('reset' in step) answer.close(step.reset);
  else if ('waitFor' in step) {
    await until(() => answer.count >= step.waitFor || answer.isOver, `${step.waitFor} messages came`, withinMs);
  } else {
    // Waiting for each write keeps Node from joining the next one to it: one step is one DATA frame.
    await new Promise<void>((resolve) => {
      stream.write(step.send, () => resolve());
      stream.once('close', resolve);
    });
  }
}

class Answer {
  readonly #stream: http2.ClientHttp2Stream;
  readonly #kind: Kind;
  #headers: http2.IncomingHttpHeaders = {};
  #trailers: http2.IncomingHttpHeaders | undefined;
  #bytes = Buffer.alloc(0);
  #endedByHeaders = false;
  #isEnded = false;
  #isClosed = false;
  #closedByUs = false;

  constructor(stream: http2.ClientHttp2Stream, kind: Kind) {
    this.#stream = stream;
    this.#kind = kind;
    stream.on('response', (headers, flags) => {
      this.#headers = headers;
      this.#endedByHeaders = (flags & http2.constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    });
    stream.on('trailers', (trailers) => {
      this.#trailers = trailers;
    });
    stream.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
    });
    stream.on('end', () => {
      this.#isEnded = true;
    });
    stream.on('error', () => undefined);
    stream.on('close', () => {
      this.#isClosed = true;
    });
  }

  get isOver(): boolean {
    return this.#isEnded || this.#isClosed;
  }

  get count(): number {
    return this.#frames().length;
  }

  /** Waits for the end. A stream of which only the request is open is closed by us, once the server had its chance to. */
  async closed(session: http2.ClientHttp2Session): Promise<void> {
    await until(() => this.isOver, 'the answer has ended', withinMs);
    if (!this.#isClosed && !this.#stream.writableEnded) {
      await new Promise((resolve) => session.ping(resolve));
      this.close(http2.constants.NGHTTP2_NO_ERROR);
    }
    await until(() => this.#isClosed, 'the stream is closed', withinMs);
  }

  close(code: number): void {
    if (this.#stream.closed) return;
    this.#closedByUs = true;
    // Node's `close` would end the request before it resets the stream.
    if (code === http2.constants.NGHTTP2_CANCEL) addAbortSignal(AbortSignal.abort(), this.#stream);
    else this.#stream.close(code);
  }

  outcome(): Outcome {
    const last = this.#trailers ?? this.#headers;
    const http = Number(this.#headers[':status'] ?? 0);
    const type = typeOf(this.#headers['content-type']);
    const status = last['grpc-status'];
    const text = last['grpc-message'];
    if (http === 200 && type.startsWith('grpc') && type !== 'grpc-web' && !this.#closedByUs) {
      assert.match(String(status), /^(0|[1-9]\d?)$/, 'grpc-status is a number without leading zeros');
    }
    if (text !== undefined) assert.match(String(text), /^[\x20-\x7e]*$/, 'grpc-message is printable ASCII');
    return {
      http,
      type,
      status: status === undefined ? -1 : Number(status),
      text: text === undefined ? '' : decodeURIComponent(String(text)),
      detail: last['grpc-status-details-bin'] === undefined ? 'none' : (errorOfTrailers(last)?.code ?? 'none'),
      messages: type === 'grpc' ? this.#frames().map((message) => decodeAnswer(this.#kind, message)) : [],
      reset: this.#reset(),
      trailersOnly: this.#endedByHeaders && this.#headers['grpc-status'] !== undefined,
      accepts: String(this.#headers['grpc-accept-encoding'] ?? ''),
    };
  }

  #reset(): string {
    const code = this.#stream.rstCode ?? 0;
    if (this.#closedByUs) return 'none';
    if (code === http2.constants.NGHTTP2_NO_ERROR) return this.#stream.aborted ? 'NO_ERROR' : 'none';
    return resetNames[code] ?? String(code);
  }

  #frames(): Uint8Array[] {
    const frames: Uint8Array[] = [];
    for (let at = 0; at + 5 <= this.#bytes.length; ) {
      assert.equal(this.#bytes[at], 0, 'an answer is never compressed');
      const end = at + 5 + this.#bytes.readUInt32BE(at + 1);
      if (end > this.#bytes.length) break;
      frames.push(this.#bytes.subarray(at + 5, end));
      at = end;
    }
    return frames;
  }
}

/** Names of the codes of RST_STREAM, by their numbers (RFC 9113, section 7). */
const resetNames: readonly string[] = [
  ...['NO_ERROR', 'PROTOCOL_ERROR', 'INTERNAL_ERROR', 'FLOW_CONTROL_ERROR', 'SETTINGS_TIMEOUT', 'STREAM_CLOSED'],
  ...['FRAME_SIZE_ERROR', 'REFUSED_STREAM', 'CANCEL', 'COMPRESSION_ERROR', 'CONNECT_ERROR', 'ENHANCE_YOUR_CALM'],
];

function typeOf(contentType: string | undefined): Outcome['type'] {
  if (contentType === undefined) return 'none';
  if (contentType.startsWith('application/grpc-web')) return 'grpc-web';
  if (contentType.startsWith('application/grpc+json')) return 'grpc+json';
  return contentType.startsWith('application/grpc') ? 'grpc' : 'other';
}
