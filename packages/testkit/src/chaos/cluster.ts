/**
 * The cluster under test: controllers, a broker and a gateway as real processes, each in a namespace of its own. One
 * controller more than the quorum has waits to be added, so that members can be exchanged.
 *
 * A seat is a place for a controller: address, disk, number. Whoever breaks a seat holds it (`isHeld`), so that two faults
 * do not meet on one process. Every second seat, beginning with the first, has a small disk that can be filled.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { assert } from '@fleetmq/shared';
import { type FleetProcesses, type ServiceProcess, startFleetProcesses } from '@fleetmq/shared/runtime/fleet';
import { mainOf } from '../processes.ts';
import type { NodeName } from './links.ts';
import type { PrivateNetwork } from './network.ts';
import type { Slot } from './slot.ts';
import { mountSmallDisk } from './small-disk.ts';

export interface Seat {
  readonly id: number;
  readonly node: NodeName;
  readonly host: string;
  readonly port: number;
  readonly dataFolder: string;
  readonly hasSmallDisk: boolean;
  /** Belongs to the quorum, as far as the harness has brought it about. */
  isMember: boolean;
  /** Its folder began empty, waiting to be added: it is started so for life. */
  isJoiner: boolean;
  /** A fault, or a change of the members, is at work on it. */
  isHeld: boolean;
  /** Its end by itself would be right. */
  mayEnd: boolean;
  /** What strace is told when it is started next; undefined: it is not traced. */
  tracing: readonly string[] | undefined;
}

export interface ClusterOptions {
  readonly slot: Slot;
  readonly network: PrivateNetwork;
  readonly controllers: number;
  readonly electionTimeoutMs: number;
  /** An end that nobody asked for. */
  readonly onUnexpectedEnd: (text: string) => void;
}

const smallDiskMiB = 48;
const reserveMiB = 8;
/** Short logs, so that whoever was away for a while needs a snapshot. */
const snapshotEntries = 1_000;

export function controllerNodes(controllers: number): readonly NodeName[] {
  return Array.from({ length: controllers + 1 }, (_, index) => `c${index + 1}`);
}

export const brokerNode = 'b1';
export const gatewayNode = 'gw';

export class Cluster implements AsyncDisposable {
  readonly seats: readonly Seat[];
  readonly url: string;
  /** Longest start of a controller so far. */
  startMaxMs = 0;
  readonly #processes: FleetProcesses;

  private constructor(seats: readonly Seat[], processes: FleetProcesses) {
    this.seats = seats;
    this.url = processes.url;
    this.#processes = processes;
  }

  static async start(options: ClusterOptions): Promise<Cluster> {
    const { slot, network, controllers, onUnexpectedEnd } = options;
    const seats = await makeSeats(options);
    const nodeOf = (role: string, id: number): NodeName =>
      role === 'controller' ? `c${id}` : role === 'broker' ? brokerNode : gatewayNode;
    const seatOf = (id: number): Seat => seats[id - 1] as Seat;
    const known = seats.slice(0, controllers).map(({ host, port }) => `${host}:${port}`);
    const processes = await startFleetProcesses({
      controllers: seats.length,
      brokers: 1,
      dataFolder: slot.folder,
      ports: basePort,
      entryPoint: mainOf,
      hostOf: (role, id) => network.addressOf(nodeOf(role, id)),
      throughOf: (role, id) => {
        const tracing = role === 'controller' ? seatOf(id).tracing : undefined;
        return [...network.through(nodeOf(role, id)), ...(tracing ?? [])];
      },
      flags: {
        controller: (id) => controllerFlags(options, seatOf(id), known),
        broker: [`--controllers=${known}`],
        gateway: [`--controllers=${known}`],
      },
      onUnexpectedEnd: ({ role, id, name }, { code, signal }) => {
        if (role === 'controller' && seatOf(id).mayEnd) return;
        onUnexpectedEnd(`${name} ended by itself: ${signal ?? `code ${code}`}`);
      },
    });
    return new Cluster(seats, processes);
  }

  get members(): readonly Seat[] {
    return this.seats.filter(({ isMember }) => isMember);
  }

  /** INVALID_REQUEST when there never was one. */
  process({ id }: Seat): ServiceProcess {
    return this.#processes.member('controller', id);
  }

  async kill(seat: Seat): Promise<void> {
    await this.#processes.kill('controller', seat.id);
  }

  /** SIGTERM, as an operator would. */
  async stop(seat: Seat): Promise<void> {
    await this.#processes.kill('controller', seat.id, 'SIGTERM');
  }

  /** Resolves when it is ready. One that runs is stopped first. */
  async start(seat: Seat): Promise<void> {
    if (this.process(seat).isRunning) await this.stop(seat);
    const startedMs = performance.now();
    await this.#processes.restart('controller', seat.id);
    // Under strace everything is slow.
    if (seat.tracing === undefined) this.startMaxMs = Math.max(this.startMaxMs, performance.now() - startedMs);
  }

  pause({ id }: Seat): void {
    this.#processes.signal('controller', id, 'SIGSTOP');
  }

  resume({ id }: Seat): void {
    this.#processes.signal('controller', id, 'SIGCONT');
  }

  /** An empty folder: it waits to be added. */
  async startAnew(seat: Seat): Promise<void> {
    assert(!seat.isMember, `controller ${seat.id} is a member: its folder is needed`);
    await this.stop(seat);
    for (const name of fs.readdirSync(seat.dataFolder)) {
      fs.rmSync(path.join(seat.dataFolder, name), { recursive: true });
    }
    seat.isJoiner = true;
    await this.start(seat);
  }

  /** Of a controller, as it was written so far. */
  readLog({ id }: Seat): string {
    return fs.readFileSync(this.#processes.member('controller', id).logFile, 'utf8');
  }

  get logFolder(): string {
    return path.join(this.#processes.dataFolder, 'logs');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#processes.stop();
  }
}

const basePort = 7_600;
/** As fleet-ports.ts plans them. */
const controllerPort = (id: number): number => basePort + 100 + 10 * id + 1;

async function makeSeats({ slot, network, controllers }: ClusterOptions): Promise<readonly Seat[]> {
  const seats = controllerNodes(controllers).map((node, index): Seat => {
    const id = index + 1;
    return {
      id,
      node,
      host: network.addressOf(node),
      port: controllerPort(id),
      dataFolder: path.join(slot.folder, `controller-${id}`),
      hasSmallDisk: id % 2 === 1,
      isMember: id <= controllers,
      isJoiner: id > controllers,
      isHeld: false,
      mayEnd: false,
      tracing: undefined,
    };
  });
  for (const { hasSmallDisk, dataFolder } of seats) {
    if (hasSmallDisk) await mountSmallDisk(slot, dataFolder, smallDiskMiB);
  }
  return seats;
}

function controllerFlags({ electionTimeoutMs }: ClusterOptions, seat: Seat, known: readonly string[]): string[] {
  const peers = known.map((address, index) => `${index + 1}@${address}`);
  return [
    `--quorum.peers=${peers}`,
    `--quorum.join=${seat.isJoiner}`,
    `--raft.election-timeout-ms=${electionTimeoutMs}`,
    `--raft.heartbeat-ms=${electionTimeoutMs / 10}`,
    `--raft.snapshot-entries=${snapshotEntries}`,
    `--limits.disk-reserve-bytes=${reserveMiB * 1024 * 1024}`,
    '--log.level=debug', // The core tells of each election there.
  ];
}
