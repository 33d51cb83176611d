/**
 * A cluster as a gateway sees it: fake brokers, and a controller that streams the metadata. The metadata can name other
 * leaders than there really are.
 */
import { AdminService } from '@fleetmq/gen/controller/admin';
import { ControllerBrokerService } from '@fleetmq/gen/controller/cluster';
import { emptyCluster, type MetadataEvent, MetadataImage } from '@fleetmq/metadata';
import { snapshotToProto } from '@fleetmq/metadata/wire';
import type { BrokerId, MetadataVersion, TopicId } from '@fleetmq/shared';
import { type RpcServer, type ServiceRoutes, serviceRoutes, startRpcServer } from '@fleetmq/shared/runtime';
import { FakeBroker, notThere } from './fake-broker.fuzz.ts';
import { FakeLogs, type Place } from './fake-logs.fuzz.ts';

export class FakeCluster implements AsyncDisposable {
  readonly brokers = new Map<number, FakeBroker>();
  readonly logs = new FakeLogs();
  readonly #image = new MetadataImage();
  readonly #watchers = new Set<() => void>();
  #controller: RpcServer | undefined;
  readonly adminCalls: string[] = [];

  static async start(brokers = 2): Promise<FakeCluster> {
    const cluster = new FakeCluster();
    for (let brokerId = 1; brokerId <= brokers; brokerId++) {
      const broker = new FakeBroker(brokerId, cluster.logs);
      await broker.open();
      cluster.brokers.set(brokerId, broker);
    }
    cluster.#controller = await startRpcServer({
      listen: { host: '127.0.0.1', port: 0 },
      services: [cluster.#brokerService(), cluster.#adminService()],
    });
    cluster.publish(
      {
        kind: 'cluster-changed',
        cluster: { ...emptyCluster, clusterId: 'fake' },
      },
      ...[...cluster.brokers.values()].map((broker) => brokerEvent(broker)),
    );
    return cluster;
  }

  get controllers(): string {
    return `1@127.0.0.1:${this.#controller?.address.port}`;
  }

  get version(): number {
    return this.#image.version;
  }

  broker(brokerId: number): FakeBroker {
    return this.brokers.get(brokerId) as FakeBroker;
  }

  /** Makes a topic; partition n is led by `leaders[n]`. */
  createTopic(topic: string, leaders: readonly number[]): void {
    const topicId = (this.#image.version + 1).toString(16).padStart(32, '0') as TopicId;
    for (const [partition, leader] of leaders.entries()) this.logs.setLeader({ topic, partition }, leader);
    this.publish(
      {
        kind: 'topic-changed',
        topic: { topicId, name: topic, config: new Map(), internal: false, partitionCount: leaders.length },
      },
      ...leaders.map((leader, partition) => partitionEvent(topicId, partition, leader, 1)),
    );
  }

  deleteTopic(topic: string): void {
    const topicId = this.#image.topicByName(topic)?.topicId as TopicId;
    this.publish({ kind: 'topic-removed', topicId });
  }

  /** Another broker leads from now on; the metadata says so at once unless it is to be `late`. */
  move(place: Place, leader: number, when: 'at once' | 'late' = 'at once'): void {
    this.logs.move(place, leader);
    if (when === 'at once') this.announce(place);
  }

  /** The metadata names the leader that there really is; 0: nobody. */
  announce(place: Place, leader = this.logs.leaderOf(place)): void {
    const topicId = this.#image.topicByName(place.topic)?.topicId as TopicId;
    const epoch = (this.#image.partition(topicId, place.partition)?.leaderEpoch ?? 0) + 1;
    this.publish(partitionEvent(topicId, place.partition, leader, epoch));
  }

  publish(...events: MetadataEvent[]): void {
    this.#image.apply((this.#image.version + 1) as MetadataVersion, events);
    for (const wake of this.#watchers) wake();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.brokers.values()].map((broker) => broker.close()));
    await this.#controller?.close({ drainMs: 0 });
  }

  #brokerService(): ServiceRoutes {
    const others = ControllerBrokerService.methods.filter((method) => method.localName !== 'watchMetadata');
    const typed = {
      ...Object.fromEntries(others.map((method) => [method.localName, notThere])),
      watchMetadata: (_: unknown, { signal }: { signal: AbortSignal }) => this.#watch(signal),
    };
    return serviceRoutes(ControllerBrokerService, {}, typed as never);
  }

  /** Sends whole snapshots: the gateway finds out what has changed. */
  async *#watch(signal: AbortSignal) {
    let sent = -1;
    while (!signal.aborted) {
      const { version } = this.#image;
      if (version === sent) {
        await new Promise<void>((resolve) => {
          const done = (): void => {
            this.#watchers.delete(done);
            resolve();
          };
          this.#watchers.add(done);
          signal.addEventListener('abort', done, { once: true });
        });
        continue;
      }
      sent = version;
      yield { version: BigInt(version), term: 1n, leaderId: 1, snapshot: snapshotToProto(this.#image.snapshot()) };
    }
  }

  #adminService(): ServiceRoutes {
    const handlers = AdminService.methods.map((method) => {
      const handler = async (request: { name?: string }) => {
        this.adminCalls.push(method.name);
        if (method.localName !== 'createTopic') return {};
        this.createTopic(request.name ?? '', [1]);
        return { metadataVersion: BigInt(this.version) };
      };
      return [method.localName, handler];
    });
    return serviceRoutes(AdminService, {}, Object.fromEntries(handlers) as never);
  }
}

function brokerEvent(broker: FakeBroker): MetadataEvent {
  const endpoint = (listener: 'client' | 'internal', port: number) => ({
    listener,
    host: '127.0.0.1',
    port,
    tls: false,
  });
  return {
    kind: 'broker-changed',
    broker: {
      brokerId: broker.brokerId as BrokerId,
      brokerEpoch: 1 as never,
      incarnationId: 'x',
      rackId: '',
      endpoints: [endpoint('client', 7_610), endpoint('internal', broker.port)],
      state: 'active',
      diskId: 'd',
      features: new Map(),
    },
  };
}

function partitionEvent(topicId: TopicId, partition: number, leader: number, epoch: number): MetadataEvent {
  const replicas = [1, 2] as BrokerId[];
  const value = { topicId, partition, leaderId: leader, leaderEpoch: epoch, replicas, inSyncReplicas: replicas };
  return { kind: 'partition-changed', partition: { ...value, partitionEpoch: epoch } as never };
}
