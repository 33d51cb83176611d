/**
 * A broker, put together: a node (shell/node.ts) with its data folder, connections and listeners. Reads top to bottom as the
 * order of the start. A start that fails half-way closes what was open; the stop runs backwards: hand over the leaderships,
 * close the listeners, close the node.
 *
 * The listeners open before the registration, because it names their ports; until the metadata has caught up with the
 * registration they answer NOT_AVAILABLE. No environment is read here, and nothing is global.
 */
import type { EndpointImage } from '@fleetmq/metadata';
import { defaultInflationLimits } from '@fleetmq/record';
import {
  type Clock,
  type Disk,
  DomainError,
  type Logger,
  type Random,
  silentLogger,
  type Timers,
} from '@fleetmq/shared';
import {
  addProcessMetrics,
  createHealthState,
  createRpcPool,
  type DataFolder,
  type HealthState,
  internalLimits,
  listenerLimitsOf,
  MetricsRegistry,
  nodeChecksum,
  nodeClock,
  nodeRandom,
  nodeTimers,
  observeCalls,
  openDataFolder,
  Readiness,
  type RpcServerOptions,
  startOps,
  startRpcServer,
} from '@fleetmq/shared/runtime';
import type { BrokerConfig } from './config.ts';
import { brokerRoutes, serverVersion } from './rpc/routes.ts';
import { Inflater } from './shell/inflater.ts';
import { type BrokerNode, createBrokerNode } from './shell/node.ts';
import type { Partitions } from './shell/partitions.ts';
import { condition, ServiceState } from './shell/service-state.ts';

export interface BrokerPorts {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
  /** Ends a start that is still waiting for the controllers. */
  readonly stopping: AbortSignal;
  /** Stands between the broker and its data folder: for tests with failing disks. Default: nothing does. */
  readonly wrapDisk: (disk: Disk) => Disk;
  /** Buffers that come back are overwritten: for tests. Default false. */
  readonly poisonBuffers: boolean;
  /** The broker cannot go on, because another life of it has begun; it should be disposed of. Called once. */
  readonly onFatal: (error: unknown) => void;
}

export interface ListenerAddress {
  readonly host: string;
  readonly port: number;
}

interface Listeners {
  readonly client: ListenerAddress;
  readonly internal: ListenerAddress;
}

export interface Broker extends AsyncDisposable {
  readonly listeners: Listeners & { readonly ops: ListenerAddress };
  readonly brokerEpoch: number;
  readonly partitions: Partitions;
  /** `handOver` false: as if it had been killed, but for open files: no farewell, no mark of a clean stop. Idempotent. */
  stop(options?: { readonly handOver?: boolean }): Promise<void>;
}

/** Of connections to controllers and other brokers: one without a sign of life under open calls is closed after both. */
const keepalive = { intervalMs: 2_000, timeoutMs: 2_000 };

/** Resolves when the broker is in service. Rejects with INVALID_CONFIG, UNIMPLEMENTED, WRONG_CLUSTER, DUPLICATE_REQUEST ... */
export async function createBroker(config: BrokerConfig, overrides: Partial<BrokerPorts> = {}): Promise<Broker> {
  checkConfig(config);
  const ports: BrokerPorts = { ...nodePorts(), ...overrides };
  const { logger } = ports;
  await using opened = new AsyncDisposableStack();

  const watching = await openWatching(config, opened);
  const folder = await openFolder(config, ports, opened);
  const pool = opened.use(createRpcPool({ keepalive }));
  const waitingMax = config.limits['inflations-waiting'];
  const inflater = opened.use(new Inflater({ limits: defaultInflationLimits, waitingMax, logger }));
  const node = opened.use(
    await createBrokerNode(config, folder, {
      ...ports,
      checksum: nodeChecksum,
      transportAt: (url) => pool.get(url),
      inflater,
      metrics: watching.registry,
      allocate,
      listener: watching.service,
    }),
  );
  const listeners = await openListeners(config, ports, watching, node, opened);

  await node.start(advertisedEndpoints(config, listeners), ports.stopping);
  logger.info({ broker: config.node.id, ...listeners }, 'the broker is in service');

  const parts = opened.move();
  const stop = async (handOver: boolean): Promise<void> => {
    watching.service.onStop();
    await node.beginStop({ handOver });
    await parts.disposeAsync();
  };
  let stopped: Promise<void> | undefined;
  const broker: Broker = {
    listeners: { ...listeners, ops: watching.ops },
    get brokerEpoch() {
      return node.link.brokerEpoch;
    },
    partitions: node.partitions,
    stop: (options = {}) => {
      stopped ??= stop(options.handOver ?? true);
      return stopped;
    },
    [Symbol.asyncDispose]: () => broker.stop(),
  };
  return broker;
}

interface Watching {
  readonly registry: MetricsRegistry;
  readonly health: HealthState;
  readonly service: ServiceState;
  readonly ops: ListenerAddress;
}

/** Metrics, readiness and the ops listener: first, so that they answer while the rest is still starting. */
async function openWatching(config: BrokerConfig, opened: AsyncDisposableStack): Promise<Watching> {
  const registry = new MetricsRegistry();
  opened.use(addProcessMetrics(registry, { service: 'broker', version: serverVersion }));
  const readiness = new Readiness(Object.values(condition));
  const health = createHealthState();
  const { host, port } = opened.use(await startOps({ ...config.listen.ops, readiness, metrics: registry }));
  return { registry, health, service: new ServiceState(readiness, health), ops: { host, port } };
}

async function openFolder(
  config: BrokerConfig,
  { random, wrapDisk }: BrokerPorts,
  opened: AsyncDisposableStack,
): Promise<DataFolder> {
  const options = { path: config.data.folder, role: 'broker', nodeId: config.node.id, random } as const;
  const folder = opened.use(await openDataFolder(options));
  return {
    disk: wrapDisk(folder.disk),
    diskId: folder.diskId,
    fresh: folder.fresh,
    get clusterId() {
      return folder.clusterId;
    },
    bindCluster: (clusterId) => folder.bindCluster(clusterId),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

async function openListeners(
  config: BrokerConfig,
  { logger }: BrokerPorts,
  { registry, health, service }: Watching,
  node: BrokerNode,
  opened: AsyncDisposableStack,
): Promise<Listeners> {
  const client = brokerRoutes(node, 'client');
  service.serves(['', ...client.map((routes) => routes.service.typeName)]);
  const shared = { health, logger, buffers: node.buffers, reflection: true, onCall: observeCalls(registry) };
  const limits = { ...listenerLimitsOf(config.limits), drainMs: drainCallsMs };
  const open = async (options: RpcServerOptions): Promise<ListenerAddress> => {
    const { host, port } = opened.use(await startRpcServer(options)).address;
    return { host, port };
  };
  return {
    client: await open({ ...shared, listen: config.listen.client, services: client, limits }),
    internal: await open({
      ...shared,
      listen: config.listen.internal,
      services: brokerRoutes(node, 'internal'),
      limits: { ...internalLimits, stallMs: limits.stallMs, drainMs: limits.drainMs },
    }),
  };
}

function checkConfig(config: BrokerConfig): void {
  if (config.security.mode !== 'open') {
    throw new DomainError(
      'UNIMPLEMENTED',
      'security.mode = secured is not built yet: set it to open, on a private network',
    );
  }
  const { limits } = config;
  if (limits['pending-bytes-per-log'] > limits['pending-bytes']) {
    throw new DomainError(
      'INVALID_CONFIG',
      `limits.pending-bytes-per-log = ${limits['pending-bytes-per-log']} is above limits.pending-bytes = ${limits['pending-bytes']}`,
    );
  }
}

function nodePorts(): BrokerPorts {
  return {
    clock: nodeClock,
    timers: nodeTimers,
    random: nodeRandom,
    logger: silentLogger,
    stopping: new AbortController().signal,
    wrapDisk: (disk) => disk,
    poisonBuffers: false,
    onFatal: () => undefined,
  };
}

/** Fills nothing in: what is in a buffer before it is used matters to nobody. */
function allocate(length: number): Uint8Array {
  return Buffer.allocUnsafeSlow(length);
}

/** How long open calls may take when the listeners close. */
const drainCallsMs = 5_000;

/** The listeners as others reach them. */
function advertisedEndpoints({ advertise }: BrokerConfig, listeners: Listeners): EndpointImage[] {
  return (['client', 'internal'] as const).map((listener) => {
    const { host, port } = listeners[listener];
    return { listener, host: advertise[listener].host ?? host, port: advertise[listener].port ?? port, tls: false };
  });
}
