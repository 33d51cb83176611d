/**
 * A broker, put together: reads top to bottom as the order of the start. A start that fails half-way closes what was open;
 * the stop runs backwards: hand over the leaderships, close the listeners, close the logs, leave the mark of a clean stop.
 *
 * The listeners open before the registration, because it names their ports; until the metadata has caught up with the
 * registration they answer NOT_AVAILABLE. No partition is opened before that either: what an older version says about this
 * broker is about an earlier life of it (P14). No environment is read here, and nothing is global.
 */
import type { EndpointImage } from '@fleetmq/metadata';
import {
  authorityOf,
  type ControllerAddress,
  ControllerCalls,
  MetadataWatch,
  parseControllers,
} from '@fleetmq/metadata/link';
import { defaultInflationLimits } from '@fleetmq/record';
import {
  BufferPool,
  type Clock,
  type Disk,
  DomainError,
  isDomainError,
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
  type RpcPool,
  type RpcServerOptions,
  startOps,
  startRpcServer,
} from '@fleetmq/shared/runtime';
import type { BrokerConfig } from './config.ts';
import { clientFetchBounds, internalFetchBounds } from './domain/fetch.ts';
import type { RpcContext } from './rpc/context.ts';
import { clientRoutes, internalRoutes } from './rpc/routes.ts';
import { leaveCleanMark, takeCleanMark } from './shell/clean-marker.ts';
import { type Core, createCore } from './shell/core.ts';
import { Inflater } from './shell/inflater.ts';
import { type BrokerMetrics, createBrokerMetrics, observeBroker } from './shell/metrics.ts';
import { MetricsHistory } from './shell/metrics-history.ts';
import type { Partitions } from './shell/partitions.ts';
import { Purgatory } from './shell/purgatory.ts';
import { condition, ServiceState } from './shell/service-state.ts';
import { timedDisk } from './shell/timed-disk.ts';
import { loadWatermarks, saveWatermarks } from './shell/watermarks.ts';

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

const version = '0.1.0';
const isrCheckMs = 250;
/** The setting is per second. */
const scrubTickMs = 1_000;
const rebuildCheckMs = 1_000;

/** Resolves when the broker is in service. Rejects with INVALID_CONFIG, UNIMPLEMENTED, WRONG_CLUSTER, DUPLICATE_REQUEST ... */
export async function createBroker(config: BrokerConfig, overrides: Partial<BrokerPorts> = {}): Promise<Broker> {
  checkConfig(config);
  const ports: BrokerPorts = { ...nodePorts(), ...overrides };
  const { logger } = ports;
  await using opened = new AsyncDisposableStack();

  const watching = await openWatching(config, opened);
  const storage = await openStorage(config, ports, watching, opened);
  const links = linkControllers(config, ports, opened);
  const buffers = new BufferPool({
    idleBytesMax: config.limits['idle-buffer-bytes'],
    allocate,
    poison: ports.poisonBuffers,
  });
  const inflater = opened.use(
    new Inflater({ limits: defaultInflationLimits, waitingMax: config.limits['inflations-waiting'], logger }),
  );
  const core = createCore({
    ...{ config, ...ports, ...storage, ...links, inflater },
    checksum: nodeChecksum,
    buffers,
    metrics: watching.metrics,
    link: {
      diskId: storage.folder.diskId,
      cleanShutdown: storage.cleanShutdown,
      onEnded: (error) => ports.onFatal(error),
      onStateChange: (state) => watching.service.onLinkState(state),
    },
  });
  const ending = closeInOrder(core, storage.disk, logger, opened);
  const listeners = await openServices(config, ports, { ...watching, ...links, core, buffers, inflater }, opened);

  await joinCluster(config, ports, { ...storage, ...links, ...watching, core, listeners });
  startChores(config, ports, core, storage.disk, opened);
  await core.link.untilInService(ports.stopping);
  logger.info({ broker: config.node.id, ...listeners }, 'the broker is in service');

  const parts = opened.move();
  const stop = async (handOver: boolean): Promise<void> => {
    watching.service.onStop();
    if (handOver && !(await core.link.drain(config.broker['drain-ms']))) {
      logger.warn({ drainMs: config.broker['drain-ms'] }, 'not all leaderships could be handed over');
    }
    ending.isClean = handOver;
    core.beginStop();
    await parts.disposeAsync();
  };
  let stopped: Promise<void> | undefined;
  const broker: Broker = {
    listeners: { ...listeners, ops: watching.ops },
    get brokerEpoch() {
      return core.link.brokerEpoch;
    },
    partitions: core.partitions,
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
  readonly metrics: BrokerMetrics;
  readonly readiness: Readiness;
  readonly health: HealthState;
  readonly service: ServiceState;
  readonly ops: ListenerAddress;
}

/** Metrics, readiness and the ops listener: first, so that they answer while the rest is still starting. */
async function openWatching(config: BrokerConfig, opened: AsyncDisposableStack): Promise<Watching> {
  const registry = new MetricsRegistry();
  opened.use(addProcessMetrics(registry, { service: 'broker', version }));
  const readiness = new Readiness(Object.values(condition));
  const health = createHealthState();
  const { host, port } = opened.use(await startOps({ ...config.listen.ops, readiness, metrics: registry }));
  const service = new ServiceState(readiness, health);
  return { registry, metrics: createBrokerMetrics(registry), readiness, health, service, ops: { host, port } };
}

interface Storage {
  readonly folder: DataFolder;
  readonly disk: Disk;
  readonly cleanShutdown: boolean;
  readonly watermarks: ReadonlyMap<string, number>;
}

async function openStorage(
  config: BrokerConfig,
  { clock, random, wrapDisk }: BrokerPorts,
  { metrics }: Watching,
  opened: AsyncDisposableStack,
): Promise<Storage> {
  const options = { path: config.data.folder, role: 'broker', nodeId: config.node.id, random } as const;
  const folder = opened.use(await openDataFolder(options));
  const observe = (durationMs: number): void => metrics.syncSeconds.observe(durationMs / 1_000);
  const disk = timedDisk(wrapDisk(folder.disk), clock, observe);
  const cleanShutdown = await takeCleanMark(disk);
  return { folder, disk, cleanShutdown, watermarks: await loadWatermarks(disk, nodeChecksum) };
}

interface Links {
  readonly pool: RpcPool;
  readonly watch: MetadataWatch;
  readonly calls: ControllerCalls;
}

/** Ways to the controllers; nothing is sent yet. */
function linkControllers(config: BrokerConfig, ports: BrokerPorts, opened: AsyncDisposableStack): Links {
  const { clock, timers, random, logger } = ports;
  const controllers = parseControllers(config.controllers);
  const pool = opened.use(createRpcPool());
  const transportOf = (address: ControllerAddress) => pool.get(`http://${authorityOf(address)}`);
  const shared = { controllers, transportOf, clock, timers, random, logger };
  const watch = opened.use(new MetadataWatch({ ...shared, watcher: `broker-${config.node.id}` }));
  const known = () => watch.controllers;
  const calls = new ControllerCalls({ ...shared, known, leaderId: () => watch.leaderId });
  return { pool, watch, calls };
}

/** What has to happen when everything before it in the stop is done, last first. */
function closeInOrder(core: Core, disk: Disk, logger: Logger, opened: AsyncDisposableStack): { isClean: boolean } {
  const ending = { isClean: false };
  opened.use(core.link);
  opened.defer(async () => {
    if (ending.isClean) await leaveCleanMark(disk);
  });
  opened.defer(async () => {
    const isClean = await core.partitions.close();
    ending.isClean &&= isClean;
  });
  opened.defer(() => keepWatermarks(disk, core.partitions, logger));
  opened.use(core.replicator);
  return ending;
}

interface ServedParts extends Watching, Links {
  readonly core: Core;
  readonly buffers: BufferPool;
  readonly inflater: Inflater;
}

async function openServices(
  config: BrokerConfig,
  { clock, timers, logger }: BrokerPorts,
  parts: ServedParts,
  opened: AsyncDisposableStack,
): Promise<Listeners> {
  const { core, registry, metrics, watch, calls, health, service, buffers, inflater } = parts;
  const history = opened.use(new MetricsHistory({ clock, timers, print: () => registry.print() }));
  const subscriptions = { count: 0 };
  observeBroker(registry, {
    ...core,
    pendingBudget: core.budgets.pending,
    answers: core.budgets.answers,
    inflater,
    subscriptions: () => subscriptions.count,
    watch,
  });
  const context: Omit<RpcContext, 'listener' | 'fetchBounds'> = {
    ...core,
    ...{ clock, timers, watch, calls, metrics, history, subscriptions, buffers },
    localId: config.node.id,
    checksum: nodeChecksum,
    image: watch.image,
    streams: streamLimits(config),
    securityMode: config.security.mode,
    serverVersion: version,
  };
  const client = clientRoutes({ ...context, listener: 'client', fetchBounds: clientFetchBounds });
  const internal = internalRoutes({ ...context, listener: 'internal', fetchBounds: internalFetchBounds });
  service.serves(['', ...client.map((routes) => routes.service.typeName)]);
  const shared = { health, logger, buffers, reflection: true, onCall: observeCalls(registry) };
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
      services: internal,
      limits: { ...internalLimits, stallMs: limits.stallMs, drainMs: limits.drainMs },
    }),
  };
}

interface JoiningParts extends Storage, Links, Watching {
  readonly core: Core;
  readonly listeners: Listeners;
}

/** Registers, follows the metadata, and opens the partitions once it has caught up with the registration. */
async function joinCluster(config: BrokerConfig, { stopping }: BrokerPorts, parts: JoiningParts): Promise<void> {
  const { core, folder, watch, readiness, listeners } = parts;
  const endpoints = advertisedEndpoints(config, listeners);
  const clusterId = await core.link.register(folder.clusterId ?? '', endpoints, stopping);
  await folder.bindCluster(clusterId);
  readiness.pass(condition.registered);
  watch.start();
  core.link.start();
  await core.link.untilCaughtUp(stopping);
  readiness.pass(condition.caughtUp);
  await core.partitions.setStraysAside();
  core.follow();
}

/** What is done again and again. */
function startChores(
  config: BrokerConfig,
  { clock, timers, logger }: BrokerPorts,
  core: Core,
  disk: Disk,
  opened: AsyncDisposableStack,
): void {
  opened.use(new Purgatory({ clock, timers, partitions: core.partitions }));
  opened.defer(() => core.retention.stop());
  opened.defer(() => core.compactor.stop());
  opened.defer(() => core.scrubber.stop());
  opened.defer(() => core.isrProposer.stop());
  const every = (periodMs: number, run: () => void): void => {
    const timer = timers.every(periodMs, run);
    opened.defer(() => timer.cancel());
  };
  every(isrCheckMs, () => core.isrProposer.tick());
  every(rebuildCheckMs, () => core.partitions.rebuildFailed());
  every(config.broker['retention-check-ms'], () => core.retention.tick());
  every(config.broker['compaction-check-ms'], () => core.compactor.tick());
  every(scrubTickMs, () => core.scrubber.tick());
  every(config.broker['watermark-checkpoint-ms'], () => {
    void keepWatermarks(disk, core.partitions, logger);
  });
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

function streamLimits({ limits, replica }: BrokerConfig): RpcContext['streams'] {
  return {
    requestsMax: limits['stream-requests'],
    bytesMax: limits['stream-bytes'],
    subscriptionsMax: limits.subscriptions,
    replicationBytesMax: 2 * replica['link-window-bytes'],
  };
}

/** The listeners as others reach them. */
function advertisedEndpoints({ advertise }: BrokerConfig, listeners: Listeners): EndpointImage[] {
  return (['client', 'internal'] as const).map((listener) => {
    const { host, port } = listeners[listener];
    return { listener, host: advertise[listener].host ?? host, port: advertise[listener].port ?? port, tls: false };
  });
}

async function keepWatermarks(disk: Disk, partitions: Partitions, logger: Logger): Promise<void> {
  try {
    await saveWatermarks(disk, nodeChecksum, partitions.watermarks());
  } catch (error) {
    if (!isDomainError(error)) throw error;
    // They are only knowledge that saves time: the old ones stay true.
    logger.warn({ code: error.code, reason: error.message }, 'the high watermarks could not be written down');
  }
}
