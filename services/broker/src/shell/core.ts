/**
 * What stands between the listeners of a broker and its disk, wired together: partitions, replication in both directions,
 * producing, reading, and the link to the controllers. Made whole before anything runs; nothing here opens or calls anything
 * until `follow` is called with metadata that has caught up.
 */
import { endpointOf, type MetadataEvent, type MetadataImage } from '@fleetmq/metadata';
import { authorityOf, type ControllerCalls, type MetadataWatch } from '@fleetmq/metadata/link';
import { defaultBatchLimits } from '@fleetmq/record';
import { nodeCodecs } from '@fleetmq/record/codecs/node';
import {
  AnswerMemory,
  type BrokerId,
  type BufferPool,
  type Checksum,
  type Clock,
  type Disk,
  DomainError,
  type Logger,
  type Random,
  type Timers,
} from '@fleetmq/shared';
import type { LaneTransport } from '@fleetmq/shared/runtime';
import type { BrokerConfig } from '../config.ts';
import { defaultProduceBounds } from '../domain/produce.ts';
import { Alarm } from './alarm.ts';
import { ByteBudget } from './byte-budget.ts';
import { Compactor } from './compactor.ts';
import { ControllerLink, type ControllerLinkOptions } from './controller-link.ts';
import { Fetcher } from './fetcher.ts';
import { ReplicationReceiver } from './follower.ts';
import type { BatchInflater } from './inflater.ts';
import { IsrProposer } from './isr-proposer.ts';
import { defaultLinkLimits } from './link-options.ts';
import type { BrokerMetrics } from './metrics.ts';
import { Migrations } from './migrations.ts';
import { type MoveProgress, moveLimit, moveProgress } from './move-progress.ts';
import { defaultPartitionLimits } from './partition-limits.ts';
import { Partitions } from './partitions.ts';
import { Producer } from './producer.ts';
import { ProducerIds } from './producer-ids.ts';
import { Purgatory } from './purgatory.ts';
import { Replicator } from './replicator.ts';
import { Retention } from './retention.ts';
import { Scrubber } from './scrubber.ts';

export interface CoreOptions {
  readonly config: BrokerConfig;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
  readonly disk: Disk;
  readonly checksum: Checksum;
  readonly buffers: BufferPool;
  readonly inflater: Pick<BatchInflater, 'inflate'>;
  readonly watch: MetadataWatch;
  readonly calls: ControllerCalls;
  readonly transportAt: (url: string) => LaneTransport;
  readonly metrics: BrokerMetrics;
  readonly watermarks: ReadonlyMap<string, number>;
  readonly link: Pick<ControllerLinkOptions, 'diskId' | 'cleanShutdown' | 'onEnded' | 'onStateChange'>;
}

export type Core = ReturnType<typeof createCore>;

export function createCore(options: CoreOptions) {
  const { config, clock, timers, logger, watch, calls } = options;
  const { image } = watch;
  const localId = config.node.id;
  const budgets = createBudgets(config, clock);
  const life = { isStopping: false };

  const link = createLink(options, {
    failures: () => partitions.failures(),
    logEnds: () => partitions.logEnds(),
    moves: () => moves(),
  });
  const brokerEpoch = (): number => link.brokerEpoch;
  const clusterId = (): string => image.cluster.clusterId;
  const replicator = createReplicator(options, { clusterId, brokerEpoch });
  const partitions: Partitions = new Partitions({
    ...{ localId, clock, logger, image },
    disk: options.disk,
    checksum: options.checksum,
    buffers: options.buffers,
    watermarks: options.watermarks,
    pendingBudget: budgets.pending,
    limits: partitionLimits(config),
    listener: {
      onProgress: (replica) => {
        replicator.onProgress(replica);
        chores.isrProposer.wake();
      },
      onRoleChange: (replica) => {
        replicator.refresh(replica);
        chores.isrProposer.wake();
      },
      onFailure: (replica) => {
        link.beatSoon();
        served.receiver.onFailure(replica);
        chores.rebuilding.within(rebuildCheckMs);
      },
      onAckWaiting: (deadlineMs) => chores.purgatory.watch(deadlineMs),
    },
  });
  const moves = (): MoveProgress[] => moveProgress({ image, partitions, replicator });
  const serving = servingChecks(localId, link, life);
  const served = createServed(options, { partitions, budgets, serving, brokerEpoch, clusterId });
  const chores = createChores(options, { partitions, brokerEpoch });

  const apply = (events: readonly MetadataEvent[]): void => {
    partitions.apply(events);
    for (const event of events) {
      if (event.kind !== 'broker-changed') continue;
      const { brokerId, brokerEpoch: epoch } = event.broker;
      if (brokerId === localId) link.beatSoon();
      for (const replica of partitions.all()) replica.state.leader?.onFollowerRestarted(brokerId, epoch);
      replicator.onBrokerChanged(brokerId);
    }
    chores.isrProposer.wake();
  };
  /** Opens what this broker holds, and follows the metadata from now on. */
  const follow = (): void => {
    watch.onChange(apply);
    apply(
      image
        .partitionsOfBroker(localId as BrokerId)
        .map((partition): MetadataEvent => ({ kind: 'partition-changed', partition })),
    );
  };
  return {
    ...{ link, replicator, partitions, budgets },
    migrations: new Migrations({
      ...{ localId, watch, partitions, replicator, calls, clock, timers },
      transportOf: options.transportAt,
    }),
    /** How far the moves of what this broker leads have come. */
    moves,
    ...chores,
    ...served,
    ...serving,
    follow,
    /** From now on nothing new is served. */
    beginStop: (): void => {
      life.isStopping = true;
    },
  };
}

function createLink(
  { config, timers, random, logger, watch, calls, link }: CoreOptions,
  reports: Pick<ControllerLinkOptions, 'failures' | 'logEnds' | 'moves'>,
): ControllerLink {
  return new ControllerLink({
    ...link,
    ...reports,
    localId: config.node.id,
    incarnationId: Buffer.from(random.bytes(16)).toString('hex'),
    rackId: config.node.rack,
    calls,
    watch,
    timers,
    logger,
    heartbeatMs: config.broker['heartbeat-ms'],
  });
}

function createReplicator(
  { config, clock, timers, random, logger, watch, transportAt }: CoreOptions,
  own: Pick<ServedParts, 'clusterId' | 'brokerEpoch'>,
): Replicator {
  return new Replicator({
    ...{ clock, timers, random, logger, ...own },
    localId: config.node.id,
    limits: linkLimits(config),
    metadataVersion: () => watch.version,
    catchUpBytesPerSecond: config.replica['catch-up-bytes-per-second'],
    moveLimitOf: (replica, followerId) => moveLimit(watch.image, replica, followerId as BrokerId),
    addressOf: (brokerId) => followerAddress(watch.image, brokerId),
    transportOf: transportAt,
  });
}

/** While there are failed logs. */
const rebuildCheckMs = 1_000;

/** What is done again and again, or while something waits for it. */
function createChores(
  { config, clock, timers, random, logger, calls, watch, metrics }: CoreOptions,
  { partitions, brokerEpoch }: Pick<ServedParts, 'partitions' | 'brokerEpoch'>,
) {
  const localId = config.node.id;
  const { image } = watch;
  const isrProposer = new IsrProposer({
    ...{ localId, partitions, image, calls, clock, timers, logger, brokerEpoch },
    lagMaxMs: config.replica['lag-time-max-ms'],
    callsMax: 32,
    periodMs: 250,
    onChange: (kind) => metrics.isrChanges.series(kind).add(),
  });
  const retention = new Retention({ partitions, clock, logger });
  const scrubber = new Scrubber({
    ...{ partitions, clock, random, logger },
    bytesPerTick: config.broker['scrub-bytes-per-second'],
    roundMs: config.broker['scrub-round-ms'],
    onRead: (bytes) => metrics.scrubbedBytes.add(bytes),
    onDamage: () => metrics.scrubbedDamage.add(),
  });
  const purgatory = new Purgatory({ clock, timers, partitions });
  const rebuilding = new Alarm({
    ...{ clock, timers },
    onRing: (nowMs) => (partitions.rebuildFailed() ? nowMs + rebuildCheckMs : Number.POSITIVE_INFINITY),
  });
  const compactor = new Compactor({ ...{ config, partitions, clock, timers, logger, metrics }, codecs: nodeCodecs });
  return { isrProposer, retention, compactor, scrubber, purgatory, rebuilding };
}

interface ServedParts {
  readonly partitions: Partitions;
  readonly budgets: Budgets;
  readonly serving: ServingChecks;
  readonly brokerEpoch: () => number;
  readonly clusterId: () => string;
}

/** What the services call: producing, reading, and the follower's side of replication. */
function createServed(options: CoreOptions, parts: ServedParts) {
  const { config, clock, timers, logger, checksum, metrics, calls, watch } = options;
  const { partitions, budgets, serving, brokerEpoch, clusterId } = parts;
  const localId = config.node.id;
  const producer = new Producer({
    ...{ localId, partitions, checksum, clock },
    pendingBudget: budgets.pending,
    bounds: defaultProduceBounds,
    batchLimits: defaultBatchLimits,
    assertServing: serving.assertWritable,
    onProduced(records, bytes) {
      metrics.recordsIn.add(records);
      metrics.bytesIn.add(bytes);
      metrics.batchesIn.add();
    },
    onRefused: (error) => metrics.refused.series(error.code).add(),
  });
  const fetcher = new Fetcher({
    ...{ partitions, clock, timers },
    memory: budgets.answers,
    inflater: options.inflater,
    readersPerPartitionMax: config.limits['parked-readers'],
    passesMax: 16,
    assertServing: serving.assertServing,
    onInflated: (bytes) => metrics.inflatedBytes.add(bytes),
  });
  const receiver = new ReplicationReceiver({
    ...{ localId, partitions, logger, clusterId, brokerEpoch },
    knownEpochOf: (brokerId) => watch.image.broker(brokerId as BrokerId)?.brokerEpoch ?? 0,
    onReceived: (bytes) => metrics.replicatedIn.add(bytes),
  });
  return {
    producer,
    fetcher,
    receiver,
    producerIds: new ProducerIds({ localId, calls, brokerEpoch, blockSize: 1_000 }),
  };
}

interface Budgets {
  readonly pending: ByteBudget;
  readonly answers: AnswerMemory;
}

function createBudgets({ limits }: BrokerConfig, clock: Clock): Budgets {
  return {
    pending: new ByteBudget('batches that wait for the disk', limits['pending-bytes']),
    answers: new AnswerMemory({ bytesMax: limits['answer-bytes'], patienceMs: limits['answer-patience-ms'], clock }),
  };
}

function linkLimits({ replica }: BrokerConfig) {
  const windowBytes = replica['window-bytes'];
  return {
    ...{ ...defaultLinkLimits, windowBytes, linkWindowBytes: replica['link-window-bytes'] },
    catchUpWindowBytes: replica['link-window-bytes'] / 4,
    heartbeatMs: replica['heartbeat-ms'],
    heartbeatTimeoutMs: replica['heartbeat-timeout-ms'],
  };
}

function partitionLimits({ limits }: BrokerConfig) {
  return {
    ...defaultPartitionLimits,
    partitionsMax: limits.partitions,
    openSegmentsMax: limits['open-segments'],
    ackWaitersMax: limits['ack-waiters'],
    pendingBytesPerLog: limits['pending-bytes-per-log'],
  };
}

function followerAddress(image: MetadataImage, brokerId: number) {
  const broker = image.broker(brokerId as BrokerId);
  const endpoint = broker && endpointOf(broker, 'internal');
  if (broker === undefined || endpoint === undefined) return undefined;
  return { url: `http://${authorityOf(endpoint)}`, brokerEpoch: broker.brokerEpoch };
}

type ServingChecks = ReturnType<typeof servingChecks>;

function servingChecks(localId: number, link: ControllerLink, life: { readonly isStopping: boolean }) {
  const assertServing = (): void => {
    if (life.isStopping) throw new DomainError('SHUTTING_DOWN', `broker ${localId} is stopping`);
    if (link.isCaughtUp) return;
    throw new DomainError('NOT_AVAILABLE', `broker ${localId} has not caught up with the metadata yet`, {
      retryAfterMs: 100,
    });
  };
  const assertWritable = (): void => {
    assertServing();
    if (link.state === 'active' || link.state === 'draining') return;
    throw new DomainError('NOT_AVAILABLE', `broker ${localId} is fenced by the controllers`, { retryAfterMs: 200 });
  };
  return { assertServing, assertWritable };
}
