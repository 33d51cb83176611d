/**
 * A cluster as a gateway sees it, with real sockets and nothing else: brokers with hand-written raw handlers over one shared
 * log (so that a move of a leader needs no replication), a controller that streams the metadata, and a cable between gateway
 * and broker that can be cut. What a broker believes about its leadership can be older than what the gateway knows, and the
 * other way round.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  ConsumerService,
  DeleteRecordsRequestSchema,
  DeleteRecordsResponseSchema,
  FetchRequestSchema,
  FetchResponseSchema,
  ListOffsetsRequestSchema,
  ListOffsetsResponseSchema,
  SubscribeRequestSchema,
} from '@fleetmq/gen/client/consumer';
import {
  InitTransactionResponseSchema,
  ProduceBatchRequestSchema,
  ProduceBatchResponseSchema,
  ProduceRequestSchema,
  ProduceResponseSchema,
  ProducerService,
} from '@fleetmq/gen/client/producer';
import { ErrorCode } from '@fleetmq/gen/common/errors';
import type { RecordBatch } from '@fleetmq/gen/common/types';
import { AdminService } from '@fleetmq/gen/controller/admin';
import { ControllerBrokerService } from '@fleetmq/gen/controller/cluster';
import { emptyCluster, type MetadataEvent, MetadataImage } from '@fleetmq/metadata';
import { snapshotToProto } from '@fleetmq/metadata/wire';
import type { BrokerId, MetadataVersion, TopicId } from '@fleetmq/shared';
import {
  type RawContext,
  type RpcServer,
  type ServiceRoutes,
  serviceRoutes,
  startRpcServer,
} from '@fleetmq/shared/runtime';

interface Place {
  readonly topic: string;
  readonly partition: number;
}

interface StoredBatch {
  readonly baseOffset: number;
  readonly records: RecordBatch['records'];
  /** What a repeated batch is recognised by; empty: by nothing. */
  readonly identity: string;
}

const keyOf = ({ topic, partition }: Place): string => `${topic}:${partition}`;
const placeOf = (place: Place | undefined): Place => place ?? { topic: '', partition: 0 };

/** A TCP connection that can be cut and spliced again. */
class Cable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #target = 0;
  isCut = false;

  constructor() {
    this.#server = createServer({ noDelay: true }, (near) => {
      if (this.isCut) {
        near.destroy();
        return;
      }
      const far = connect({ port: this.#target, host: '127.0.0.1', noDelay: true });
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(one);
        one.pipe(other);
        one.on('error', () => other.destroy());
        one.on('close', () => {
          this.#sockets.delete(one);
          other.destroy();
        });
      }
    });
  }

  async open(target: number): Promise<number> {
    this.#target = target;
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return (this.#server.address() as AddressInfo).port;
  }

  /** Breaks every connection. */
  break(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Breaks every connection and refuses new ones. */
  cut(): void {
    this.isCut = true;
    this.break();
  }

  close(): void {
    this.break();
    this.#server.close();
  }
}

export interface SeenCall {
  readonly method: string;
  readonly context: RawContext;
  readonly deadlineMs: number | undefined;
}

export class FakeBroker {
  readonly brokerId: number;
  readonly cable = new Cable();
  readonly calls: SeenCall[] = [];
  readonly #cluster: FakeCluster;
  #server: RpcServer | undefined;
  #port = 0;
  /** Runs behind an append and before its answer. */
  afterAppend: () => void | Promise<void> = () => undefined;
  /** Runs before anything else; what it throws is the answer. */
  before: (method: string) => void | Promise<void> = () => undefined;
  /** Messages that subscriptions have handed out. */
  pushed = 0;
  /** Requests that came on produce streams. */
  streamed = 0;

  constructor(brokerId: number, cluster: FakeCluster) {
    this.brokerId = brokerId;
    this.#cluster = cluster;
  }

  get port(): number {
    return this.#port;
  }

  async open(): Promise<void> {
    this.#server = await startRpcServer({
      listen: { host: '127.0.0.1', port: 0 },
      services: [this.#producer(), this.#consumer()],
      limits: { readMaxBytes: 16 * 1024 * 1024, writeMaxBytes: 16 * 1024 * 1024 },
    });
    this.#port = await this.cable.open(this.#server.address.port);
  }

  async close(): Promise<void> {
    this.cable.close();
    await this.#server?.close({ drainMs: 0 });
  }

  async #enter(context: RawContext): Promise<void> {
    this.calls.push({ method: context.method.name, context, deadlineMs: context.deadlineMs });
    await this.before(context.method.name);
  }

  #refusal(place: Place): { errorCode: ErrorCode; errorMessage: string; leaderHint: string } | undefined {
    if (this.#cluster.leads(this.brokerId, place)) return undefined;
    return { errorCode: ErrorCode.NOT_LEADER, errorMessage: 'not the leader', leaderHint: '9@internal:1' };
  }

  #producer(): ServiceRoutes {
    return serviceRoutes(
      ProducerService,
      {
        produce: async (bytes: Uint8Array, context: RawContext) => {
          await this.#enter(context);
          return this.#produce(bytes);
        },
        produceStream: (requests: AsyncIterable<Uint8Array>, context: RawContext) =>
          this.#produceStream(requests, context),
        produceBatch: async (bytes: Uint8Array, context: RawContext) => {
          await this.#enter(context);
          const request = fromBinary(ProduceBatchRequestSchema, bytes);
          const partitions = request.partitions.map(({ topicPartition, batch }) => {
            const place = placeOf(topicPartition);
            const refusal = this.#refusal(place);
            if (refusal !== undefined) return { topicPartition: place, ...refusal };
            const offset = this.#cluster.append(place, batch?.records ?? [], identityOf(batch));
            return { topicPartition: place, offset: BigInt(offset), leaderId: String(this.brokerId) };
          });
          await this.afterAppend();
          return toBinary(ProduceBatchResponseSchema, create(ProduceBatchResponseSchema, { partitions }));
        },
        initTransaction: async (_: Uint8Array, context: RawContext) => {
          await this.#enter(context);
          const producerId = this.#cluster.nextProducerId++;
          return toBinary(InitTransactionResponseSchema, create(InitTransactionResponseSchema, { producerId }));
        },
      },
      { commitTransaction: notThere, abortTransaction: notThere } as never,
    );
  }

  async #produce(bytes: Uint8Array): Promise<Uint8Array> {
    const request = fromBinary(ProduceRequestSchema, bytes);
    const place = placeOf(request.topicPartition);
    const { correlationId } = request;
    const refusal = this.#refusal(place);
    if (refusal !== undefined) {
      return toBinary(ProduceResponseSchema, create(ProduceResponseSchema, { ...refusal, correlationId }));
    }
    const offset = this.#cluster.append(place, request.records, identityOf(request));
    await this.afterAppend();
    const answer = { offset: BigInt(offset), leaderId: String(this.brokerId), correlationId };
    return toBinary(ProduceResponseSchema, create(ProduceResponseSchema, answer));
  }

  /** Takes every request as it comes; appends and answers in order, as fast as the hooks allow. */
  async *#produceStream(requests: AsyncIterable<Uint8Array>, context: RawContext): AsyncGenerator<Uint8Array> {
    this.calls.push({ method: context.method.name, context, deadlineMs: context.deadlineMs });
    const answers: Promise<Uint8Array>[] = [];
    let last: Promise<unknown> = Promise.resolve();
    let arrived = Promise.withResolvers<boolean>();
    const reading = (async () => {
      for await (const request of requests) {
        this.streamed++;
        const answer = last.then(() => this.before('ProduceStream')).then(() => this.#produce(request));
        answer.catch(() => undefined);
        last = answer;
        answers.push(answer);
        arrived.resolve(true);
      }
    })().finally(() => arrived.resolve(false));
    reading.catch(() => undefined);
    for (;;) {
      const answer = answers.shift();
      if (answer !== undefined) yield await answer;
      else if (await arrived.promise) arrived = Promise.withResolvers();
      else return;
    }
  }

  #consumer(): ServiceRoutes {
    return serviceRoutes(
      ConsumerService,
      {
        fetch: async (bytes: Uint8Array, context: RawContext) => {
          await this.#enter(context);
          const request = fromBinary(FetchRequestSchema, bytes);
          const waitMs = Number(request.maxWait?.seconds ?? 0n) * 1_000 + (request.maxWait?.nanos ?? 0) / 1e6;
          const endAtMs = performance.now() + waitMs;
          for (;;) {
            const partitions = request.partitions.map(({ topicPartition, fetchOffset }) =>
              this.#read(placeOf(topicPartition), Number(fetchOffset)),
            );
            const leftMs = endAtMs - performance.now();
            if (leftMs <= 0 || partitions.some(({ batches, errorCode }) => batches.length > 0 || errorCode !== 0)) {
              return toBinary(FetchResponseSchema, create(FetchResponseSchema, { partitions }));
            }
            await this.#cluster.grown(leftMs, context.signal);
            context.signal.throwIfAborted();
          }
        },
        subscribe: (bytes: Uint8Array, context: RawContext) => this.#subscribe(bytes, context),
        listOffsets: async (bytes: Uint8Array, context: RawContext) => {
          await this.#enter(context);
          const partitions = fromBinary(ListOffsetsRequestSchema, bytes).partitions.map(
            ({ topicPartition, position }) => {
              const place = placeOf(topicPartition);
              const isEnd = position?.position.case !== undefined && position.position.value !== 1;
              const offset = BigInt(isEnd ? this.#cluster.end(place) : this.#cluster.start(place));
              return { topicPartition: place, ...(this.#refusal(place) ?? { offset }) };
            },
          );
          return toBinary(ListOffsetsResponseSchema, create(ListOffsetsResponseSchema, { partitions }));
        },
        deleteRecords: async (bytes: Uint8Array, context: RawContext) => {
          await this.#enter(context);
          const partitions = fromBinary(DeleteRecordsRequestSchema, bytes).partitions.map((each) => {
            const place = placeOf(each.topicPartition);
            const refusal = this.#refusal(place);
            if (refusal === undefined) this.#cluster.starts.set(keyOf(place), Number(each.beforeOffset));
            return { topicPartition: place, ...(refusal ?? { logStartOffset: each.beforeOffset }) };
          });
          return toBinary(DeleteRecordsResponseSchema, create(DeleteRecordsResponseSchema, { partitions }));
        },
      },
      Object.fromEntries(
        [
          ...['fetchBatch', 'joinGroup', 'leaveGroup', 'commitOffsets', 'groupHeartbeat', 'fetchOffsets'],
          ...['listGroups', 'describeGroup', 'deleteGroup', 'resetOffsets'],
        ].map((name) => [name, notThere]),
      ) as never,
    );
  }

  #read(place: Place, fetchOffset: number) {
    const refusal = this.#refusal(place);
    const end = this.#cluster.end(place);
    if (refusal !== undefined) return { topicPartition: place, batches: [], ...refusal };
    if (fetchOffset < this.#cluster.start(place) || fetchOffset > end) {
      const errorMessage = `offset ${fetchOffset} is outside`;
      return { topicPartition: place, batches: [], errorCode: ErrorCode.OFFSET_OUT_OF_RANGE, errorMessage };
    }
    const batches = this.#cluster
      .log(place)
      .filter((batch) => batch.baseOffset + batch.records.length > fetchOffset)
      .slice(0, 4)
      .map(({ baseOffset, records }) => ({ baseOffset: BigInt(baseOffset), records }));
    const last = batches.at(-1);
    const nextOffset = last === undefined ? BigInt(fetchOffset) : last.baseOffset + BigInt(last.records.length);
    return { topicPartition: place, errorCode: ErrorCode.OK, highWatermark: BigInt(end), batches, nextOffset };
  }

  async *#subscribe(bytes: Uint8Array, context: RawContext): AsyncGenerator<Uint8Array> {
    await this.#enter(context);
    const request = fromBinary(SubscribeRequestSchema, bytes);
    const positions = new Map(
      request.partitions.map(({ topicPartition, start }) => {
        const place = placeOf(topicPartition);
        const offset = start?.position.case === 'offset' ? Number(start.position.value) : this.#cluster.start(place);
        return [place, offset];
      }),
    );
    while (positions.size > 0) {
      const partitions = [];
      for (const [place, offset] of positions) {
        const read = this.#read(place, offset);
        if (read.errorCode !== 0) positions.delete(place);
        else if (read.batches.length === 0) continue;
        else positions.set(place, Number((read as { nextOffset: bigint }).nextOffset));
        partitions.push(read);
      }
      if (partitions.length > 0) {
        this.pushed++;
        yield toBinary(FetchResponseSchema, create(FetchResponseSchema, { partitions, cursor: new Uint8Array([1]) }));
        continue;
      }
      await this.#cluster.grown(1_000, context.signal);
      if (context.signal.aborted) return;
      yield toBinary(FetchResponseSchema, create(FetchResponseSchema, {}));
    }
  }
}

export class FakeCluster implements AsyncDisposable {
  readonly brokers = new Map<number, FakeBroker>();
  readonly starts = new Map<string, number>();
  readonly #image = new MetadataImage();
  readonly #logs = new Map<string, StoredBatch[]>();
  /** Who really leads, whatever the metadata says. */
  readonly #leaders = new Map<string, number>();
  readonly #watchers = new Set<() => void>();
  readonly #readers = new Set<() => void>();
  #controller: RpcServer | undefined;
  readonly adminCalls: string[] = [];
  nextProducerId = 1_000n;

  static async start(brokers = 2): Promise<FakeCluster> {
    const cluster = new FakeCluster();
    for (let brokerId = 1; brokerId <= brokers; brokerId++) {
      const broker = new FakeBroker(brokerId, cluster);
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
    leaders.forEach((leader, partition) => {
      this.#leaders.set(keyOf({ topic, partition }), leader);
    });
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
    this.#leaders.set(keyOf(place), leader);
    if (when === 'at once') this.announce(place);
    this.#wakeReaders();
  }

  /** The metadata names the leader that there really is; 0: nobody. */
  announce(place: Place, leader = this.#leaders.get(keyOf(place)) ?? 0): void {
    const topicId = this.#image.topicByName(place.topic)?.topicId as TopicId;
    const epoch = (this.#image.partition(topicId, place.partition)?.leaderEpoch ?? 0) + 1;
    this.publish(partitionEvent(topicId, place.partition, leader, epoch));
  }

  publish(...events: MetadataEvent[]): void {
    this.#image.apply((this.#image.version + 1) as MetadataVersion, events);
    for (const wake of this.#watchers) wake();
  }

  leads(brokerId: number, place: Place): boolean {
    return this.#leaders.get(keyOf(place)) === brokerId;
  }

  log(place: Place): readonly StoredBatch[] {
    return this.#logs.get(keyOf(place)) ?? [];
  }

  start(place: Place): number {
    return this.starts.get(keyOf(place)) ?? 0;
  }

  end(place: Place): number {
    const last = this.log(place).at(-1);
    return last === undefined ? 0 : last.baseOffset + last.records.length;
  }

  values(place: Place): string[] {
    return this.log(place).flatMap(({ records }) => records.map((record) => new TextDecoder().decode(record.value)));
  }

  /** The base offset; that of the first time for a batch that is recognised. */
  append(place: Place, records: RecordBatch['records'], identity = ''): number {
    const log = this.#logs.get(keyOf(place)) ?? [];
    const known = log.find((batch) => identity !== '' && batch.identity === identity);
    if (known !== undefined) return known.baseOffset;
    const baseOffset = this.end(place);
    this.#logs.set(keyOf(place), [...log, { baseOffset, records, identity }]);
    this.#wakeReaders();
    return baseOffset;
  }

  /** Resolves when anything was appended, when the time is over, or when the signal aborts. */
  grown(withinMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#readers.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, withinMs);
      this.#readers.add(done);
      signal.addEventListener('abort', done, { once: true });
      if (signal.aborted) done();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.brokers.values()].map((broker) => broker.close()));
    await this.#controller?.close({ drainMs: 0 });
  }

  #wakeReaders(): void {
    for (const wake of [...this.#readers]) wake();
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

function identityOf(batch: { producerId: bigint; baseSequence: number; idempotencyKey: string } | undefined): string {
  if (batch === undefined) return '';
  if (batch.idempotencyKey !== '') return `key ${batch.idempotencyKey}`;
  return batch.producerId === 0n ? '' : `${batch.producerId} ${batch.baseSequence}`;
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

async function notThere(): Promise<never> {
  throw new Error('the fake does not have this call');
}
