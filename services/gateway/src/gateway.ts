/**
 * A gateway: the one address that every client can use. It keeps no state but a copy of the metadata, so any number of them
 * may run side by side. Reads top to bottom as its start order: connections to brokers, the node (shell/node.ts), the ops
 * listener, the client listener; it is ready when the first metadata has come. Disposing stops in reverse order.
 */
import { addMetadataMetrics } from '@fleetmq/metadata/link';
import { type Checksum, type Clock, DomainError, type Logger, type Random, type Timers } from '@fleetmq/shared';
import {
  addProcessMetrics,
  createHealthState,
  createRpcPool,
  type HealthState,
  listenerLimitsOf,
  loadTlsFiles,
  MetricsRegistry,
  methodPath,
  nodeChecksum,
  nodeClock,
  nodeRandom,
  nodeTimers,
  observeAnswers,
  observeCalls,
  Readiness,
  type RpcServer,
  type ServerTls,
  type ServiceRoutes,
  startOps,
  startRpcServer,
} from '@fleetmq/shared/runtime';
import type { GatewayConfig } from './config.ts';
import { loopbackOrigins, originMatcher } from './domain/origins.ts';
import { gatewayRoutes, serverVersion } from './rpc/routes.ts';
import { createGatewayNode } from './shell/node.ts';
import { createWeb, withGrpcFallback } from './shell/web.ts';

/** What a gateway wants from the world. */
export interface GatewayPorts {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly checksum: Checksum;
  readonly logger: Logger;
}

export interface Listener {
  readonly host: string;
  readonly port: number;
}

export interface Gateway extends AsyncDisposable {
  readonly listeners: { readonly client: Listener & { readonly url: string }; readonly ops: Listener };
  /** Resolves when the first metadata has come; rejects with the signal's reason. */
  whenReady(signal: AbortSignal): Promise<void>;
  stop(): Promise<void>;
}

const metadataKnown = 'metadata known';

export function nodePorts(logger: Logger): GatewayPorts {
  return { clock: nodeClock, timers: nodeTimers, random: nodeRandom, checksum: nodeChecksum, logger };
}

/** Opens the listeners. INVALID_CONFIG, and UNIMPLEMENTED for the secured mode. */
export async function createGateway(config: GatewayConfig, ports: GatewayPorts): Promise<Gateway> {
  if (config.security.mode === 'secured') {
    throw new DomainError('UNIMPLEMENTED', 'security.mode = secured is not built yet: only open is');
  }
  const { logger } = ports;
  await using stack = new AsyncDisposableStack();

  const metrics = new MetricsRegistry();
  stack.use(addProcessMetrics(metrics, { service: 'gateway', version: serverVersion }));
  const readiness = new Readiness([metadataKnown]);
  const health = createHealthState();

  const { pool, subscriptionPool } = openPools(config, stack);
  const node = stack.use(
    createGatewayNode(config, {
      ...ports,
      transportAt: (url) => pool.get(url),
      subscriptionTransportAt: (url) => subscriptionPool.get(url),
    }),
  );
  addMetadataMetrics(metrics, node.watch);
  node.start();

  const ops = stack.use(await startOps({ ...config.listen.ops, readiness, metrics }));
  observeAnswers(metrics, 'fleetmq_gateway', node.answers);
  const services = gatewayRoutes(node);
  const options = { config, services, health, readiness, metrics, logger };
  const server = stack.use(await openClientListener(options, stack));
  stack.defer(() => {
    readiness.fail('running', 'stopping');
    health.setAll('not_serving');
  });

  const opened = stack.move();
  const stop = (): Promise<void> => opened.disposeAsync();
  return {
    listeners: { client: server.address, ops: { host: ops.host, port: ops.port } },
    async whenReady(signal) {
      await node.whenReady(signal);
      readiness.pass(metadataKnown);
      for (const name of ['', ...services.map(({ service }) => service.typeName)]) health.set(name, 'serving');
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** Connections to brokers and controllers: for calls, and for subscriptions with their small buffers. */
function openPools({ limits }: GatewayConfig, stack: AsyncDisposableStack) {
  const callsMax = limits['calls-per-broker'];
  const bufferBytes = limits['subscription-buffer-bytes'];
  const shared = { readMaxBytes: internalBytes, writeMaxBytes: internalBytes, callsMax };
  // A produce stream never has more under way than its window: its requests always fit the buffer.
  const sendBufferBytes = limits['stream-bytes'];
  const pool = stack.use(createRpcPool({ limits: { ...shared, sendBufferBytes }, keepalive }));
  const subscriptionPool = stack.use(
    createRpcPool({
      limits: { ...shared, receiveBufferBytes: bufferBytes },
      windows: { streamBytes: Math.max(65_535, bufferBytes) },
      keepalive,
    }),
  );
  return { pool, subscriptionPool };
}

/** Largest message between nodes. */
const internalBytes = 16 * 1024 * 1024;

interface ClientListenerOptions {
  readonly config: GatewayConfig;
  readonly services: readonly ServiceRoutes[];
  readonly health: HealthState;
  readonly readiness: Readiness;
  readonly metrics: MetricsRegistry;
  readonly logger: Logger;
}

async function openClientListener(options: ClientListenerOptions, stack: AsyncDisposableStack): Promise<RpcServer> {
  const { config, services, health, readiness, metrics, logger } = options;
  const { limits, listen } = config;
  const allowsOrigin = originMatcher(config.cors.origins ?? loopbackOrigins);
  return startRpcServer({
    listen: { host: listen.client.host, port: listen.client.port },
    tls: await readTls(config),
    services,
    limits: {
      readMaxBytes: limits['message-bytes'],
      writeMaxBytes: limits['message-bytes'],
      connectionsMax: limits.connections,
      connectionsPerAddressMax: limits.connections,
      streamsPerConnectionMax: limits['streams-per-connection'],
      drainMs: limits['drain-ms'],
      ...listenerLimitsOf(limits),
    },
    health,
    reflection: config.reflection.enabled,
    logger,
    onCall: observeCalls(metrics),
    async createHandler(parts) {
      const web = stack.use(await createWeb(parts, { allowsOrigin, isReady: () => readiness.ready, logger }));
      const mounted = new Set(services.flatMap(({ service }) => service.methods.map(methodPath)));
      return withGrpcFallback(web.handler, (path) => mounted.has(path) || path.startsWith('/grpc.'));
    },
  });
}

/** Brokers and controllers are near: one that is gone without a word is found within seconds. */
const keepalive = { intervalMs: 5_000, timeoutMs: 5_000 };

async function readTls({ listen }: GatewayConfig): Promise<ServerTls | undefined> {
  const { 'tls-cert': certFile, 'tls-key': keyFile } = listen.client;
  if (certFile === undefined && keyFile === undefined) return undefined;
  if (certFile === undefined || keyFile === undefined) {
    throw new DomainError('INVALID_CONFIG', 'listen.client.tls-cert and listen.client.tls-key: both or none');
  }
  return loadTlsFiles({ certFile, keyFile });
}
