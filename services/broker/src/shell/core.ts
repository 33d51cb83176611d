/**
 * What stands between the listeners of a broker and its disk, wired together: partitions, replication in both directions,
 * producing, reading, and the link to the controllers. Made whole before anything runs; nothing here opens or calls anything
 * until `follow` is called with metadata that has caught up.
 */
import { endpointOf, type MetadataEvent, type MetadataImage } from '@fleetmq/metadata';
import { authorityOf, type ControllerCalls, type MetadataWatch } from '@fleetmq/metadata/link';
import { defaultBatchLimits } from '@fleetmq/record';
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
import type { RpcPool } from '@fleetmq/shared/runtime';
import type { BrokerConfig } from '../config.ts';
import { defaultProduceBounds } from '../domain/produce.ts';
import { ByteBudget } from './byte-budget.ts';
import { ControllerLink, type ControllerLinkOptions } from './controller-link.ts';
import { Fetcher } from './fetcher.ts';
import { ReplicationReceiver } from './follower.ts';
import type { Inflater } from './inflater.ts';
import { IsrProposer } from './isr-proposer.ts';
import { defaultLinkLimits } from './link-options.ts';
import type { BrokerMetrics } from './metrics.ts';
import { defaultPartitionLimits } from './partition-limits.ts';
import { Partitions } from './partitions.ts';
import { Producer } from './producer.ts';
import { ProducerIds } from './producer-ids.ts';
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
  readonly inflater: Inflater;
  readonly watch: MetadataWatch;
  readonly calls: ControllerCalls;
  readonly pool: RpcPool;
  readonly metrics: BrokerMetrics;
  readonly watermarks: ReadonlyMap<string, number>;
  readonly link: Pick<ControllerLinkOptions, 'diskId' | 'cleanShutdown' | 'onEnded' | 'onStateChange'>;
}

export type Core = ReturnType<typeof createCore>;

export function createCore(options: CoreOptions) {
  const { config, clock, timers, random, logger, watch, calls, pool } = options;
  const { image } = watch;
  const localId = config.node.id;
  const budgets = createBudgets(config, clock);
  const life = { isStopping: false };

  const link = new ControllerLink({
    ...options.link,
    localId,
    incarnationId: Buffer.from(random.bytes(16)).toString('hex'),
    rackId: config.node.rack,
    calls,
    watch,
    timers,
    logger,
    heartbeatMs: config.broker['heartbeat-ms'],
    failures: () => partitions.failures(),
    logEnds: () => partitions.logEnds(),
  });
  const brokerEpoch = (): number => link.brokerEpoch;
  const clusterId = (): string => image.cluster.clusterId;
  const replicator = new Replicator({
    ...{ localId, clock, timers, random, logger, clusterId, brokerEpoch },
    limits: linkLimits(config),
    addressOf: (brokerId) => followerAddress(image, brokerId),
    transportOf: (url) => pool.get(url),
  });
  const partitions: Partitions = new Partitions({
    ...{ localId, clock, logger, image },
    disk: options.disk,
    checksum: options.checksum,
    buffers: options.buffers,
    watermarks: options.watermarks,
    pendingBudget: budgets.pending,
    limits: partitionLimits(config),
    listener: {
      onProgress: (replica) => replicator.onProgress(replica),
      onRoleChange: (replica) => replicator.refresh(replica),
      onFailure: () => link.beatSoon(),
    },
  });
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

/** What is done again and again. */
function createChores(
  { config, clock, random, logger, calls, watch, metrics }: CoreOptions,
  { partitions, brokerEpoch }: Pick<ServedParts, 'partitions' | 'brokerEpoch'>,
) {
  const localId = config.node.id;
  const { image } = watch;
  const isrProposer = new IsrProposer({
    ...{ localId, partitions, image, calls, clock, logger, brokerEpoch },
    lagMaxMs: config.replica['lag-time-max-ms'],
    callsMax: 32,
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
  return { isrProposer, retention, scrubber };
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
  return { ...defaultLinkLimits, windowBytes, linkWindowBytes: replica['link-window-bytes'] };
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
