/**
 * A small cluster in memory for the client's tests: brokers and a gateway on real sockets, one shared state, the contract's
 * answers. It keeps the rules that a client depends on (leaders, sequences, high watermark) and lets a test break things.
 */
import { PassThrough } from 'node:stream';
import { create, type DescService, fromBinary, toBinary } from '@bufbuild/protobuf';
import { type Timestamp, timestampMs } from '@bufbuild/protobuf/wkt';
import {
  ConsumerService,
  type FetchPartitionResponse,
  FetchResponseSchema,
  type StartPosition,
  SubscribeRequestSchema,
} from '@fleetmq/gen/client/consumer';
import { MetadataService } from '@fleetmq/gen/client/metadata';
import {
  ProduceBatchRequestSchema,
  ProduceBatchResponseSchema,
  type ProducePartitionResponse,
  ProduceRequestSchema,
  ProduceResponseSchema,
  ProducerService,
} from '@fleetmq/gen/client/producer';
import type { ErrorCode } from '@fleetmq/gen/common/errors';
import { type RecordBatch, RecordBatchSchema } from '@fleetmq/gen/common/types';
import { AdminService } from '@fleetmq/gen/controller/admin';
import { defaultBatchLimits, validateProduced } from '@fleetmq/record';
import { DomainError, type ErrorName, errorNumber, isDomainError } from '@fleetmq/shared';
import {
  nodeChecksum,
  type RpcServer,
  rawBidi,
  rawServerStream,
  rawUnary,
  type ServiceRoutes,
  startRpcServer,
} from '@fleetmq/shared/runtime';
import { appendTo, emptyPartition, type FakePartition, offsetOf, type Place } from './fake-partition-fixture.ts';

export interface ProduceFault {
  /** Answer this without a write. */
  readonly refuse?: ErrorName;
  /** Write, then answer this. */
  readonly after?: ErrorName;
  /** Fail the whole call after the write. */
  readonly breakCall?: ErrorName;
  /** Wait for this before the batch is looked at. */
  readonly hold?: Promise<void>;
}

export interface FakeOptions {
  readonly brokers?: number;
  readonly topics?: Readonly<Record<string, number>>;
  readonly heartbeatMs?: number;
}

export class FakeCluster implements AsyncDisposable {
  readonly topics = new Map<string, FakePartition[]>();
  readonly #servers: RpcServer[] = [];
  readonly #listeners = new Set<() => void>();
  version = 1n;
  nextProducerId = 100n;
  /** Batches in the order in which they were looked at: partition, producer, sequence. */
  readonly seen: { topic: string; partition: number; producerId: bigint; sequence: number; records: number }[] = [];
  /** ProduceBatch calls. */
  calls = 0;
  /** ProduceStreams that were opened. */
  streams = 0;
  onProduce: (topic: string, partition: number, sequence: number) => ProduceFault | undefined = () => undefined;
  /** Answers an error for a subscription's partition once. */
  onSubscribe: (topic: string, partition: number, offset: number) => ErrorName | undefined = () => undefined;
  /** Streams end after so many answers. */
  answersPerStream = Number.POSITIVE_INFINITY;
  /** Records per answer. */
  batchesPerAnswer = 4;
  subscriptions = 0;

  static async start(options: FakeOptions = {}): Promise<FakeCluster> {
    const cluster = new FakeCluster();
    for (const [name, count] of Object.entries(options.topics ?? { t: 1 })) cluster.addTopic(name, count);
    for (let id = 0; id <= (options.brokers ?? 2); id++) {
      const listen = { host: '127.0.0.1', port: 0 };
      cluster.#servers.push(await startRpcServer({ listen, services: cluster.#routes(id), limits: {} }));
    }
    return cluster;
  }

  /** URL of the gateway. */
  get url(): string {
    return (this.#servers[0] as RpcServer).address.url;
  }

  /** `host:port` of broker `id`, from 1. */
  broker(id: number): string {
    const { host, port } = (this.#servers[id] as RpcServer).address;
    return `${host}:${port}`;
  }

  addTopic(name: string, partitions: number): void {
    const brokers = Math.max(1, this.#servers.length - 1 || 2);
    const made = Array.from({ length: partitions }, (_, index) => emptyPartition((index % brokers) + 1));
    this.topics.set(name, made);
    this.version++;
  }

  partition(topic: string, partition = 0): FakePartition {
    const found = this.topics.get(topic)?.[partition];
    if (found === undefined) throw new DomainError('PARTITION_NOT_FOUND', `${topic}-${partition}`);
    return found;
  }

  moveLeader(topic: string, partition: number, leaderId: number): void {
    const moved = this.partition(topic, partition);
    moved.leaderId = leaderId;
    moved.leaderEpoch++;
    this.version++;
    this.#notify();
  }

  /** Ends all open subscriptions and lets waiting ones look again. */
  #notify(): void {
    for (const listener of this.#listeners) listener();
  }

  async stopBroker(id: number): Promise<void> {
    await (this.#servers[id] as RpcServer).close({ drainMs: 0 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.close({ drainMs: 0 })));
  }

  #routes(id: number): ServiceRoutes[] {
    const raw = [
      rawUnary(ProducerService.method.produceBatch, (request) => this.#produce(id, request)),
      rawBidi(ProducerService.method.produceStream, (requests) => this.#produceStream(id, requests)),
      rawServerStream(ConsumerService.method.subscribe, (request, { signal }) => this.#subscribe(id, request, signal)),
    ];
    const producer = mount(
      ProducerService,
      { initTransaction: () => ({ producerId: this.nextProducerId++ }) },
      raw.slice(0, 2),
    );
    const consumer = mount(
      ConsumerService,
      {
        listOffsets: (request: { partitions: { topicPartition?: Place; position?: StartPosition }[] }) => ({
          partitions: request.partitions.map(({ topicPartition, position }) =>
            this.#answerFor(id, topicPartition as Place, (partition) => ({
              offset: BigInt(offsetOf(partition, position)),
            })),
          ),
        }),
        deleteRecords: (request: { partitions: { topicPartition?: Place; beforeOffset: bigint }[] }) => ({
          partitions: request.partitions.map(({ topicPartition, beforeOffset }) =>
            this.#answerFor(id, topicPartition as Place, (partition) => {
              partition.logStart = Math.max(partition.logStart, Number(beforeOffset));
              return { logStartOffset: BigInt(partition.logStart) };
            }),
          ),
        }),
      },
      raw.slice(2),
    );
    const services = [producer, consumer, this.#metadataRoutes()];
    return id === 0 ? [...services, this.#adminRoutes()] : services;
  }

  #metadataRoutes(): ServiceRoutes {
    const brokers = () =>
      this.#servers.slice(1).map(({ address }, index) => ({
        broker: { id: String(index + 1) },
        endpoints: [{ listener: 'client', host: address.host, port: address.port }],
        state: 2,
      }));
    const typed = {
      getTopicMetadata: ({ topics }: { topics: string[] }) => ({
        topics: topics.map((name) => this.#topicResult(name)),
        brokers: brokers(),
        metadataVersion: this.version,
      }),
      listTopics: () => ({
        topics: [...this.topics].map(([name, partitions]) => ({ name, partitionCount: partitions.length })),
        metadataVersion: this.version,
      }),
      getBrokerList: () => ({ brokers: brokers(), metadataVersion: this.version }),
      getClusterMetadata: () => ({ clusterId: 'fake', metadataVersion: this.version, serverVersion: '0.1.0' }),
    };
    return mount(MetadataService, typed, []);
  }

  #topicResult(name: string): object {
    const partitions = this.topics.get(name);
    if (partitions === undefined)
      return { name, errorCode: errorNumber('TOPIC_NOT_FOUND'), errorMessage: 'no such topic' };
    const made = partitions.map(({ leaderId, leaderEpoch }, partition) => ({ partition, leaderId, leaderEpoch }));
    return { name, topic: { name, topicId: 'f'.repeat(32), partitions: made } };
  }

  #adminRoutes(): ServiceRoutes {
    const typed = {
      createTopic: ({ name, partitionCount }: { name: string; partitionCount: number }) => {
        if (this.topics.has(name)) throw new DomainError('TOPIC_ALREADY_EXISTS', `topic ${name} exists`);
        this.addTopic(name, partitionCount || 1);
        return { topic: { name, partitions: [] }, metadataVersion: this.version };
      },
      deleteTopic: ({ name }: { name: string }) => {
        if (!this.topics.delete(name)) throw new DomainError('TOPIC_NOT_FOUND', `there is no topic ${name}`);
        return { metadataVersion: ++this.version };
      },
      describeTopic: ({ name }: { name: string }) => {
        if (!this.topics.has(name)) throw new DomainError('TOPIC_NOT_FOUND', `there is no topic ${name}`);
        return { topic: { name }, config: [{ name: 'retention.ms', value: '1', source: 1 }] };
      },
    };
    return mount(AdminService, typed, []);
  }

  /** The partition if this server may answer for it. */
  #led(id: number, { topic, partition }: Place): FakePartition {
    const found = this.topics.get(topic);
    if (found === undefined) throw new DomainError('TOPIC_NOT_FOUND', `there is no topic ${topic}`);
    const led = this.partition(topic, partition);
    if (id === 0 || led.leaderId === id) return led;
    const hint = led.leaderId === 0 ? {} : { leaderHint: `${led.leaderId}@${this.broker(led.leaderId)}` };
    throw new DomainError('NOT_LEADER', `broker ${id} does not lead it`, hint);
  }

  #answerFor(id: number, place: Place, answer: (partition: FakePartition) => object): object {
    try {
      return { topicPartition: place, ...answer(this.#led(id, place)) };
    } catch (error) {
      if (!isDomainError(error)) throw error;
      return { topicPartition: place, ...bodyOf(error) };
    }
  }

  async #produce(id: number, bytes: Uint8Array): Promise<Uint8Array> {
    this.calls++;
    const request = fromBinary(ProduceBatchRequestSchema, bytes);
    const partitions: Partial<ProducePartitionResponse>[] = [];
    let broken: ErrorName | undefined;
    for (const { topicPartition, batch } of request.partitions) {
      const answered = await this.#produceBatch(id, topicPartition as Place, batch as RecordBatch);
      broken ??= answered.broken;
      partitions.push({ topicPartition: topicPartition as never, ...answered.result });
    }
    this.#notify();
    if (broken !== undefined) throw new DomainError(broken, 'fault');
    return toBinary(
      ProduceBatchResponseSchema,
      create(ProduceBatchResponseSchema, { partitions: partitions as never }),
    );
  }

  /** Answers in the order of their batches' ends, whatever the order of the requests. */
  async *#produceStream(id: number, requests: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    this.streams++;
    const answers = new PassThrough({ objectMode: true });
    const take = async (bytes: Uint8Array): Promise<void> => {
      const { topicPartition, correlationId, records, producerId, producerEpoch, baseSequence } = fromBinary(
        ProduceRequestSchema,
        bytes,
      );
      const times = records.flatMap(({ timestamp }) => timestamp ?? []).sort((a, b) => timestampMs(a) - timestampMs(b));
      const batch = { records, recordCount: records.length, producerId, producerEpoch, baseSequence };
      const made = create(RecordBatchSchema, {
        magic: 1,
        ...batch,
        ...(times.length > 0 && { maxTimestamp: times.at(-1) as Timestamp }),
      });
      const { result, broken } = await this.#produceBatch(id, topicPartition as Place, made);
      this.#notify();
      if (broken !== undefined) answers.destroy(new DomainError(broken, 'fault'));
      const { logAppendTimeMs: logAppendTime = 0n, ...rest } = result;
      answers.write(
        toBinary(
          ProduceResponseSchema,
          create(ProduceResponseSchema, { ...rest, logAppendTime, correlationId } as never),
        ),
      );
    };
    void (async () => {
      const taken: Promise<void>[] = [];
      for await (const bytes of requests) taken.push(take(bytes));
      await Promise.all(taken);
      answers.end();
    })().catch((error: Error) => answers.destroy(error));
    yield* answers;
  }

  async #produceBatch(
    id: number,
    place: Place,
    batch: RecordBatch,
  ): Promise<{ readonly result: Partial<ProducePartitionResponse>; readonly broken: ErrorName | undefined }> {
    const fault = this.onProduce(place.topic, place.partition, batch.baseSequence);
    await fault?.hold;
    try {
      if (fault?.refuse !== undefined) throw new DomainError(fault.refuse, 'fault');
      const offset = this.#append(this.#led(id, place), place, toBinary(RecordBatchSchema, batch));
      if (fault?.after !== undefined) throw new DomainError(fault.after, 'fault');
      return { result: { offset: BigInt(offset), logAppendTimeMs: 1000n }, broken: fault?.breakCall };
    } catch (error) {
      if (!isDomainError(error)) throw error;
      return { result: bodyOf(error), broken: undefined };
    }
  }

  #append(log: FakePartition, { topic, partition }: Place, bytes: Uint8Array): number {
    const batch = validateProduced(bytes, defaultBatchLimits, nodeChecksum);
    const { producerId, baseSequence: sequence, recordCount: records } = batch;
    this.seen.push({ topic, partition, producerId, sequence, records });
    return appendTo(log, batch, bytes);
  }

  async *#subscribe(id: number, bytes: Uint8Array, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    this.subscriptions++;
    const request = fromBinary(SubscribeRequestSchema, bytes);
    const open = new Map(
      request.partitions.map(({ topicPartition, start }) => [
        topicPartition as Place,
        Number(start?.position.case === 'offset' ? start.position.value : 0n),
      ]),
    );
    const heartbeatMs = Number(request.heartbeatInterval?.nanos ?? 0) / 1e6 || 1000;
    for (let answers = 0; answers < this.answersPerStream && !signal.aborted; answers++) {
      const partitions: Partial<FetchPartitionResponse>[] = [];
      for (const [place, offset] of open) {
        const news = this.#read(id, place, offset);
        if (news === undefined) continue;
        partitions.push(news);
        if (news.errorCode) open.delete(place);
        else open.set(place, Number(news.nextOffset));
      }
      if (partitions.length === 0) await this.#change(heartbeatMs, signal);
      yield toBinary(FetchResponseSchema, create(FetchResponseSchema, { partitions: partitions as never }));
    }
  }

  #read(id: number, place: Place, offset: number): Partial<FetchPartitionResponse> | undefined {
    const topicPartition = place as never;
    try {
      const fault = this.onSubscribe(place.topic, place.partition, offset);
      if (fault !== undefined) throw new DomainError(fault, 'fault');
      const log = this.#led(id, place);
      if (offset < log.logStart || offset > log.end) throw new DomainError('OFFSET_OUT_OF_RANGE', `${offset}`);
      const batches = log.batches.filter(({ end }) => end > offset).slice(0, this.batchesPerAnswer);
      if (batches.length === 0) return undefined;
      return {
        topicPartition,
        highWatermark: BigInt(log.end),
        logStartOffset: BigInt(log.logStart),
        nextOffset: BigInt(batches.at(-1)?.end ?? 0),
        batches: batches.map((batch) => fromBinary(RecordBatchSchema, batch.bytes)),
      };
    } catch (error) {
      if (!isDomainError(error)) throw error;
      return { topicPartition, ...bodyOf(error) };
    }
  }

  #change(timeoutMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#listeners.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      this.#listeners.add(done);
      signal.addEventListener('abort', done, { once: true });
    });
  }
}

/** What a test does not need answers UNIMPLEMENTED. */
function mount(service: DescService, typed: object, raw: ServiceRoutes['raw']): ServiceRoutes {
  const unimplemented = () => {
    throw new DomainError('UNIMPLEMENTED', 'the fake does not have this');
  };
  const served = new Set(raw.map(({ method }) => method.localName));
  const rest = service.methods
    .filter(({ localName }) => !served.has(localName))
    .map(({ localName }) => [localName, unimplemented]);
  return { service, typed: { ...Object.fromEntries(rest), ...typed } as ServiceRoutes['typed'], raw };
}

function bodyOf(error: DomainError): {
  errorCode: ErrorCode;
  errorMessage: string;
  leaderHint: string;
  retriable: boolean;
} {
  const { code, message, leaderHint = '', retriable } = error;
  return { errorCode: errorNumber(code) as ErrorCode, errorMessage: message, leaderHint, retriable };
}
