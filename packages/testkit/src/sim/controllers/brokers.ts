/**
 * Brokers as the controllers see them: each registers, sends heartbeats, follows the metadata with the production watch, and,
 * for the partitions that it leads as far as it knows, proposes changes of the ISR, right ones and late ones.
 */
import { BrokerReplicationService } from '@fleetmq/gen/broker/replication';
import { ControllerBrokerService } from '@fleetmq/gen/controller/cluster';
import { apiVersion, type PartitionImage, supportedFeatures } from '@fleetmq/metadata';
import { ControllerCalls, MetadataWatch } from '@fleetmq/metadata/link';
import { type BrokerId, isDomainError, type Random } from '@fleetmq/shared';
import { describeError } from '../failure.ts';
import { SimProcess } from '../process.ts';
import type { History } from './history.ts';
import type { Reference } from './reference.ts';
import { brokerAddress, callOptions, type World } from './world.ts';

const version = apiVersion;
/** Every so many changes a watcher's metadata are compared as a whole. */
const compareEvery = 4;

interface BrokerLife {
  readonly process: SimProcess;
  readonly watch: MetadataWatch;
  readonly calls: ControllerCalls;
  readonly incarnationId: string;
  epoch: bigint;
  isBeating: boolean;
}

export interface SimBrokerParts {
  readonly reference: Reference;
  readonly history: History;
  /** All that may ever be members: what a broker is configured with must outlive those of today. */
  readonly controllerIds: readonly number[];
}

export class SimBroker {
  readonly #world: World;
  readonly #reference: Reference;
  readonly #history: History;
  readonly #random: Random;
  readonly #controllerIds: readonly number[];
  readonly brokerId: number;
  #life: BrokerLife | undefined;
  #lives = 0;
  /** Of an earlier life: a process that does not know that it was replaced still uses it. */
  #oldEpoch = 0n;
  /** As this broker saw it some time ago. */
  #oldPartition: PartitionImage | undefined;
  #isCalm = false;

  constructor(world: World, parts: SimBrokerParts, brokerId: number) {
    this.#world = world;
    this.#controllerIds = parts.controllerIds;
    this.#reference = parts.reference;
    this.#history = parts.history;
    this.#random = world.random(`broker ${brokerId}`);
    this.brokerId = brokerId;
  }

  get address(): number {
    return brokerAddress + this.brokerId;
  }

  /** Of its watch; 0 while it is down. */
  get version(): number {
    return this.#life?.watch.version ?? 0;
  }

  start(): void {
    if (this.#life !== undefined) return;
    const { scheduler, seed } = this.#world;
    const process = new SimProcess({ name: `broker-${this.brokerId}`, time: scheduler.time });
    const who = { process, address: this.address, controllerIds: this.#controllerIds, random: this.#random };
    const common = callOptions(this.#world, who);
    const watch = new MetadataWatch({ ...common, watcher: process.name });
    const calls = new ControllerCalls({ ...common, known: () => watch.controllers, leaderId: () => watch.leaderId });
    const incarnationId = `${this.brokerId}-${++this.#lives}`;
    const life: BrokerLife = { process, watch, calls, incarnationId, epoch: 0n, isBeating: false };
    this.#life = life;
    this.#observe(life);
    watch.start();
    process.timers.every(seed.brokerHeartbeatMs, () => void this.#beat(life));
    process.timers.every(seed.operationEveryMs, () => void this.#lead(life));
  }

  crash(): void {
    const life = this.#life;
    if (life === undefined) return;
    this.#life = undefined;
    if (life.epoch !== 0n) this.#oldEpoch = life.epoch;
    life.process.kill();
    this.#world.network.ended(life.process, this.#random.next() < 0.5);
  }

  /** Only heartbeats from now on. */
  rest(): void {
    this.#isCalm = true;
  }

  compare(): void {
    if (this.#life !== undefined) this.#reference.compareWatch(`broker ${this.brokerId}`, this.#life.watch.image);
  }

  #observe({ process, watch }: BrokerLife): void {
    let seen = 0;
    let changes = 0;
    watch.onChange((_events, at) => {
      if (!process.isAlive) return;
      if (at <= seen) {
        this.#world.fail('safety', 'versions of a watcher rise', `${process.name}: ${at} after ${seen}`);
      }
      seen = at;
      this.#world.counts.add('changes seen by watchers');
      if (++changes % compareEvery === 0) this.compare();
    });
  }

  async #beat(life: BrokerLife): Promise<void> {
    if (life.isBeating) return;
    life.isBeating = true;
    try {
      if (life.epoch === 0n) await this.#register(life);
      else await this.#heartbeat(life);
    } catch (error) {
      this.#expect(error);
      const isOver = isDomainError(error) && (error.code === 'STALE_BROKER_EPOCH' || error.code === 'BROKER_NOT_FOUND');
      if (isOver) life.epoch = 0n;
    } finally {
      life.isBeating = false;
    }
  }

  async #register(life: BrokerLife): Promise<void> {
    const { brokerEpoch } = await life.calls.unary(
      ControllerBrokerService.method.registerBroker,
      {
        version,
        brokerId: this.brokerId,
        incarnationId: life.incarnationId,
        diskId: `disk-${this.brokerId}`,
        cleanShutdown: this.#random.next() < 0.3,
        endpoints: [{ listener: 'client', host: 'broker', port: this.address }],
        features: Object.fromEntries(supportedFeatures),
      },
      { timeoutMs: 3_000, idempotent: true },
    );
    life.epoch = brokerEpoch;
    this.#history.wrote(brokerEpoch);
  }

  async #heartbeat(life: BrokerLife): Promise<void> {
    const { seed } = this.#world;
    const own = life.watch.image.partitionsOfBroker(this.brokerId as BrokerId);
    const broken = this.#isCalm || this.#random.next() > 0.02 ? undefined : [...own][0];
    const failedPartitions =
      broken === undefined ? [] : [{ topicId: broken.topicId, partition: broken.partition, reason: 'simulated' }];
    await life.calls.unary(
      ControllerBrokerService.method.heartbeatBroker,
      {
        version,
        brokerId: this.brokerId,
        brokerEpoch: life.epoch,
        metadataVersion: BigInt(life.watch.version),
        failedPartitions,
        logEnds: this.#logEnds(own),
      },
      { timeoutMs: seed.sessionTimeoutMs, idempotent: true },
    );
  }

  /** As a broker tells them whose logs are all open. */
  #logEnds(own: readonly PartitionImage[]) {
    const id = this.brokerId as BrokerId;
    return own
      .filter(({ leaderId, inSyncReplicas, eligibleReplicas = [] }) => {
        return leaderId === 0 && (inSyncReplicas.includes(id) || eligibleReplicas.includes(id));
      })
      .map(({ topicId, partition, leaderEpoch }) => {
        const lastEpoch = Math.ceil(this.#random.next() * leaderEpoch);
        return { topicId, partition, lastEpoch, endOffset: BigInt(Math.floor(this.#random.next() * 100)) };
      });
  }

  /** One of the partitions that it leads gets another ISR, or ids for producers are fetched. */
  async #lead(life: BrokerLife): Promise<void> {
    if (this.#isCalm || life.epoch === 0n) return;
    try {
      if (this.#random.next() < 0.1) await this.#allocate(life);
      else await this.#changeIsr(life);
    } catch (error) {
      this.#expect(error);
    }
  }

  async #allocate({ calls, epoch }: BrokerLife): Promise<void> {
    await calls.unary(
      ControllerBrokerService.method.allocateProducerIds,
      { version, brokerId: this.brokerId, brokerEpoch: this.#anyEpoch(epoch), count: 10 },
      { timeoutMs: 2_000 },
    );
  }

  async #changeIsr({ calls, watch, epoch }: BrokerLife): Promise<void> {
    const led = [...watch.image.partitionsOfBroker(this.brokerId as BrokerId)].filter(
      ({ leaderId, replicas }) => leaderId === this.brokerId && replicas.length > 1,
    );
    const chosen = led[Math.floor(this.#random.next() * led.length)];
    const isLate = this.#oldPartition !== undefined && this.#random.next() < 0.2;
    const partition = isLate ? this.#oldPartition : chosen;
    if (partition === undefined) return;
    if (this.#random.next() < 0.3) this.#oldPartition = chosen;
    const members = this.#proposal(partition);
    const { topicId, leaderEpoch, partitionEpoch } = partition;
    // A proposal that waits is how a leader with old epochs comes about.
    if (this.#random.next() < 0.3) await new Promise<void>((done) => this.#life?.process.after(800, done));
    const { metadataVersion } = await calls.unary(
      BrokerReplicationService.method.updateISR,
      {
        version,
        brokerId: this.brokerId,
        brokerEpoch: this.#anyEpoch(epoch),
        topicId,
        partition: partition.partition,
        leaderEpoch,
        partitionEpoch,
        inSyncReplicas: members.map((brokerId) => ({
          brokerId,
          brokerEpoch: BigInt(watch.image.broker(brokerId as BrokerId)?.brokerEpoch ?? 0),
        })),
      },
      { timeoutMs: 2_000 },
    );
    this.#history.wrote(metadataVersion);
    this.#world.counts.add('changes of the ISR answered');
  }

  /** Mostly that of this life. */
  #anyEpoch(epoch: bigint): bigint {
    return this.#oldEpoch !== 0n && this.#random.next() < 0.1 ? this.#oldEpoch : epoch;
  }

  /** Everybody, or everybody but one. */
  #proposal({ replicas }: PartitionImage): readonly number[] {
    const others = replicas.filter((id) => id !== this.brokerId);
    const dropped = this.#random.next() < 0.5 ? others[Math.floor(this.#random.next() * others.length)] : undefined;
    return replicas.filter((id) => id !== dropped);
  }

  #expect(error: unknown): void {
    if (!isDomainError(error)) this.#world.fail('crash', 'a broker call threw', describeError(error));
  }
}
