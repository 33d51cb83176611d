/** FleetMQ through its own client: straight to the leaders, or through the gateway. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, connect, type ProducerRecord } from '@fleetmq/client/node';
import { valuesOf, type Workload } from '../workload.ts';
import type { Driver, DriverSpec, Job, Publisher, See } from './driver.ts';

export async function openFleetmq(spec: Extract<DriverSpec, { kind: 'fleetmq' }>): Promise<Driver> {
  await using stack = new AsyncDisposableStack();
  const viaGateway = stack.use(await connect({ url: spec.gateway }));
  const mq = spec.brokers.length === 0 ? viaGateway : stack.use(await connect({ brokers: spec.brokers }));
  const owned = stack.move();
  return {
    async createTopic(topic, workload) {
      await createTopic(viaGateway, topic, workload, spec.topicConfig);
      await untilKnown(async () => {
        await using consumer = mq.consumer({ topic, from: 'earliest' });
        await consumer.start();
      });
    },
    deleteTopic: (topic) => viaGateway.admin.deleteTopic(topic),
    produce: (job) => produce(mq, job),
    consume: (job, see) => consume(mq, job, see),
    publish: (topic, workload) => publish(mq, topic, workload),
    subscribe: (topic, _, see) => subscribe(mq, topic, see),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

export async function createTopic(
  mq: Client,
  topic: string,
  { partitions, replication }: Workload,
  config: Readonly<Record<string, string>>,
): Promise<void> {
  await mq.admin.createTopic(topic, { partitions, replicationFactor: replication, config });
}

const knownWithinMs = 10_000;

/** A topic is there when it was created, but brokers hear of it a moment later, and another client than its creator's may notice. */
export async function untilKnown(touch: () => Promise<void>): Promise<void> {
  for (const startMs = performance.now(); ; await sleep(20)) {
    try {
      return await touch();
    } catch (error) {
      if (performance.now() - startMs > knownWithinMs) throw error;
    }
  }
}

async function produce(mq: Client, { topic, workload, count, begin }: Job): Promise<void> {
  const values = valuesOf(workload);
  let acknowledged = 0;
  await using producer = mq.producer({
    acks: workload.acks,
    compression: workload.codec,
    onDelivery: ({ recordCount, error }) => {
      if (error !== undefined) throw error;
      acknowledged += recordCount;
    },
  });
  await producer.send(topic, values[0] as Buffer); // The topic is known and the connections open before the clock starts.
  function* records(): Iterable<ProducerRecord> {
    for (let i = 1; i < count; i++) yield { topic, value: values[i & (values.length - 1)] as Buffer };
  }
  begin();
  await producer.sendBatch(records());
  await producer.flush();
  if (acknowledged !== count) throw new Error(`${acknowledged} of ${count} records were acknowledged`);
}

async function consume(mq: Client, { topic, count, begin }: Job, see: See): Promise<void> {
  begin();
  for await (const { records } of mq.consumer({ topic, from: 'earliest', until: { count } }).batches()) {
    for (const { valueBytes } of records) if (valueBytes !== undefined) see(valueBytes);
  }
}

async function publish(mq: Client, topic: string, { acks, codec }: Workload): Promise<Publisher> {
  const producer = mq.producer({ lingerMs: 0, acks, compression: codec });
  return {
    send(value) {
      if (!producer.trySend(topic, value)) throw new Error('the buffer of the producer is full');
    },
    close: () => producer.close(),
  };
}

async function subscribe(mq: Client, topic: string, see: See): Promise<AsyncDisposable> {
  const consumer = mq.consumer({ topic, from: 'earliest' });
  await consumer.start();
  const reading = (async () => {
    for await (const { valueBytes } of consumer) if (valueBytes !== undefined) see(valueBytes);
  })();
  return {
    async [Symbol.asyncDispose]() {
      await consumer.close();
      await reading;
    },
  };
}
