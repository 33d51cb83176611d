/**
 * Starts a listener of a service: one port that speaks gRPC, gRPC-Web and Connect over HTTP/1.1 and HTTP/2, with TLS or
 * without, raw routes on the lane and everything else through Connect. Which services a listener mounts is its caller's
 * choice alone: what is not in the list does not exist on it.
 *
 * Order of a stop: GOAWAY and no new connections -> `draining` aborts, so that long streams end by themselves -> open calls
 * have until `drainMs` -> the rest ends with SHUTTING_DOWN -> sockets are cut. Closing twice is one close.
 */
import type { AddressInfo } from 'node:net';
import type { ConnectRouterOptions, Interceptor } from '@connectrpc/connect';
import { type BufferPool, DomainError, type Logger, silentLogger } from '@fleetmq/shared';
import { type HealthState, healthRoutes } from './health-service.ts';
import type { CallObservation, Gate, LaneLimits } from './lane/limits.ts';
import { methodPath, type ServiceRoutes } from './lane/raw.ts';
import { createLane, defaultLaneLimits, type Lane } from './lane/server.ts';
import { reflectionRoutes } from './reflection.ts';
import { type ConnectParts, connectHandler, connectParts } from './rpc-server-connect.ts';
import type { ListenerLimits, NodeHandler } from './rpc-server-limits.ts';
import { createSniffingServer, type SniffingServer } from './rpc-server-listener.ts';
import type { ServerTls } from './tls.ts';

/** See `ListenerLimits` and `LaneLimits` for each number and its default. */
export type RpcServerLimits = ListenerLimits & LaneLimits;

/** What internal listeners change: nodes trust each other with more streams and larger messages. */
export const internalLimits: Partial<RpcServerLimits> = {
  readMaxBytes: 16 * 1024 * 1024,
  writeMaxBytes: 16 * 1024 * 1024,
  receiveBufferBytes: 32 * 1024 * 1024,
  streamsPerConnectionMax: 4_096,
  sessionMemoryMiB: 128,
};

export interface RpcServerOptions {
  /** Port 0 takes a free one. */
  readonly listen: { readonly host: string; readonly port: number };
  /** Without it the listener speaks plaintext. */
  readonly tls?: ServerTls | undefined;
  /** Made with `serviceRoutes` or `typedRoutes`. */
  readonly services: readonly ServiceRoutes[];
  readonly limits?: Partial<RpcServerLimits>;
  /** Run inside the error and deadline interceptors, for typed methods and bridged raw ones; the lane has the gate instead. */
  readonly interceptors?: readonly Interceptor[];
  /** Runs before each call on every path, the lane included: authentication and authorisation by header and certificate. */
  readonly gate?: Gate;
  /** Where the lane puts long request messages together; see `LaneOptions`. */
  readonly buffers?: BufferPool;
  /** Told once per call how it ended, for metrics. */
  readonly onCall?: (observation: CallObservation) => void;
  /** Default none. */
  readonly acceptCompression?: NonNullable<ConnectRouterOptions['acceptCompression']>;
  /** Mounts grpc.health.v1 over this state. */
  readonly health?: HealthState;
  /** Mounts server reflection over the mounted services. Default false. */
  readonly reflection?: boolean;
  readonly logger?: Logger;
  /** Replaces the plain handler, for a framework that serves more than RPCs. The lane stays in front of it. */
  readonly createHandler?: (parts: ConnectParts) => NodeHandler | Promise<NodeHandler>;
}

export interface RpcServer extends AsyncDisposable {
  readonly address: { readonly host: string; readonly port: number; readonly url: string };
  /** Calls that are open now. */
  readonly activeCalls: number;
  /** Takes a new certificate for connections from now on. */
  reloadTls(tls: ServerTls): void;
  /** See above; `drainMs` defaults to the limit (10 s). */
  close(options?: { readonly drainMs?: number }): Promise<void>;
}

/** Everything behind the socket: for callers whose framework owns the server (Fastify's `serverFactory`). */
export interface RpcParts extends ConnectParts {
  readonly lane: Lane;
  readonly isRequestStream: (path: string) => boolean;
  /** To be called when the drain starts. */
  readonly beginDrain: () => void;
  /** To be called when the drain's time is over. */
  readonly endCalls: () => void;
}

export type RpcPartsOptions = Omit<RpcServerOptions, 'listen' | 'tls' | 'createHandler'>;

/** Builds the lane and the Connect routes of a listener without opening one. */
export function createRpcParts(options: RpcPartsOptions): RpcParts {
  const logger = options.logger ?? silentLogger;
  const limits: LaneLimits = { ...defaultLaneLimits, ...options.limits };
  const draining = new AbortController();
  const shutdown = new AbortController();
  const services = mountedServices(options, draining.signal);
  const methods = services.flatMap(({ service }) => service.methods);
  const streamPaths = new Set(
    methods
      .filter(({ methodKind }) => methodKind === 'client_streaming' || methodKind === 'bidi_streaming')
      .map(methodPath),
  );
  const shared = { limits, logger, draining: draining.signal, gate: options.gate, onCall: options.onCall };
  const lane = createLane({ ...shared, buffers: options.buffers, routes: services.flatMap(({ raw }) => raw) });
  const parts = connectParts({
    ...shared,
    services,
    interceptors: options.interceptors ?? [],
    acceptCompression: options.acceptCompression ?? [],
    shutdown: shutdown.signal,
  });
  return {
    ...parts,
    lane,
    isRequestStream: (path) => streamPaths.has(path),
    beginDrain: () => draining.abort(new DomainError('SHUTTING_DOWN', 'the server is closing')),
    endCalls: () => {
      const error = new DomainError('SHUTTING_DOWN', 'the server has closed');
      lane.cancelAll(error);
      shutdown.abort(error);
    },
  };
}

function mountedServices(options: RpcPartsOptions, draining: AbortSignal): ServiceRoutes[] {
  const services = [...options.services];
  if (options.health !== undefined) services.push(healthRoutes(options.health, draining));
  if (options.reflection === true) services.push(...reflectionRoutes(services.map(({ service }) => service)));
  return services;
}

/** Resolves when the port is open. Rejects with INVALID_CONFIG that names the address when it cannot be. */
export async function startRpcServer(options: RpcServerOptions): Promise<RpcServer> {
  const logger = options.logger ?? silentLogger;
  const parts = createRpcParts(options);
  const handler = await (options.createHandler?.(parts) ?? connectHandler(parts, logger));
  const server = createSniffingServer(handler, {
    tls: options.tls,
    lane: parts.lane,
    logger,
    isRequestStream: parts.isRequestStream,
    onDrain: parts.beginDrain,
    onDrainDeadline: parts.endCalls,
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  });
  const { host } = options.listen;
  const port = await listen(server, options.listen);
  const scheme = options.tls === undefined ? 'http' : 'https';
  const close = (closeOptions: { readonly drainMs?: number } = {}): Promise<void> => server.drain(closeOptions.drainMs);
  return {
    address: { host, port, url: `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}` },
    get activeCalls() {
      return server.activeCalls;
    },
    reloadTls: (tls) => server.reloadTls(tls),
    close,
    [Symbol.asyncDispose]: () => close(),
  };
}

function listen(server: SniffingServer, address: RpcServerOptions['listen']): Promise<number> {
  const { host, port } = address;
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? 'the port is in use by another process' : error.message;
      const text = `cannot listen on ${host}:${port}: ${why}`;
      void server.drain(0).then(() => reject(new DomainError('INVALID_CONFIG', text, { cause: error })));
    });
    server.listen({ host, port }, () => resolve((server.address() as AddressInfo).port));
  });
}
