/**
 * Kafka through @confluentinc/kafka-javascript, which is librdkafka: batches are its own work, on threads of its own. The
 * callback interface is used, the faster one of its two; what it may hold is bounded by librdkafka's own queue and by ours.
 */

import { type AckLevel, valuesOf, type Workload } from '../workload.ts';
import type { Driver, Job, PeerSpec, Publisher, See } from './driver.ts';
import { loadForeign } from './foreign-module.ts';

type KafkaSpec = Extract<PeerSpec, { kind: 'platformatic-kafka' | 'confluent-kafka' }>;
type Done<Result = unknown> = (error: Error | null, result: Result) => void;

interface Connectable {
  connect(options: object, done: Done): void;
  disconnect(done: Done): void;
}
interface Producer extends Connectable {
  setPollInterval(ms: number): void;
  on(event: 'delivery-report', listener: (error: Error | null) => void): void;
  produce(topic: string, partition: number, value: Buffer): void;
  flush(timeoutMs: number, done: Done): void;
}
interface Consumer extends Connectable {
  assign(places: readonly object[]): void;
  consume(count: number, done: Done<readonly { readonly value: Buffer }[]>): void;
  setDefaultConsumeTimeout(ms: number): void;
}
interface Admin {
  createTopic(topic: object, timeoutMs: number, done: Done): void;
  deleteTopic(topic: string, timeoutMs: number, done: Done): void;
  disconnect(): void;
}
interface Kafka {
  readonly Producer: new (options: object) => Producer;
  readonly KafkaConsumer: new (options: object, topicOptions: object) => Consumer;
  readonly AdminClient: { create(options: object): Admin };
}

const timeoutMs = 30_000;
const unsettledMax = 100_000;
const unsettledBytesMax = 64 << 20;
const ackNumbers = { none: 0, leader: 1, majority: -1, all: -1 } as const satisfies Record<AckLevel, number>;

function settled<Result>(work: (done: Done<Result>) => void): Promise<Result> {
  return new Promise((resolve, reject) => {
    work((error, result) => (error ? reject(error) : resolve(result)));
  });
}

export async function openConfluentKafka(spec: KafkaSpec): Promise<Driver> {
  const kafka = loadForeign<Kafka>(spec.modules, '@confluentinc/kafka-javascript');
  const servers = { 'bootstrap.servers': spec.brokers.join(',') };
  const admin = kafka.AdminClient.create(servers);
  const openProducer = async ({ acks, codec }: Workload, lingerMs: number): Promise<Producer> => {
    const batches = { 'linger.ms': lingerMs, 'batch.size': 1 << 20, 'queue.buffering.max.messages': 2 * unsettledMax };
    const rules = { acks: ackNumbers[acks], 'compression.codec': codec, dr_cb: true };
    const producer = new kafka.Producer({ ...servers, ...batches, ...rules });
    await settled((done) => producer.connect({}, done));
    producer.setPollInterval(1);
    return producer;
  };
  return {
    async createTopic(topic, { partitions, replication }) {
      const shape = { topic, num_partitions: partitions, replication_factor: replication, config: spec.topicConfig };
      await settled((done) => admin.createTopic(shape, timeoutMs, done));
    },
    deleteTopic: async (topic) => void (await settled((done) => admin.deleteTopic(topic, timeoutMs, done))),
    produce: async (job) => await produce(await openProducer(job.workload, 5), job),
    async consume({ topic, workload, count, begin }, see) {
      await using reader = await openReader(kafka, servers, topic, workload);
      begin();
      for (let seen = 0; seen < count; ) seen += await reader.next(see);
    },
    publish: async (topic, workload) => publish(await openProducer(workload, 0), topic),
    async subscribe(topic, workload, see) {
      const reader = await openReader(kafka, servers, topic, workload);
      let isClosed = false;
      const reading = (async () => {
        while (!isClosed) await reader.next(see);
      })();
      return {
        async [Symbol.asyncDispose]() {
          isClosed = true;
          await reading;
          await reader[Symbol.asyncDispose]();
        },
      };
    },
    async [Symbol.asyncDispose]() {
      admin.disconnect();
    },
  };
}

/** Counts what was handed over and is not settled. */
class Unsettled {
  count = 0;
  failure: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(producer: Producer) {
    producer.on('delivery-report', (error) => {
      this.count--;
      this.failure ??= error ?? undefined;
      this.#wake?.();
    });
  }

  async below(count: number): Promise<void> {
    while (this.count >= count) {
      if (this.failure !== undefined) throw this.failure;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.failure !== undefined) throw this.failure;
  }
}

async function produce(producer: Producer, { topic, workload, count, begin }: Job): Promise<void> {
  const { size, partitions } = workload;
  const values = valuesOf(workload);
  const unsettled = new Unsettled(producer);
  const unsettledCountMax = Math.min(unsettledMax, Math.ceil(unsettledBytesMax / size));
  const write = (i: number): void => {
    unsettled.count++;
    producer.produce(topic, i % partitions, values[i & (values.length - 1)] as Buffer);
  };
  write(0); // The first one opens the connections.
  await unsettled.below(1);
  begin();
  for (let i = 1; i < count; i++) {
    if (unsettled.count >= unsettledCountMax) await unsettled.below(unsettledCountMax / 2);
    write(i);
  }
  await unsettled.below(1);
  await settled((done) => producer.disconnect(done));
}

function publish(producer: Producer, topic: string): Publisher {
  const unsettled = new Unsettled(producer);
  return {
    send(value) {
      unsettled.count++;
      producer.produce(topic, 0, value);
    },
    async close() {
      await unsettled.below(1);
      await settled((done) => producer.disconnect(done));
    },
  };
}

interface Reader extends AsyncDisposable {
  /** Hands over what is there, waiting for some of it; how many records it was. */
  next(see: See): Promise<number>;
}

/** Reads its partitions from their beginnings, in no group. */
async function openReader(kafka: Kafka, servers: object, topic: string, { partitions }: Workload): Promise<Reader> {
  const fetches = { 'fetch.wait.max.ms': 500, 'fetch.message.max.bytes': 4 << 20, 'queued.min.messages': 100_000 };
  const group = { 'group.id': `read-${topic}`, 'enable.auto.commit': false };
  const consumer = new kafka.KafkaConsumer({ ...servers, ...fetches, ...group }, { 'auto.offset.reset': 'earliest' });
  await settled((done) => consumer.connect({}, done));
  consumer.setDefaultConsumeTimeout(100);
  consumer.assign(Array.from({ length: partitions }, (_, partition) => ({ topic, partition, offset: 0 })));
  return {
    async next(see) {
      const messages = await settled<readonly { readonly value: Buffer }[]>((done) => consumer.consume(1_000, done));
      for (const { value } of messages) see(value);
      return messages.length;
    },
    async [Symbol.asyncDispose]() {
      await settled((done) => consumer.disconnect(done));
    },
  };
}
