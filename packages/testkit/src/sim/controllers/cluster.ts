/**
 * The controllers of a run: started, crashed, stopped and started again on what is left of their disks. Each life of a
 * controller is one process with a node of the production code in it; nothing of a dead one is heard of again.
 */
import type { Transport } from '@connectrpc/connect';
import {
  type ControllerConfig,
  type ControllerNode,
  controllerRoutes,
  controllerSchema,
  createNode,
  type Failpoint,
  type NodePorts,
} from '@fleetmq/controller/sim';
import { AssertionFailure, DomainError, isDomainError, type Logger, type Random } from '@fleetmq/shared';
import { nodeChecksum } from '@fleetmq/shared/runtime';
import { type CrashKind, type DiskCounters, type DiskState, diskAfterCrash, emptyDisk, SimDisk } from '../disk.ts';
import { describeError } from '../failure.ts';
import { openSimFolder } from '../folder.ts';
import { SimProcess } from '../process.ts';
import type { Invariants } from './invariants.ts';
import { isStranger, type Life, newSeat, type Seat } from './seat.ts';
import type { World } from './world.ts';

/** What planted bugs change in a node's surroundings. */
export interface ClusterTwists {
  readonly ports?: (ports: NodePorts) => NodePorts;
  readonly disk?: (state: DiskState) => void;
}

export class SimCluster {
  readonly #world: World;
  readonly #invariants: Invariants;
  readonly #twists: ClusterTwists;
  readonly #random: Random;
  readonly #logger: Logger;
  readonly #configs = new Map<string, ControllerConfig>();
  readonly seats: readonly Seat[];
  readonly diskCounters: DiskCounters = { syncs: 0, failures: 0, full: 0 };
  /** Called when a leader has asked its core for a change of the members. */
  onMemberChange: ((leader: Seat) => void) | undefined;

  constructor(world: World, invariants: Invariants, options: { twists: ClusterTwists; logger: Logger }) {
    this.#world = world;
    this.#invariants = invariants;
    this.#twists = options.twists;
    this.#logger = options.logger;
    this.#random = world.random('cluster');
    const { controllers, spares } = world.seed;
    this.seats = Array.from({ length: controllers + spares }, (_, position) => {
      const seat = newSeat(position + 1, position < controllers);
      options.twists.disk?.(seat.disk);
      return seat;
    });
  }

  /** Running, with a node that has started. */
  get nodes(): readonly ControllerNode[] {
    const nodes: ControllerNode[] = [];
    for (const { life } of this.seats) if (life?.node !== undefined) nodes.push(life.node);
    return nodes;
  }

  seat(id: number): Seat {
    return this.seats[id - 1] as Seat;
  }

  /** The seat of a node that believes to lead, if any. */
  get leaderSeat(): Seat | undefined {
    return this.seats.find(({ life }) => life?.node?.leadership.isLeader === true);
  }

  /** Nothing happens where a node runs already, or nobody wants one. */
  start(seat: Seat): void {
    const { trace, counts, scheduler, seed } = this.#world;
    if (seat.life !== undefined || !seat.isInUse) return;
    trace.note('start', [seat.id]);
    counts.add('controller starts');
    const drift = seed.clockDrift * (2 * this.#random.next() - 1);
    const process = new SimProcess({
      name: `controller-${seat.id}`,
      time: scheduler.time,
      rate: 1 + drift,
      originMs: seed.lockstep ? 0 : this.#random.next() * 1e6,
    });
    const life: Life = { process, node: undefined, stopping: new AbortController() };
    seat.life = life;
    this.#open(seat, life).catch((error: unknown) => {
      if (seat.life === life) this.#ended(seat, error);
    });
  }

  /** Now, in the middle of whatever it does. */
  crash(seat: Seat, kind: CrashKind): void {
    const { life } = seat;
    if (life === undefined) return;
    const { trace, counts, network } = this.#world;
    trace.note(kind, [seat.id]);
    counts.add(`crash: ${kind}`);
    life.process.kill();
    network.ended(life.process, kind === 'power-loss');
    seat.life = undefined;
    seat.armed = undefined;
    seat.memory = diskAfterCrash(seat.memory, kind, this.#random, this.#world.seed.keptOnPowerLoss);
    this.#invariants.ended(seat.id);
  }

  /** Runs to its end, in virtual time; then the seat is down. */
  async stop(seat: Seat): Promise<void> {
    const { life } = seat;
    if (life?.node === undefined) return;
    this.#world.trace.note('stop', [seat.id]);
    life.stopping.abort(new DomainError('SHUTTING_DOWN', 'this controller is stopping'));
    const { node } = life;
    life.node = undefined;
    try {
      await node[Symbol.asyncDispose]();
    } catch (error) {
      // A failing disk may fail the last write, too.
      if (!isDiskError(error)) throw error;
    }
    if (seat.life === life) this.crash(seat, 'kill');
  }

  /** Its disk is gone; what starts on a new one is a stranger to the others. `joins`: it waits to be added. */
  wipe(seat: Seat, joins: boolean): void {
    this.crash(seat, 'power-loss');
    seat.memory = emptyDisk();
    Object.assign(seat, { diskId: undefined, isWiped: true, isDamaged: false, isLogDamaged: false, isBroken: false });
    Object.assign(seat.disk, { misdirects: undefined, mustKeep: undefined });
    seat.joins = joins;
  }

  /** An operator gives it a new disk, to be added to the quorum: nobody counts on the one before any more. */
  renew(seat: Seat): void {
    this.wipe(seat, true);
    seat.isInUse = true;
    this.start(seat);
  }

  /** For good, until it is renewed. */
  async retire(seat: Seat): Promise<void> {
    seat.isInUse = false;
    await this.stop(seat);
    this.crash(seat, 'kill');
  }

  async #open(seat: Seat, life: Life): Promise<void> {
    const { network } = this.#world;
    const { process } = life;
    const disk = new SimDisk({
      memory: seat.memory,
      process,
      state: seat.disk,
      random: this.#random,
      counters: this.diskCounters,
    });
    const folder = await openSimFolder(disk, this.#random);
    if (seat.life !== life) return;
    seat.diskId = folder.diskId;
    const first = this.seats.filter(({ isFirst }) => isFirst);
    const endpoints = new Map(first.map(({ id }) => [id, { controllerId: id, host: 'controller', port: id }] as const));
    const config = this.#config(seat);
    const node = await createNode(config, folder, endpoints, this.#ports(seat, life));
    if (seat.life !== life) return;
    life.node = node;
    seat.isBroken = false;
    this.#invariants.started(node, process);
    this.#watchChanges(seat, node);
    network.listen(seat.id, process, controllerRoutes(node, config, life.stopping.signal));
    node.start();
  }

  #ports(seat: Seat, life: Life): NodePorts {
    const { process } = life;
    const ports: NodePorts = {
      clock: process.clock,
      timers: process.timers,
      random: { next: () => this.#random.next(), bytes: (length) => this.#random.bytes(length) },
      checksum: nodeChecksum,
      logger: this.#logger.child({ controller: seat.id }),
      onFatal: (error) => {
        if (seat.life === life && process.isAlive) this.#ended(seat, error);
      },
      failpoint: (point) => this.#reach(seat, life, point),
      transportAt: this.#transports(seat, life),
    };
    return this.#twists.ports?.(ports) ?? ports;
  }

  /** One for each address, as connections are pooled. */
  #transports(seat: Seat, { process }: Life): (address: { readonly port: number }) => Transport {
    const transports = new Map<number, Transport>();
    return ({ port }) => {
      const known = transports.get(port);
      if (known !== undefined) return known;
      const transport = this.#world.network.transport(seat.id, process, port);
      transports.set(port, transport);
      return transport;
    };
  }

  #watchChanges(seat: Seat, { driver }: ControllerNode): void {
    const propose = driver.proposeConfChange.bind(driver);
    driver.proposeConfChange = (change) => {
      const place = propose(change);
      this.onMemberChange?.(seat);
      return place;
    };
  }

  /** Undefined goes on; what never resolves is the end of this life. */
  #reach(seat: Seat, life: Life, point: Failpoint): undefined | Promise<void> {
    const { armed } = seat;
    if (!life.process.isAlive) return new Promise(() => undefined);
    if (armed?.point !== point || seat.life !== life || --armed.left > 0) return undefined;
    this.#world.counts.add(`crash at ${point}`);
    this.crash(seat, armed.kind);
    this.#restartSoon(seat);
    return new Promise(() => undefined);
  }

  /** The node gave up by itself. Failing and damaged disks may do that; anything else is a bug. */
  #ended(seat: Seat, error: unknown): void {
    const errors = errorsIn(error);
    seat.isBroken = seat.isDamaged && errors.some((each) => isDomainError(each) && each.code === 'CORRUPT_LOG');
    const isExpected = (each: unknown): boolean =>
      isDiskError(each) || (isDomainError(each) && (seat.isBroken || isStranger(seat)));
    if (!errors.every(isExpected)) {
      const name = error instanceof AssertionFailure ? 'an assertion failed' : 'a controller gave up';
      this.#world.fail('crash', name, `controller ${seat.id}: ${describeError(error)}`);
    }
    for (const each of errors) this.#world.counts.add(`gave up: ${isDomainError(each) ? each.code : 'bug'}`);
    this.crash(seat, 'kill');
    // Who refuses what it finds is mostly left alone.
    if (!seat.isBroken || this.#random.next() < 0.3) this.#restartSoon(seat);
  }

  #restartSoon(seat: Seat): void {
    this.#world.scheduler.time.after(200 + this.#random.next() * 2_000, () => this.start(seat));
  }

  #config({ id, joins }: Seat): ControllerConfig {
    const { seed } = this.#world;
    const key = `${id} ${joins}`;
    const known = this.#configs.get(key);
    if (known !== undefined) return known;
    const first = this.seats.filter(({ isFirst }) => isFirst);
    const peers = first.map((each) => `${each.id}@controller:${each.id}`).join(',');
    const config = controllerSchema.parse({
      node: { id },
      data: {},
      security: { mode: 'open' },
      listen: { internal: {}, ops: {} },
      quorum: { peers, join: joins },
      raft: {
        'election-timeout-ms': seed.electionMs,
        'heartbeat-ms': seed.heartbeatMs,
        'snapshot-entries': seed.snapshotEntries,
        'segment-bytes': seed.segmentBytes,
      },
      broker: { 'session-timeout-ms': seed.sessionTimeoutMs, 'heartbeat-ms': seed.brokerHeartbeatMs },
      balance: { 'interval-ms': 2_000, 'imbalance-percent': 0 },
      limits: { 'watch-history-events': 100 },
      log: {},
    });
    this.#configs.set(key, config);
    return config;
  }
}

/** An error, and those that came up while everything was closed because of it. */
function errorsIn(error: unknown): readonly unknown[] {
  return error instanceof SuppressedError ? [...errorsIn(error.error), ...errorsIn(error.suppressed)] : [error];
}

function isDiskError(error: unknown): boolean {
  return isDomainError(error) && (error.code === 'STORAGE_FAILED' || error.code === 'DISK_FULL');
}
