/** A whole small fleet in one process on virtual time: one controller, brokers, a gateway, and clients, all of production code. */
import {
  type BrokerNode,
  brokerRoutes,
  brokerSchema,
  createBrokerNode,
  createInlineInflater,
} from '@fleetmq/broker/sim';
import type { Client } from '@fleetmq/client';
import { createSimClient } from '@fleetmq/client/sim';
import { controllerRoutes, controllerSchema, createNode } from '@fleetmq/controller/sim';
import { createGatewayNode, gatewayRoutes, gatewaySchema } from '@fleetmq/gateway/sim';
import { type Random, seededRandom, silentLogger, type Timers } from '@fleetmq/shared';
import { MetricsRegistry, nodeChecksum } from '@fleetmq/shared/runtime';
import { DirectNetwork } from './direct-lane-fixture.ts';
import { diskAfterCrash, emptyDisk, healthyDisk, SimDisk } from './disk.ts';
import { openSimFolder } from './folder.ts';
import { SimProcess } from './process.ts';
import { Scheduler } from './scheduler.ts';

const open = { security: { mode: 'open' }, log: {} };
const never = new AbortController().signal;

/** What runs on one disk. */
interface Place {
  readonly id: number;
  memory: ReturnType<typeof emptyDisk>;
  process: SimProcess;
  node: BrokerNode | undefined;
  /** Callbacks of timers that the node has set. */
  timerEvents: number;
}

export class SmallFleet {
  readonly scheduler = new Scheduler();
  readonly #network = new DirectNetwork();
  readonly #random: Random = seededRandom(7);
  readonly #brokers = new Map<number, Place>();

  broker(id: number): BrokerNode {
    const { node } = this.#place(id);
    if (node === undefined) throw new Error(`broker ${id} does not run`);
    return node;
  }

  timerEvents(id: number): number {
    return this.#place(id).timerEvents;
  }

  /** Runs until the work is done, in virtual time. */
  async run<Result>(work: Promise<Result>, withinMs = 60_000): Promise<Result> {
    const outcome: { value?: Result; error?: unknown; isDone: boolean } = { isDone: false };
    void work.then(
      (value) => Object.assign(outcome, { value, isDone: true }),
      (error) => Object.assign(outcome, { error, isDone: true }),
    );
    await this.scheduler.run(this.scheduler.time.nowMs + withinMs, () => outcome.isDone);
    if (!outcome.isDone) throw new Error(`not done within ${withinMs} virtual ms`);
    if ('error' in outcome) throw outcome.error;
    return outcome.value as Result;
  }

  /** Lets time pass. */
  async pass(ms: number): Promise<void> {
    await this.scheduler.run(this.scheduler.time.nowMs + ms, () => false);
  }

  async startController(): Promise<void> {
    const process = this.#process('controller');
    const config = controllerSchema.parse({
      ...open,
      node: { id: 1 },
      data: {},
      listen: { internal: {}, ops: {} },
      quorum: { peers: '1@controller:1' },
      raft: {},
      broker: {},
      balance: {},
      limits: {},
    });
    const peers = new Map([[1, { controllerId: 1, host: 'controller', port: 1 }]]);
    const transportAt = this.#network.transportsOf(process);
    const node = await createNode(config, await this.#folder(process, emptyDisk()), peers, {
      ...this.#ports(process),
      onFatal: fail,
      transportAt: ({ host, port }) => transportAt(`http://${host}:${port}`),
    });
    this.#network.listen('http://controller:1', process, controllerRoutes(node, config, never));
    node.start();
  }

  async startBroker(id: number): Promise<BrokerNode> {
    const process = this.#process(`broker-${id}`);
    const place = this.#brokers.get(id) ?? { id, memory: emptyDisk(), process, node: undefined, timerEvents: 0 };
    this.#brokers.set(id, Object.assign(place, { process }));
    const config = brokerSchema.parse({
      ...open,
      node: { id },
      data: {},
      listen: { client: {}, internal: {}, ops: {} },
      advertise: { client: {}, internal: {} },
      controllers: 'controller:1',
      broker: {},
      replica: {},
      limits: {},
    });
    const ports = this.#ports(process);
    const node = await createBrokerNode(config, await this.#folder(process, place.memory), {
      ...ports,
      timers: counted(ports.timers, () => place.timerEvents++),
      transportAt: this.#network.transportsOf(process),
      inflater: createInlineInflater(nodeChecksum),
      metrics: new MetricsRegistry(),
      onFatal: fail,
    });
    const endpoints = (['client', 'internal'] as const).map((listener, index) => {
      const port = 2 + index;
      this.#network.listen(`http://broker-${id}:${port}`, process, brokerRoutes(node, listener));
      return { listener, host: `broker-${id}`, port, tls: false };
    });
    place.node = node;
    await node.start(endpoints, never);
    return node;
  }

  /** The power goes: what was not synced is there or not. */
  crashBroker(id: number): void {
    const place = this.#place(id);
    place.process.kill();
    place.node = undefined;
    place.memory = diskAfterCrash(place.memory, 'power-loss', this.#random, 0.5);
  }

  async stopBroker(id: number): Promise<void> {
    await this.broker(id).beginStop();
    await this.broker(id)[Symbol.asyncDispose]();
    this.#place(id).node = undefined;
    this.#place(id).process.kill();
  }

  async startGateway(): Promise<void> {
    const process = this.#process('gateway');
    const config = gatewaySchema.parse({
      ...open,
      controllers: 'controller:1',
      listen: { client: {}, ops: {} },
      cors: {},
      reflection: {},
      limits: {},
    });
    const transportAt = this.#network.transportsOf(process);
    const node = createGatewayNode(config, {
      ...this.#ports(process),
      transportAt,
      subscriptionTransportAt: transportAt,
    });
    this.#network.listen('http://gateway:1', process, gatewayRoutes(node));
    node.start();
    await node.whenReady(never);
  }

  /** Through the gateway, or straight to the brokers. */
  client(kind: 'gateway' | 'brokers'): Client {
    const process = this.#process('client');
    const urls = [...this.#brokers.keys()].map((id) => `http://broker-${id}:2`);
    return createSimClient(
      {},
      {
        entrance: kind === 'gateway' ? { kind, url: 'http://gateway:1' } : { kind, urls },
        transportAt: this.#network.transportsOf(process),
        ...{ checksum: nodeChecksum, ports: this.#ports(process) },
      },
    );
  }

  #place(id: number): Place {
    const place = this.#brokers.get(id);
    if (place === undefined) throw new Error(`there is no broker ${id}`);
    return place;
  }

  #process(name: string): SimProcess {
    return new SimProcess({ name, time: this.scheduler.time, originMs: this.#random.next() * 1e6 });
  }

  #ports({ clock, timers }: SimProcess) {
    return { clock, timers, random: this.#random, checksum: nodeChecksum, logger: silentLogger };
  }

  #folder(process: SimProcess, memory: Place['memory']) {
    const counters = { syncs: 0, failures: 0, full: 0 };
    const disk = new SimDisk({ memory, process, state: healthyDisk(), random: this.#random, counters });
    return openSimFolder(disk, this.#random);
  }
}

function counted(timers: Timers, count: () => void): Timers {
  const counting = (callback: () => void) => () => {
    count();
    callback();
  };
  return {
    after: (delayMs, callback) => timers.after(delayMs, counting(callback)),
    every: (periodMs, callback) => timers.every(periodMs, counting(callback)),
  };
}

function fail(error: unknown): never {
  throw error;
}
