/** Brokers in this process, on temporary folders, with the controller of the tests. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createClient } from '@connectrpc/connect';
import { HealthService } from '@fleetmq/gen/broker/health';
import { PartitionManagementService } from '@fleetmq/gen/broker/partition';
import { BrokerReplicationService } from '@fleetmq/gen/broker/replication';
import { ConsumerService } from '@fleetmq/gen/client/consumer';
import { MetadataService } from '@fleetmq/gen/client/metadata';
import { ProducerService } from '@fleetmq/gen/client/producer';
import type { Logger } from '@fleetmq/shared';
import { createLaneTransport, type LaneTransport } from '@fleetmq/shared/runtime';
import { type Broker, type BrokerPorts, createBroker } from '../broker.ts';
import { brokerSchema } from '../config.ts';
import { TestController } from './controller.fuzz.ts';

/** Polls until the condition holds; fails with `what` after the deadline. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  deadlineMs = 8_000,
): Promise<void> {
  const start = performance.now();
  while (!(await condition())) {
    if (performance.now() - start > deadlineMs) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await delay(5);
  }
}

export class TestFleet implements AsyncDisposable {
  readonly controller: TestController;
  readonly #folder: string;
  readonly #brokers = new Map<number, Broker>();
  readonly #transports: LaneTransport[] = [];
  readonly #logger: Logger | undefined;

  private constructor(controller: TestController, folder: string, logger: Logger | undefined) {
    this.controller = controller;
    this.#folder = folder;
    this.#logger = logger;
  }

  static async start(ids: readonly number[], logger?: Logger): Promise<TestFleet> {
    const folder = await mkdtemp(join(tmpdir(), 'fleetmq-broker-'));
    const fleet = new TestFleet(await TestController.start(), folder, logger);
    await Promise.all(ids.map((id) => fleet.startBroker(id)));
    return fleet;
  }

  folderOf(id: number): string {
    return join(this.#folder, String(id));
  }

  /** The first segment of a broker that holds one partition. */
  async segmentOf(id: number): Promise<string> {
    const names = await readdir(this.folderOf(id), { recursive: true });
    const name = names.find((each) => each.startsWith('partitions/') && each.endsWith('.log'));
    if (name === undefined) throw new Error(`broker ${id} has no segment`);
    return join(this.folderOf(id), name);
  }

  /** The first byte of this text in that segment gets another bit. */
  async damage(id: number, text: string): Promise<void> {
    const segment = await this.segmentOf(id);
    const bytes = await readFile(segment);
    const at = bytes.indexOf(text);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    await writeFile(segment, bytes);
  }

  async startBroker(
    id: number,
    settings: Record<string, unknown> = {},
    ports: Partial<BrokerPorts> = {},
  ): Promise<Broker> {
    const config = brokerSchema.parse({
      node: { id },
      data: { folder: this.folderOf(id) },
      security: { mode: 'open' },
      listen: { client: { port: 0 }, internal: { port: 0 }, ops: { port: 0 } },
      advertise: { client: {}, internal: {} },
      controllers: this.controller.address,
      broker: { 'drain-ms': 2_000 },
      replica: { 'lag-time-max-ms': 1_000 },
      limits: {},
      log: {},
      ...settings,
    });
    const logger = this.#logger === undefined ? {} : { logger: this.#logger };
    const broker = await createBroker(config, { poisonBuffers: true, ...logger, ...ports });
    this.#brokers.set(id, broker);
    return broker;
  }

  broker(id: number): Broker {
    const broker = this.#brokers.get(id);
    if (broker === undefined) throw new Error(`broker ${id} does not run`);
    return broker;
  }

  async stopBroker(id: number, options: { readonly handOver?: boolean } = {}): Promise<void> {
    await this.broker(id).stop(options);
    this.#brokers.delete(id);
  }

  /** Generated clients of one broker, and its raw transport. */
  clients(id: number, listener: 'client' | 'internal' = 'client') {
    const { host, port } = this.broker(id).listeners[listener];
    const transport = createLaneTransport({ baseUrl: `http://${host}:${port}` });
    this.#transports.push(transport);
    return {
      transport,
      producer: createClient(ProducerService, transport),
      consumer: createClient(ConsumerService, transport),
      metadata: createClient(MetadataService, transport),
      replication: createClient(BrokerReplicationService, transport),
      partitions: createClient(PartitionManagementService, transport),
      health: createClient(HealthService, transport),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#transports.map((transport) => transport.close()));
    await Promise.all([...this.#brokers.values()].map((broker) => broker.stop({ handOver: false })));
    await this.controller[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
