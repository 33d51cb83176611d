/**
 * NATS JetStream: a stream per topic, in files. Writes either publish one by one with a bounded number unanswered, or go out
 * in atomic batches, of which the last message is answered. Reads are those of an ordered consumer, by its callback.
 */

import { valuesOf, type Workload } from '../workload.ts';
import type { Driver, Job, PeerSpec, Publisher, See } from './driver.ts';
import { loadForeign, Window } from './foreign-module.ts';

type NatsSpec = Extract<PeerSpec, { kind: 'nats' | 'nats-batch' }>;

interface Connection {
  close(): Promise<void>;
}
interface Message {
  readonly data: Uint8Array;
}
interface Batch {
  add(subject: string, payload: Uint8Array): void;
  commit(subject: string, payload: Uint8Array): Promise<{ readonly count: number }>;
}
interface Messages {
  close(): Promise<unknown>;
}
interface JetStream {
  publish(subject: string, payload: Uint8Array, options: { readonly timeout: number }): Promise<unknown>;
  startBatch(subject: string, payload: Uint8Array): Promise<Batch>;
  readonly consumers: {
    get(stream: string): Promise<{
      consume(options: { readonly max_bytes: number; callback(message: Message): void }): Promise<Messages>;
    }>;
  };
}
interface Manager {
  readonly streams: { add(stream: object): Promise<unknown>; delete(name: string): Promise<unknown> };
}
interface Transport {
  connect(options: object): Promise<Connection>;
}
interface Api {
  jetstream(connection: Connection): JetStream;
  jetstreamManager(connection: Connection): Promise<Manager>;
}

/** As many as our own producer may have unanswered at most, so that no window is the bound. */
const publishesInFlight = 4_096;
const messagesPerBatch = 1_000;
const batchesInFlight = 4;
const readAheadBytes = 8 << 20;
/** An fsync for each of so many takes longer than its five seconds. */
const patience = { timeout: 60_000 };

export async function openNats({ kind, modules, port }: NatsSpec): Promise<Driver> {
  const { connect } = loadForeign<Transport>(modules, '@nats-io/transport-node');
  const { jetstream, jetstreamManager } = loadForeign<Api>(modules, '@nats-io/jetstream');
  const connection = await connect({ servers: `127.0.0.1:${port}` });
  const manager = await jetstreamManager(connection);
  const js = jetstream(connection);
  return {
    async createTopic(topic, { replication }) {
      const storage = { storage: 'file', num_replicas: replication, allow_atomic: true };
      await manager.streams.add({ name: topic, subjects: [topic], ...storage });
    },
    deleteTopic: async (topic) => void (await manager.streams.delete(topic)),
    produce: (job) => (kind === 'nats-batch' ? produceBatches(js, job) : produce(js, job)),
    consume: (job, see) => consume(js, job, see),
    publish: async (topic) => publish(js, topic),
    subscribe: (topic, _: Workload, see) => subscribe(js, topic, see),
    [Symbol.asyncDispose]: () => connection.close(),
  };
}

async function produce(js: JetStream, { topic, workload, count, begin }: Job): Promise<void> {
  const values = valuesOf(workload);
  const window = new Window(publishesInFlight);
  begin();
  for (let i = 0; i < count; i++) {
    if (window.isFull) await window.room();
    window.add(js.publish(topic, values[i & (values.length - 1)] as Buffer, patience));
  }
  await window.empty();
}

async function produceBatches(js: JetStream, { topic, workload, count, begin }: Job): Promise<void> {
  const values = valuesOf(workload);
  const valueAt = (i: number): Buffer => values[i & (values.length - 1)] as Buffer;
  const write = async (from: number, to: number): Promise<void> => {
    const batch = await js.startBatch(topic, valueAt(from));
    for (let i = from + 1; i < to - 1; i++) batch.add(topic, valueAt(i));
    await batch.commit(topic, valueAt(to - 1));
  };
  const window = new Window(batchesInFlight);
  begin();
  // A batch has a first and a last message: no rest of one.
  for (let at = 0; at < count; ) {
    const to = count - at <= messagesPerBatch + 1 ? count : at + messagesPerBatch;
    if (window.isFull) await window.room();
    window.add(write(at, to));
    at = to;
  }
  await window.empty();
}

async function consume(js: JetStream, { topic, count, begin }: Job, see: See): Promise<void> {
  const consumer = await js.consumers.get(topic);
  const { promise: finished, resolve: finish } = Promise.withResolvers<void>();
  let seen = 0;
  begin();
  const callback = ({ data }: Message): void => {
    see(data);
    if (++seen === count) finish();
  };
  const messages = await consumer.consume({ max_bytes: readAheadBytes, callback });
  await finished;
  await messages.close();
}

function publish(js: JetStream, topic: string): Publisher {
  const window = new Window(Number.POSITIVE_INFINITY);
  return {
    send: (value) => window.add(js.publish(topic, value, patience)),
    close: () => window.empty(),
  };
}

async function subscribe(js: JetStream, topic: string, see: See): Promise<AsyncDisposable> {
  const consumer = await js.consumers.get(topic);
  const messages = await consumer.consume({ max_bytes: readAheadBytes, callback: ({ data }) => see(data) });
  return {
    async [Symbol.asyncDispose]() {
      await messages.close();
    },
  };
}
