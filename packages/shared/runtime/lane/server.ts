/**
 * The server's lane: picks plain gRPC calls of raw routes out of the streams of an HTTP/2 server and serves them without a
 * message class in between. Everything else (other content types, other paths, missing `te: trailers`) is left to Connect,
 * which speaks the same contract.
 *
 * Owns the set of open calls of its listener, so that a shutdown can wait for them and end the rest with a status.
 */
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { assert, type BufferPool, type DomainError, type Logger, silentLogger } from '@fleetmq/shared';
import type { CallObservation, Gate, LaneLimits } from './limits.ts';
import { methodPath, type RawRoute } from './raw.ts';
import { type CallEnvironment, ServerCall } from './server-call.ts';

export const defaultLaneLimits: LaneLimits = {
  readMaxBytes: 4 * 1024 * 1024,
  writeMaxBytes: 4 * 1024 * 1024,
  receiveBufferBytes: 8 * 1024 * 1024,
  defaultTimeoutMs: 30_000,
  maxTimeoutMs: 600_000,
  requestTimeoutMs: 30_000,
  stallMs: 300_000,
  flushMs: 30_000,
};

export interface LaneOptions {
  readonly routes: readonly RawRoute[];
  readonly limits?: Partial<LaneLimits>;
  readonly logger?: Logger;
  /** Aborted when the server begins to close; handed to every handler. Default: never. */
  readonly draining?: AbortSignal;
  /** Runs before each call. */
  readonly gate?: Gate | undefined;
  /**
   * Where long request messages are put together. A handler that is through with one releases the lease of its bytes
   * (`buffers.leaseOf(request)`); none has to. Default: memory of their own.
   */
  readonly buffers?: BufferPool | undefined;
  /** Told once per call how it ended, for metrics. Must not throw. */
  readonly onCall?: ((observation: CallObservation) => void) | undefined;
}

export interface Lane {
  /** The route that serves this request on the lane, if there is one. */
  find(headers: IncomingHttpHeaders): RawRoute | undefined;
  /** Serves a call; never throws. */
  serve(route: RawRoute, stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void;
  /** Calls whose stream is still open. */
  readonly openCalls: number;
  /** Ends every open call with this error. */
  cancelAll(error: DomainError): void;
}

const grpcContentType = /^application\/grpc(\+proto)?\s*(;|$)/i;

export function createLane(options: LaneOptions): Lane {
  const routes = new Map<string, RawRoute>();
  for (const route of options.routes) {
    const path = methodPath(route.method);
    assert(!routes.has(path), `two raw routes for ${path}`);
    assert(route.kind === route.method.methodKind, `${path} is ${route.method.methodKind}, its route is ${route.kind}`);
    routes.set(path, route);
  }
  const calls = new Set<ServerCall>();
  const environment: CallEnvironment = {
    limits: { ...defaultLaneLimits, ...options.limits },
    logger: options.logger ?? silentLogger,
    draining: options.draining ?? new AbortController().signal,
    gate: options.gate,
    buffers: options.buffers,
    onCall: options.onCall,
    calls,
  };
  return {
    find(headers) {
      const route = routes.get(headers[':path'] ?? '');
      if (route === undefined || headers[':method'] !== 'POST' || headers['te'] !== 'trailers') return undefined;
      return grpcContentType.test(headers['content-type'] ?? '') ? route : undefined;
    },
    serve: (route, stream, headers) => new ServerCall(route, stream, headers, environment).serve(),
    get openCalls() {
      return calls.size;
    },
    cancelAll(error) {
      for (const call of calls) call.fail(error);
    },
  };
}
