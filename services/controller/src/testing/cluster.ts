/** Controllers for tests: in this process, on free ports and real sockets, with folders of their own. */
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DescService, MessageInitShape } from '@bufbuild/protobuf';
import { type Client, createClient } from '@connectrpc/connect';
import {
  type BrokerHeartbeatRequestSchema,
  type BrokerHeartbeatResponse,
  ControllerBrokerService,
} from '@fleetmq/gen/controller/cluster';
import { supportedFeatures } from '@fleetmq/metadata';
import { createRpcPool, nodeRandom, type RpcPool } from '@fleetmq/shared/runtime';
import { type ControllerConfig, controllerSchema } from '../config.ts';
import { type Controller, type ControllerPorts, createController } from '../controller.ts';

export interface TestClusterOptions {
  /** First voters. */
  readonly count: number;
  /** Ports for so many controllers more, which `startJoiner` starts. */
  readonly joiners?: number;
  readonly snapshotEntries?: number;
  readonly sessionTimeoutMs?: number;
  readonly ports?: Partial<ControllerPorts>;
}

export class TestCluster implements AsyncDisposable {
  readonly #options: TestClusterOptions;
  readonly #root: string;
  readonly #ports: readonly number[];
  readonly #running = new Map<number, Controller>();
  readonly #joiners = new Set<number>();
  readonly pool: RpcPool = createRpcPool();

  private constructor(options: TestClusterOptions, root: string, ports: readonly number[]) {
    this.#options = options;
    this.#root = root;
    this.#ports = ports;
  }

  /** All controllers are started; none needs to lead yet. */
  static async start(options: TestClusterOptions): Promise<TestCluster> {
    const root = await mkdtemp(join(tmpdir(), 'fleetmq-controllers-'));
    const cluster = new TestCluster(options, root, await freePorts(options.count + (options.joiners ?? 0)));
    await Promise.all(cluster.ids.map((id) => cluster.startOne(id)));
    return cluster;
  }

  get ids(): readonly number[] {
    return Array.from({ length: this.#options.count }, (_, position) => position + 1);
  }

  get running(): readonly Controller[] {
    return [...this.#running.values()];
  }

  one(id: number): Controller {
    const controller = this.#running.get(id);
    if (controller === undefined) throw new Error(`controller ${id} does not run`);
    return controller;
  }

  /** With an empty folder it waits to be added. */
  startJoiner(id: number): Promise<Controller> {
    this.#joiners.add(id);
    return this.startOne(id);
  }

  /** `port`: where it listens, if not where it is configured. */
  async startOne(id: number, { port }: { port?: number } = {}): Promise<Controller> {
    const config = this.config(id);
    if (port !== undefined) config.listen.internal.port = port;
    const controller = await createController(config, this.#options.ports);
    this.#running.set(id, controller);
    return controller;
  }

  /** `kill`: without handing over. */
  async stopOne(id: number, how: 'kill' | 'stop'): Promise<void> {
    const controller = this.one(id);
    this.#running.delete(id);
    await controller.stop({ handOver: how === 'stop' });
  }

  /** A new disk for a controller that does not run. */
  async wipe(id: number): Promise<void> {
    await rm(this.folderOf(id), { recursive: true });
  }

  folderOf(id: number): string {
    return join(this.#root, `controller-${id}`);
  }

  addressOf(id: number): { controllerId: number; host: string; port: number } {
    return { controllerId: id, host: '127.0.0.1', port: this.#ports[id - 1] as number };
  }

  config(id: number): ControllerConfig {
    const peers = this.ids.map((each) => `${each}@127.0.0.1:${this.#ports[each - 1]}`).join(',');
    return controllerSchema.parse({
      node: { id },
      data: { folder: this.folderOf(id) },
      security: { mode: 'open' },
      listen: { internal: { port: this.#ports[id - 1] }, ops: { port: 0 } },
      quorum: { peers, join: this.#joiners.has(id) },
      raft: {
        'election-timeout-ms': 300,
        'heartbeat-ms': 30,
        'snapshot-entries': this.#options.snapshotEntries ?? 10_000,
        'segment-bytes': 4_096,
      },
      broker: { 'session-timeout-ms': this.#options.sessionTimeoutMs ?? 60_000, 'heartbeat-ms': 50 },
      balance: {},
      limits: {},
      log: {},
    });
  }

  client<Service extends DescService>(service: Service, id: number): Client<Service> {
    return createClient(service, this.pool.get(`http://127.0.0.1:${this.#ports[id - 1]}`));
  }

  /** Waits until one controller leads and is ready. */
  async leader(wait: Wait = {}): Promise<Controller> {
    await eventually('a leader', () => this.running.some((each) => each.node.leadership.isReady), wait);
    return this.running.find((each) => each.node.leadership.isReady) as Controller;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#running.keys()].map((id) => this.stopOne(id, 'kill')));
    await this.pool.close();
    await rm(this.#root, { recursive: true, force: true });
  }
}

export interface Wait {
  /** Default 20 s. */
  readonly patienceMs?: number;
  /** There is no point in waiting any more. */
  readonly isOver?: () => boolean;
}

/** Waits for a condition. A condition that throws does not hold. */
export async function eventually(
  what: string,
  condition: () => unknown | Promise<unknown>,
  { patienceMs = 20_000, isOver = () => false }: Wait = {},
): Promise<void> {
  const deadline = performance.now() + patienceMs;
  let last: unknown;
  while (performance.now() < deadline && !isOver()) {
    try {
      if (await condition()) return;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`waited in vain for ${what}`, { cause: last });
}

/** Below the range from which the system takes ports for connections: a controller that restarts finds its port free. */
async function freePorts(count: number): Promise<readonly number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    const port = 15_000 + Math.floor(nodeRandom.next() * 17_000);
    if (!ports.has(port) && (await isFree(port))) ports.add(port);
  }
  return [...ports];
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

export interface TestBroker {
  readonly brokerEpoch: bigint;
  readonly life: { readonly brokerId: number; readonly brokerEpoch: bigint };
  heartbeat(fields?: MessageInitShape<typeof BrokerHeartbeatRequestSchema>): Promise<BrokerHeartbeatResponse>;
  /** One every 100 ms, until disposed of. */
  heartbeats(): Disposable;
}

/** Registers a broker with whoever leads, and brings it into service. */
export async function registerBroker(cluster: TestCluster, brokerId: number, wait: Wait = {}): Promise<TestBroker> {
  const call = async <Result>(use: (client: Client<typeof ControllerBrokerService>) => Promise<Result>) => {
    const { node } = await cluster.leader(wait);
    return use(cluster.client(ControllerBrokerService, node.controllerId));
  };
  const registration = {
    brokerId,
    incarnationId: `incarnation-${brokerId}`,
    diskId: `disk-${brokerId}`,
    endpoints: [{ listener: 'client', host: '127.0.0.1', port: 7_000 + brokerId }],
    features: Object.fromEntries(supportedFeatures),
  };
  let brokerEpoch = 0n;
  await eventually(
    `broker ${brokerId} to register`,
    async () => {
      ({ brokerEpoch } = await call((client) => client.registerBroker(registration)));
      return true;
    },
    wait,
  );
  const heartbeat: TestBroker['heartbeat'] = (fields = {}) =>
    call((client) => client.heartbeatBroker({ brokerId, brokerEpoch, metadataVersion: brokerEpoch, ...fields }));
  await eventually(`broker ${brokerId} to be in service`, async () => !(await heartbeat()).fenced, wait);
  return {
    brokerEpoch,
    life: { brokerId, brokerEpoch },
    heartbeat,
    heartbeats: () => {
      // A heartbeat that fails while the cluster is closing concerns nobody.
      const timer = setInterval(() => void heartbeat().catch(() => undefined), 100);
      return { [Symbol.dispose]: () => clearInterval(timer) };
    },
  };
}
