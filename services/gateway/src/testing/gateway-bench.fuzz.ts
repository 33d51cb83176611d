/** A gateway before a fake cluster, and clients for it. */
import { create } from '@bufbuild/protobuf';
import { type Client, createClient } from '@connectrpc/connect';
import { ConsumerService } from '@fleetmq/gen/client/consumer';
import { MetadataService } from '@fleetmq/gen/client/metadata';
import { ProducerService } from '@fleetmq/gen/client/producer';
import { type Record as LogRecord, RecordSchema } from '@fleetmq/gen/common/types';
import { AdminService } from '@fleetmq/gen/controller/admin';
import { silentLogger } from '@fleetmq/shared';
import { createLaneTransport, type LaneTransport } from '@fleetmq/shared/runtime';
import { gatewaySchema } from '../config.ts';
import { createGateway, type Gateway, nodePorts } from '../gateway.ts';
import { FakeCluster } from './fake-cluster.fuzz.ts';

export interface Bench extends AsyncDisposable {
  readonly cluster: FakeCluster;
  readonly gateway: Gateway;
  readonly url: string;
  readonly transport: LaneTransport;
  readonly producer: Client<typeof ProducerService>;
  readonly consumer: Client<typeof ConsumerService>;
  readonly metadata: Client<typeof MetadataService>;
  readonly admin: Client<typeof AdminService>;
  /** Waits until the gateway knows all that the controller has published. */
  settled(): Promise<void>;
}

type Limits = Record<string, number>;

/** PEM files for the client listener, and what its clients trust. */
export interface BenchTls {
  readonly certFile: string;
  readonly keyFile: string;
  readonly ca: string;
}

export async function startBench(limits: Limits = {}, tls?: BenchTls): Promise<Bench> {
  await using stack = new AsyncDisposableStack();
  const cluster = stack.use(await FakeCluster.start());
  const config = gatewaySchema.parse({
    controllers: cluster.controllers,
    security: { mode: 'open' },
    listen: {
      client: { port: 0, ...(tls && { 'tls-cert': tls.certFile, 'tls-key': tls.keyFile }) },
      ops: { port: 0 },
    },
    cors: {},
    reflection: {},
    limits: { 'drain-ms': 100, ...limits },
    log: { level: 'silent' },
  });
  const gateway = stack.use(await createGateway(config, nodePorts(silentLogger)));
  await gateway.whenReady(AbortSignal.timeout(5_000));
  const { url } = gateway.listeners.client;
  const transport = stack.use(createLaneTransport({ baseUrl: url, tls: tls && { ca: tls.ca } }));
  const metadata = createClient(MetadataService, transport);
  const opened = stack.move();
  return {
    cluster,
    gateway,
    url,
    transport,
    producer: createClient(ProducerService, transport),
    consumer: createClient(ConsumerService, transport),
    metadata,
    admin: createClient(AdminService, transport),
    async settled() {
      await metadata.getTopicMetadata({ topics: ['x'], minMetadataVersion: BigInt(cluster.version) });
    },
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

export function record(text: string): LogRecord {
  return create(RecordSchema, { value: new TextEncoder().encode(text) });
}

/** Polls until the condition holds; fails after 5 s. */
export async function eventually(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 5_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within 5 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Everything that a stream gives. */
export async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = [];
  for await (const item of items) all.push(item);
  return all;
}
