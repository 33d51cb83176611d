/**
 * One controller for the tests of brokers, on a real socket: registrations, heartbeats, the watch, compare-and-set of ISRs,
 * producer ids. It decides as the real ones do, and does nothing by itself: tests create topics and elect leaders.
 */
import { create } from '@bufbuild/protobuf';
import {
  BrokerReplicationService,
  TransferLeadershipResponseSchema,
  type UpdateISRRequest,
  UpdateISRResponseSchema,
} from '@fleetmq/gen/broker/replication';
import type { ErrorCode } from '@fleetmq/gen/common/errors';
import {
  AllocateProducerIdsResponseSchema,
  BrokerHeartbeatResponseSchema,
  ControllerBrokerService,
  RegisterBrokerResponseSchema,
  type WatchMetadataResponse,
  WatchMetadataResponseSchema,
} from '@fleetmq/gen/controller/cluster';
import {
  type BrokerImage,
  emptyCluster,
  type MetadataEvent,
  MetadataImage,
  type PartitionImage,
  type TopicImage,
} from '@fleetmq/metadata';
import { endpointFromProto, eventToProto, partitionToProto, snapshotToProto } from '@fleetmq/metadata/wire';
import {
  type BrokerEpoch,
  type BrokerId,
  DomainError,
  errorNumber,
  type LeaderEpoch,
  type MetadataVersion,
  type PartitionEpoch,
  type PartitionId,
  type TopicId,
} from '@fleetmq/shared';
import { type RpcServer, startRpcServer, typedRoutes } from '@fleetmq/shared/runtime';

const clusterId = 'c'.repeat(32);

export class TestController implements AsyncDisposable {
  readonly image = new MetadataImage();
  readonly heartbeats = new Map<number, { failed: readonly { topicId: string; partition: number }[] }>();
  readonly registrations: { brokerId: number; clean: boolean }[] = [];
  /** Answers UpdateISR in place of the usual rule, for tests of lost and refused answers. */
  onUpdateIsr: ((request: UpdateISRRequest) => void) | undefined;
  /** Brokers that are to stay out of service. */
  readonly keptFenced = new Set<number>();
  /** Brokers that hear of no change of the metadata, until they ask anew. */
  readonly deaf = new Set<number>();
  readonly #watchers = new Set<(message: WatchMetadataResponse) => void>();
  #server: RpcServer | undefined;
  #version = 0;
  #nextProducerId = 1n;

  static async start(): Promise<TestController> {
    const controller = new TestController();
    controller.#apply([
      {
        kind: 'cluster-changed',
        cluster: { ...emptyCluster, clusterId },
      },
    ]);
    await controller.#listen();
    return controller;
  }

  get address(): string {
    const { host, port } = (this.#server as RpcServer).address;
    return `${host}:${port}`;
  }

  /** A topic whose partitions all have these replicas; the first one leads. */
  createTopic(
    name: string,
    replicas: readonly number[],
    options: { readonly partitions?: number; readonly config?: Record<string, string> } = {},
  ): TopicImage {
    const { partitions = 1, config = {} } = options;
    const topicId = Buffer.from(name.padEnd(16, '.').slice(0, 16)).toString('hex') as TopicId;
    const topic: TopicImage = {
      topicId,
      name,
      config: new Map(Object.entries(config)),
      internal: false,
      partitionCount: partitions,
    };
    const ids = replicas as readonly BrokerId[];
    this.#apply([
      { kind: 'topic-changed', topic },
      ...Array.from(
        { length: partitions },
        (_, number): MetadataEvent => ({
          kind: 'partition-changed',
          partition: {
            topicId,
            partition: number as PartitionId,
            leaderId: ids[0] as BrokerId,
            leaderEpoch: 1 as LeaderEpoch,
            replicas: ids,
            inSyncReplicas: ids,
            partitionEpoch: 1 as PartitionEpoch,
          },
        }),
      ),
    ]);
    return topic;
  }

  deleteTopic(topicId: TopicId): void {
    this.#apply([{ kind: 'topic-removed', topicId }]);
  }

  setConfig(topic: TopicImage, config: Record<string, string>): void {
    this.#apply([{ kind: 'topic-changed', topic: { ...topic, config: new Map(Object.entries(config)) } }]);
  }

  partition(topicId: TopicId, number = 0): PartitionImage {
    const partition = this.image.partition(topicId, number);
    if (partition === undefined) throw new Error(`no partition ${number} of ${topicId}`);
    return partition;
  }

  /** Changes a partition; leader epoch and partition epoch rise as they must. */
  change(
    topicId: TopicId,
    change: Partial<Pick<PartitionImage, 'leaderId' | 'inSyncReplicas' | 'replicas' | 'move'>>,
  ): void {
    const before = this.partition(topicId);
    const isSameLeader = change.leaderId === undefined || change.leaderId === before.leaderId;
    this.#apply([
      {
        kind: 'partition-changed',
        partition: {
          ...before,
          ...change,
          leaderEpoch: (before.leaderEpoch + (isSameLeader ? 0 : 1)) as LeaderEpoch,
          partitionEpoch: (before.partitionEpoch + 1) as PartitionEpoch,
        },
      },
    ]);
  }

  elect(topicId: TopicId, leaderId: number, inSyncReplicas?: readonly number[]): void {
    const isr = inSyncReplicas === undefined ? {} : { inSyncReplicas: inSyncReplicas as readonly BrokerId[] };
    this.change(topicId, { leaderId: leaderId as BrokerId, ...isr });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server?.close({ drainMs: 0 });
  }

  #apply(events: readonly MetadataEvent[]): void {
    this.image.apply(++this.#version as MetadataVersion, events);
    const message = create(WatchMetadataResponseSchema, {
      version: BigInt(this.#version),
      term: 1n,
      leaderId: 1,
      events: events.map(eventToProto),
    });
    for (const send of this.#watchers) send(message);
  }

  #changeBroker(broker: BrokerImage): void {
    this.#apply([{ kind: 'broker-changed', broker }]);
  }

  async #listen(): Promise<void> {
    const refuse = (): never => {
      throw new DomainError('UNIMPLEMENTED', 'not in tests');
    };
    const cluster = typedRoutes(ControllerBrokerService, {
      registerBroker: (request) => {
        const { brokerId, incarnationId, rackId, diskId } = request;
        this.registrations.push({ brokerId, clean: request.cleanShutdown });
        const known = this.image.broker(brokerId as BrokerId);
        if (known?.incarnationId !== incarnationId) {
          this.#changeBroker({
            brokerId: brokerId as BrokerId,
            brokerEpoch: (this.#version + 1) as BrokerEpoch,
            incarnationId,
            rackId,
            diskId,
            endpoints: request.endpoints.map(endpointFromProto),
            state: 'fenced',
            features: new Map(),
          });
        }
        const { brokerEpoch } = this.image.broker(brokerId as BrokerId) as BrokerImage;
        return create(RegisterBrokerResponseSchema, {
          clusterId,
          brokerEpoch: BigInt(brokerEpoch),
          metadataVersion: BigInt(this.#version),
          heartbeatInterval: { nanos: 50_000_000 },
        });
      },
      heartbeatBroker: (request) => {
        const broker = this.image.broker(request.brokerId as BrokerId);
        if (broker === undefined || BigInt(broker.brokerEpoch) !== request.brokerEpoch) {
          throw new DomainError('STALE_BROKER_EPOCH', `registration ${request.brokerEpoch} is not the newest`);
        }
        this.heartbeats.set(request.brokerId, { failed: request.failedPartitions });
        const caughtUp = request.metadataVersion >= request.brokerEpoch;
        const fenced = !caughtUp || this.keptFenced.has(request.brokerId);
        const state = fenced ? 'fenced' : 'active';
        if (broker.state !== state) this.#changeBroker({ ...broker, state });
        return create(BrokerHeartbeatResponseSchema, {
          fenced,
          caughtUp,
          mayShutDown: request.wantShutDown,
          metadataVersion: BigInt(this.#version),
        });
      },
      watchMetadata: ({ watcher }, { signal }) => this.#watch(watcher, signal),
      allocateProducerIds: ({ count }) => {
        const firstProducerId = this.#nextProducerId;
        this.#nextProducerId += BigInt(count);
        return create(AllocateProducerIdsResponseSchema, { firstProducerId, count });
      },
      ...{ unregisterBroker: refuse, createPartitions: refuse, deletePartitions: refuse, reassignPartitions: refuse },
      ...{ updateClusterConfig: refuse, getClusterConfig: refuse },
    });
    const replication = typedRoutes(BrokerReplicationService, {
      updateISR: (request) => this.#updateIsr(request),
      transferLeadership: ({ topicPartition, targetId }) => {
        const topic = this.image.topicByName(topicPartition?.topic ?? '') as TopicImage;
        this.elect(topic.topicId, targetId);
        const partition = partitionToProto(this.partition(topic.topicId));
        return create(TransferLeadershipResponseSchema, { partition });
      },
      ...{
        replicateData: refuse,
        replicateStream: refuse,
        sendHeartbeat: refuse,
        getLeaderEpoch: refuse,
        getISR: refuse,
      },
    });
    this.#server = await startRpcServer({
      listen: { host: '127.0.0.1', port: 0 },
      services: [cluster, replication],
    });
  }

  #updateIsr(request: UpdateISRRequest) {
    this.onUpdateIsr?.(request);
    const partition = this.partition(request.topicId as TopicId, request.partition);
    const isCurrent =
      request.leaderEpoch === partition.leaderEpoch &&
      request.partitionEpoch === partition.partitionEpoch &&
      request.brokerId === partition.leaderId;
    const isLive = request.inSyncReplicas.every(
      ({ brokerId, brokerEpoch }) => BigInt(this.image.broker(brokerId as BrokerId)?.brokerEpoch ?? 0) === brokerEpoch,
    );
    if (isCurrent && isLive) {
      const inSyncReplicas = request.inSyncReplicas.map(({ brokerId }) => brokerId as BrokerId);
      this.change(partition.topicId, { inSyncReplicas });
    }
    return create(UpdateISRResponseSchema, {
      errorCode: (isCurrent && isLive ? 0 : errorNumber(isCurrent ? 'STALE_BROKER_EPOCH' : 'STALE_EPOCH')) as ErrorCode,
      partition: partitionToProto(this.partition(partition.topicId, request.partition)),
    });
  }

  async *#watch(watcher: string, signal: AbortSignal): AsyncGenerator<WatchMetadataResponse, void> {
    const queue: WatchMetadataResponse[] = [
      create(WatchMetadataResponseSchema, {
        version: BigInt(this.#version),
        term: 1n,
        leaderId: 1,
        snapshot: snapshotToProto(this.image.snapshot()),
      }),
    ];
    let wake = (): void => undefined;
    const send = (message: WatchMetadataResponse): void => {
      if ([...this.deaf].some((id) => watcher === `broker-${id}`)) return;
      queue.push(message);
      wake();
    };
    this.#watchers.add(send);
    signal.addEventListener('abort', () => wake(), { once: true });
    try {
      while (!signal.aborted) {
        const message = queue.shift();
        if (message !== undefined) yield message;
        else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      this.#watchers.delete(send);
    }
  }
}
