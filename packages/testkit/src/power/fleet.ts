/**
 * The fleet under test as real processes, each in a network namespace of its own: three controllers and a gateway on ordinary
 * folders, and three brokers whose data lie on a disk each that can lose its power.
 */
import * as path from 'node:path';
import { assert } from '@fleetmq/shared';
import { type FleetProcesses, type FleetRole, startFleetProcesses } from '@fleetmq/shared/runtime/fleet';
import { clients, cutBetween, type NodeName } from '../chaos/links.ts';
import { PrivateNetwork } from '../chaos/network.ts';
import type { Slot } from '../chaos/slot.ts';
import { mainOf } from '../processes.ts';
import { ImageDisk, shareMounts } from './image-disk.ts';
import { Plug } from './plug.ts';
import type { PowerCut } from './rounds.ts';

export interface PowerFleetOptions {
  readonly slot: Slot;
  /** An end that nobody asked for. */
  readonly onUnexpectedEnd: (text: string) => void;
  /** Brokers will be started so often that one start more, to make the others quicker, is worth it. */
  readonly startsOften: boolean;
}

export const brokerIds: readonly number[] = [1, 2, 3];
const controllers = 3;
const basePort = 7_600;
/** Sparse: only what is written takes room. */
const diskMiB = 2_048;

const nodeOf = (role: FleetRole, id: number): NodeName =>
  role === 'controller' ? `c${id}` : role === 'broker' ? `b${id}` : 'gw';
const brokerNode = (id: number): NodeName => nodeOf('broker', id);

export class PowerFleet implements AsyncDisposable {
  /** Longest start of a broker so far. */
  startMaxMs = 0;
  readonly #processes: FleetProcesses;
  readonly #network: PrivateNetwork;
  readonly #nodes: readonly NodeName[];
  readonly #disks: readonly ImageDisk[];
  readonly #plug: Plug;
  readonly #stack: AsyncDisposableStack;

  private constructor(parts: {
    readonly processes: FleetProcesses;
    readonly network: PrivateNetwork;
    readonly nodes: readonly NodeName[];
    readonly disks: readonly ImageDisk[];
    readonly plug: Plug;
    readonly stack: AsyncDisposableStack;
  }) {
    this.#processes = parts.processes;
    this.#network = parts.network;
    this.#nodes = parts.nodes;
    this.#disks = parts.disks;
    this.#plug = parts.plug;
    this.#stack = parts.stack;
  }

  static async start({ slot, onUnexpectedEnd, startsOften }: PowerFleetOptions): Promise<PowerFleet> {
    const controllerNodes = Array.from({ length: controllers }, (_, index) => nodeOf('controller', index + 1));
    const nodes = [...controllerNodes, ...brokerIds.map(brokerNode), nodeOf('gateway', 1)];
    const network = await PrivateNetwork.create(slot, nodes);
    await using stack = new AsyncDisposableStack();
    const plug = stack.use(await Plug.start());
    await shareMounts(slot.folder);
    const disks: ImageDisk[] = [];
    for (const id of brokerIds) disks.push(await ImageDisk.create(path.join(slot.folder, `broker-${id}`), diskMiB));
    const compileCache = path.join(slot.folder, 'compile-cache');
    const processes = stack.use(
      await startFleetProcesses({
        controllers,
        brokers: brokerIds.length,
        dataFolder: slot.folder,
        ports: basePort,
        entryPoint: mainOf,
        hostOf: (role, id) => network.addressOf(nodeOf(role, id)),
        throughOf: (role, id) => [...network.through(nodeOf(role, id)), 'env', `NODE_COMPILE_CACHE=${compileCache}`],
        onUnexpectedEnd: ({ name }, end) =>
          onUnexpectedEnd(`${name} ended by itself: ${end.signal ?? `code ${end.code}`}`),
      }),
    );
    if (startsOften) await warm(processes);
    return new PowerFleet({ processes, network, nodes, disks, plug, stack: stack.move() });
  }

  get url(): string {
    return this.#processes.url;
  }

  get brokerAddresses(): readonly string[] {
    return this.#processes.brokerAddresses;
  }

  get logFolder(): string {
    return path.join(this.#processes.dataFolder, 'logs');
  }

  diskFolder(id: number): string {
    return this.#diskOf(id).folder;
  }

  /** The power of these brokers is gone: their disks, their processes and, if nobody shall hear of it, their cables. */
  async cut({ victims, isSilent }: PowerCut): Promise<void> {
    const folders = victims.map((id) => this.diskFolder(id));
    const pids = victims.map((id) => this.#processes.member('broker', id).pid);
    await Promise.all([this.#plug.pull({ folders, pids }), ...(isSilent ? victims.map((id) => this.#unplug(id)) : [])]);
    await Promise.all(victims.map((id) => this.#processes.kill('broker', id)));
  }

  /** The power is back: disk and cables. */
  async supply(id: number): Promise<void> {
    await this.#diskOf(id).recover();
    await this.#network.heal(brokerNode(id));
  }

  /** Resolves when the broker is ready. */
  async startBroker(id: number): Promise<void> {
    const startedMs = performance.now();
    await this.#processes.restart('broker', id);
    this.startMaxMs = Math.max(this.startMaxMs, performance.now() - startedMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  #unplug(id: number): Promise<void> {
    const node = brokerNode(id);
    const others = [...this.#nodes.filter((each) => each !== node), clients];
    return this.#network.inject(node, { cuts: cutBetween([node], others) });
  }

  #diskOf(id: number): ImageDisk {
    const disk = this.#disks[id - 1];
    assert(disk !== undefined, `there is no broker ${id}`);
    return disk;
  }
}

/** A process leaves its compiled modules for the next ones when it ends in order, which those that lose their power never do. */
async function warm(processes: FleetProcesses): Promise<void> {
  await processes.kill('broker', 1, 'SIGTERM');
  await processes.restart('broker', 1);
}
