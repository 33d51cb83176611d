/**
 * Kafka through @platformatic/kafka. Its producer sends what one call gives it as one request, so that the batches are made
 * here: about 256 KiB each, some under way at a time. Its consumer is a stream of messages.
 */

import { type AckLevel, valuesOf, type Workload } from '../workload.ts';
import type { Driver, Job, PeerSpec, Publisher, See } from './driver.ts';
import { loadForeign, recordsPerRequest, Window } from './foreign-module.ts';

type KafkaSpec = Extract<PeerSpec, { kind: 'platformatic-kafka' | 'confluent-kafka' }>;

interface Closable {
  close(force?: boolean): Promise<void>;
}
interface Admin extends Closable {
  createTopics(options: object): Promise<unknown>;
  deleteTopics(options: { readonly topics: readonly string[] }): Promise<unknown>;
}
interface Producer extends Closable {
  send(options: { readonly messages: readonly object[] }): Promise<unknown>;
}
interface MessageStream extends Closable {
  on(event: 'data', listener: (message: { readonly value: Buffer }) => void): void;
  on(event: 'error', listener: (error: Error) => void): void;
}
interface Consumer extends Closable {
  consume(options: object): Promise<MessageStream>;
}
interface Kafka {
  readonly Admin: new (options: object) => Admin;
  readonly Producer: new (options: object) => Producer;
  readonly Consumer: new (options: object) => Consumer;
}

const requestsInFlight = 8;
const messagesPerRequest = 4_000;
const ackNumbers = { none: 0, leader: 1, majority: -1, all: -1 } as const satisfies Record<AckLevel, number>;

export async function openPlatformaticKafka(spec: KafkaSpec): Promise<Driver> {
  const kafka = loadForeign<Kafka>(spec.modules, '@platformatic/kafka');
  const base = { clientId: 'bench', bootstrapBrokers: spec.brokers, timeout: 60_000 };
  const configs = Object.entries(spec.topicConfig).map(([name, value]) => ({ name, value }));
  const admin = new kafka.Admin(base);
  const openProducer = ({ acks, codec }: Workload): Producer =>
    new kafka.Producer({ ...base, acks: ackNumbers[acks], compression: codec });
  return {
    async createTopic(topic, { partitions, replication }) {
      await admin.createTopics({ topics: [topic], partitions, replicas: replication, configs });
    },
    deleteTopic: async (topic) => void (await admin.deleteTopics({ topics: [topic] })),
    produce: (job) => produce(openProducer(job.workload), job),
    async consume({ topic, count, begin }, see) {
      const { promise: finished, resolve: finish } = Promise.withResolvers<void>();
      let seen = 0;
      await using reader = await read(new kafka.Consumer({ ...base, groupId: `read-${topic}` }), topic);
      begin();
      reader.start((value) => {
        see(value);
        if (++seen === count) finish();
      });
      await finished;
    },
    publish: async (topic, workload) => publish(openProducer(workload), topic),
    async subscribe(topic, _, see) {
      const reader = await read(new kafka.Consumer({ ...base, groupId: `tail-${topic}` }), topic);
      reader.start(see);
      return reader;
    },
    [Symbol.asyncDispose]: () => admin.close(),
  };
}

async function produce(producer: Producer, { topic, workload, count, begin }: Job): Promise<void> {
  const values = valuesOf(workload);
  const perRequest = recordsPerRequest(workload.size, messagesPerRequest);
  const window = new Window(requestsInFlight);
  // The first one opens the connections.
  await producer.send({ messages: [{ topic, value: values[0] as Buffer, partition: 0 }] });
  begin();
  for (let at = 1, partition = 0; at < count; at += perRequest, partition = (partition + 1) % workload.partitions) {
    const messages: object[] = [];
    for (let i = at; i < Math.min(count, at + perRequest); i++) {
      messages.push({ topic, value: values[i & (values.length - 1)] as Buffer, partition });
    }
    if (window.isFull) await window.room();
    window.add(producer.send({ messages }));
  }
  await window.empty();
  await producer.close();
}

/** What comes while all requests are under way shares the next one, since a call of send is a request of its own. */
function publish(producer: Producer, topic: string): Publisher {
  const window = new Window(requestsInFlight);
  let waiting: object[] = [];
  const flush = (): void => {
    if (waiting.length === 0 || window.isFull) return;
    const messages = waiting;
    waiting = [];
    window.add(producer.send({ messages }));
  };
  return {
    send(value) {
      const isIdle = waiting.length === 0;
      waiting.push({ topic, value, partition: 0 });
      if (isIdle) void window.room().then(flush, () => {}); // The failure is thrown at the end.
    },
    async close() {
      while (waiting.length > 0) {
        await window.room();
        flush();
      }
      await window.empty();
      await producer.close();
    },
  };
}

interface Reader extends AsyncDisposable {
  start(see: See): void;
}

/** Joins its group of one; what is read comes after that. */
async function read(consumer: Consumer, topic: string): Promise<Reader> {
  const limits = {
    maxBytes: 16 << 20,
    maxBytesPerPartition: 4 << 20,
    maxWaitTime: 500,
    minBytes: 1,
    highWaterMark: 65_536,
  };
  const stream = await consumer.consume({ topics: [topic], mode: 'earliest', autocommit: false, ...limits });
  return {
    start(see) {
      stream.on('error', (error) => {
        throw error;
      });
      stream.on('data', ({ value }) => see(value));
    },
    async [Symbol.asyncDispose]() {
      await stream.close();
      await consumer.close(true);
    },
  };
}
