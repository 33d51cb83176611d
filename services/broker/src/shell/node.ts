/**
 * One broker without its listeners: the copy of the metadata, partitions, replication and the link to the controllers, wired
 * to a data folder and to ports. Reads top to bottom as the order of the start; the stop runs backwards: hand over the
 * leaderships, then (when nobody calls any more) end the chores, close the logs, leave the mark of a clean stop.
 *
 * No partition is opened before the metadata has caught up with the registration: what an older version says about this
 * broker is about an earlier life of it (P14). A node that is dropped in the middle of anything is as good as killed.
 */
import type { EndpointImage } from '@fleetmq/metadata';
import {
  authorityOf,
  type ControllerAddress,
  ControllerCalls,
  MetadataWatch,
  parseControllers,
} from '@fleetmq/metadata/link';
import {
  BufferPool,
  type Checksum,
  type Clock,
  type Disk,
  type Logger,
  type Random,
  type Timers,
} from '@fleetmq/shared';
import type { DataFolder, LaneTransport, MetricsRegistry } from '@fleetmq/shared/runtime';
import type { BrokerConfig } from '../config.ts';
import { Alarm } from './alarm.ts';
import { Chore } from './chore.ts';
import { leaveCleanMark, takeCleanMark } from './clean-marker.ts';
import type { LinkState } from './controller-link.ts';
import { type Core, createCore } from './core.ts';
import type { BatchInflater } from './inflater.ts';
import { type BrokerMetrics, createBrokerMetrics, observeBroker } from './metrics.ts';
import { MetricsHistory } from './metrics-history.ts';
import { timedDisk } from './timed-disk.ts';
import { loadWatermarks, WatermarkFile } from './watermarks.ts';

/** Told how the start and the life of a node go. Must not throw. */
export interface NodeListener {
  onRegistered(): void;
  /** The metadata has reached the registration. */
  onCaughtUp(): void;
  onLinkState(state: LinkState): void;
}

export interface BrokerNodePorts {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly checksum: Checksum;
  readonly logger: Logger;
  /** How whoever listens at `http://host:port` is reached: controllers and other brokers. Asked again for each piece of work. */
  readonly transportAt: (url: string) => LaneTransport;
  readonly inflater: BatchInflater;
  /** Where the node adds what it counts. */
  readonly metrics: MetricsRegistry;
  /** Makes memory for messages; its content does not matter. Default: zeroed. */
  readonly allocate?: ((length: number) => Uint8Array) | undefined;
  /** Buffers that come back are overwritten: for tests. Default false. */
  readonly poisonBuffers?: boolean;
  readonly listener?: NodeListener | undefined;
  /** The node cannot go on, because another life of it has begun; it should be disposed of. Called once. */
  readonly onFatal: (error: unknown) => void;
}

/** Everything that the calls of a broker need; what is changed through it is changed by them alone. */
export interface BrokerNode extends Omit<Core, 'follow' | 'beginStop'>, AsyncDisposable {
  readonly config: BrokerConfig;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly checksum: Checksum;
  /** Where long requests lie. */
  readonly buffers: BufferPool;
  readonly watch: MetadataWatch;
  readonly calls: ControllerCalls;
  readonly metrics: BrokerMetrics;
  readonly history: MetricsHistory;
  /** Open subscriptions of all listeners. */
  readonly subscriptions: { count: number };
  /**
   * Registers under these listeners, which are open, and resolves when the broker is in service. `signal` ends it, and must
   * before the node is disposed of. Once. Rejects with WRONG_CLUSTER, DUPLICATE_REQUEST, the signal's reason ...
   */
  start(endpoints: readonly EndpointImage[], signal: AbortSignal): Promise<void>;
  /**
   * Hands over the leaderships, and serves nothing new from then on; to be disposed of next. `handOver` false: as if it had been
   * killed, but for open files: no farewell, and no mark of a clean stop.
   */
  beginStop(options?: { readonly handOver?: boolean }): Promise<void>;
}

/** The setting is per second. */
const scrubTickMs = 1_000;

/** Opens what is below the calls. Nothing is sent, and no log opened, before `start`. */
export async function createBrokerNode(
  config: BrokerConfig,
  folder: DataFolder,
  ports: BrokerNodePorts,
): Promise<BrokerNode> {
  const { clock, timers, checksum, logger, listener, inflater } = ports;
  await using opened = new AsyncDisposableStack();
  const metrics = createBrokerMetrics(ports.metrics);
  const disk = timedDisk(folder.disk, clock, (durationMs) => metrics.syncSeconds.observe(durationMs / 1_000));
  const cleanShutdown = await takeCleanMark(disk);
  const watermarks = await loadWatermarks(disk, checksum);
  const links = linkControllers(config, ports, opened);
  const buffers = createBuffers(config, ports);
  const core = createCore({
    ...{ config, ...ports, ...links, disk, watermarks, buffers, metrics },
    link: {
      diskId: folder.diskId,
      cleanShutdown,
      onEnded: (error) => ports.onFatal(error),
      onStateChange: (state) => listener?.onLinkState(state),
    },
  });
  const file = new WatermarkFile({ disk, checksum, logger, watermarks: () => core.partitions.watermarks() });
  const ending = closeInOrder(core, disk, file, opened);
  const subscriptions = { count: 0 };
  observeBroker(ports.metrics, {
    ...core,
    pendingBudget: core.budgets.pending,
    answers: core.budgets.answers,
    inflater,
    subscriptions: () => subscriptions.count,
    watch: links.watch,
  });
  const history = opened.use(new MetricsHistory({ clock, timers, print: () => ports.metrics.print() }));

  const parts = opened.move();
  return {
    ...{ config, clock, timers, checksum, buffers, metrics, history, subscriptions },
    ...links,
    ...core,
    async start(endpoints, signal) {
      await joinCluster({ core, folder, watch: links.watch, listener }, endpoints, signal);
      startChores(config, ports, core, file, parts);
      await core.link.untilInService(signal);
    },
    async beginStop({ handOver = true } = {}) {
      if (handOver && !(await core.link.drain(config.broker['drain-ms']))) {
        logger.warn({ drainMs: config.broker['drain-ms'] }, 'not all leaderships could be handed over');
      }
      ending.isClean = handOver;
      core.beginStop();
    },
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}

interface Links {
  readonly watch: MetadataWatch;
  readonly calls: ControllerCalls;
}

/** Ways to the controllers; nothing is sent yet. */
function linkControllers(config: BrokerConfig, ports: BrokerNodePorts, opened: AsyncDisposableStack): Links {
  const { clock, timers, random, logger, transportAt } = ports;
  const controllers = parseControllers(config.controllers);
  const transportOf = (address: ControllerAddress) => transportAt(`http://${authorityOf(address)}`);
  const shared = { controllers, transportOf, clock, timers, random, logger };
  const watch = opened.use(new MetadataWatch({ ...shared, watcher: `broker-${config.node.id}` }));
  const known = () => watch.controllers;
  const calls = new ControllerCalls({ ...shared, known, leaderId: () => watch.leaderId });
  return { watch, calls };
}

function createBuffers({ limits }: BrokerConfig, { allocate, poisonBuffers }: BrokerNodePorts): BufferPool {
  return new BufferPool({ idleBytesMax: limits['idle-buffer-bytes'], allocate, poison: poisonBuffers });
}

/** What has to happen when everything before it in the stop is done, last first. */
function closeInOrder(core: Core, disk: Disk, file: WatermarkFile, opened: AsyncDisposableStack): { isClean: boolean } {
  const ending = { isClean: false };
  opened.use(core.link);
  opened.defer(async () => {
    if (ending.isClean) await leaveCleanMark(disk);
  });
  opened.defer(async () => {
    const isClean = await core.partitions.close();
    ending.isClean &&= isClean;
  });
  opened.defer(() => file.save());
  opened.use(core.replicator);
  // They rest until a partition asks for them.
  opened.use(core.purgatory);
  opened.use(core.rebuilding);
  opened.defer(() => core.isrProposer.stop());
  return ending;
}

interface JoiningParts {
  readonly core: Core;
  readonly folder: DataFolder;
  readonly watch: MetadataWatch;
  readonly listener: NodeListener | undefined;
}

/** Registers, follows the metadata, and opens the partitions once it has caught up with the registration. */
async function joinCluster(
  { core, folder, watch, listener }: JoiningParts,
  endpoints: readonly EndpointImage[],
  signal: AbortSignal,
): Promise<void> {
  const clusterId = await core.link.register(folder.clusterId ?? '', endpoints, signal);
  await folder.bindCluster(clusterId);
  listener?.onRegistered();
  watch.start();
  core.link.start();
  await core.link.untilCaughtUp(signal);
  listener?.onCaughtUp();
  await core.partitions.setStraysAside();
  core.follow();
}

/** What is done again and again, whether somebody waits for it or not. */
function startChores(
  { broker }: BrokerConfig,
  { clock, timers }: BrokerNodePorts,
  core: Core,
  file: WatermarkFile,
  parts: AsyncDisposableStack,
): void {
  const { retention, compactor, scrubber } = core;
  const checkpoint = new Chore(() => file.save());
  parts.defer(() => checkpoint.stop());
  parts.defer(() => retention.stop());
  parts.defer(() => compactor.stop());
  parts.defer(() => scrubber.stop());
  const every = (periodMs: number, run: () => void): void => {
    const timer = timers.every(periodMs, run);
    parts.defer(() => timer.cancel());
  };
  every(broker['retention-check-ms'], () => retention.tick());
  every(broker['compaction-check-ms'], () => compactor.tick());
  every(broker['watermark-checkpoint-ms'], () => checkpoint.tick());
  if (broker['scrub-bytes-per-second'] === 0) return;
  const scrubbing = new Alarm({
    ...{ clock, timers },
    onRing: (nowMs) => {
      scrubber.tick();
      return Math.max(nowMs + scrubTickMs, scrubber.restsUntilMs);
    },
  });
  parts.use(scrubbing).within(scrubTickMs);
}
