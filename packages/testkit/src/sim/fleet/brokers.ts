/**
 * The brokers of a run: started, crashed, stopped and started again on what is left of their disks. Each life of a broker is
 * one process with a node of the production code in it; nothing of a dead one is heard of again.
 */
import {
  type BrokerConfig,
  type BrokerNode,
  type BrokerNodePorts,
  brokerRoutes,
  brokerSchema,
  createBrokerNode,
  createInlineInflater,
} from '@fleetmq/broker/sim';
import { AssertionFailure, DomainError, isDomainError, type Logger, type Random } from '@fleetmq/shared';
import { MetricsRegistry, nodeChecksum } from '@fleetmq/shared/runtime';
import { type CrashKind, type DiskCounters, type DiskState, diskAfterCrash, SimDisk } from '../disk.ts';
import { describeError } from '../failure.ts';
import { openSimFolder } from '../folder.ts';
import { SimProcess } from '../process.ts';
import { type BrokerLife, type BrokerSeat, newBrokerSeat } from './broker-seat.ts';
import { clientListener, type FleetWorld, internalListener, transportsOf } from './world.ts';

/** What planted bugs change in a broker's surroundings. */
export interface FleetTwists {
  readonly ports?: (ports: BrokerNodePorts) => BrokerNodePorts;
  readonly disk?: (state: DiskState) => void;
}

/** Told of lives as they begin and end. */
export interface BrokerWatcher {
  started(seat: BrokerSeat, node: BrokerNode): void;
  ended(seat: BrokerSeat): void;
}

export class SimBrokers {
  readonly #world: FleetWorld;
  readonly #twists: FleetTwists;
  readonly #logger: Logger;
  readonly #random: Random;
  readonly #watcher: BrokerWatcher;
  readonly #controllers: string;
  readonly seats: readonly BrokerSeat[];
  readonly diskCounters: DiskCounters = { syncs: 0, failures: 0, full: 0 };

  constructor(
    world: FleetWorld,
    options: { readonly twists: FleetTwists; readonly logger: Logger; readonly watcher: BrokerWatcher },
  ) {
    const { controllers, brokers, durableWrites } = world.seed;
    this.#world = world;
    this.#twists = options.twists;
    this.#logger = options.logger;
    this.#watcher = options.watcher;
    this.#random = world.random('brokers');
    this.#controllers = Array.from({ length: controllers }, (_, index) => `node:${index + 1}`).join(',');
    this.seats = Array.from({ length: brokers }, (_, index) => {
      const seat = newBrokerSeat(index + 1);
      seat.disk.hasDurableWrites = durableWrites;
      options.twists.disk?.(seat.disk);
      return seat;
    });
  }

  seat(id: number): BrokerSeat {
    return this.seats[id - 1] as BrokerSeat;
  }

  /** Nothing happens where one runs already. */
  start(seat: BrokerSeat): void {
    if (seat.life !== undefined) return;
    const { trace, counts, scheduler, seed } = this.#world;
    trace.note('broker starts', [seat.id]);
    counts.add('broker starts');
    const process = new SimProcess({
      name: `broker-${seat.id}`,
      time: scheduler.time,
      rate: 1 + seed.clockDrift * (2 * this.#random.next() - 1),
      originMs: this.#random.next() * 1e6,
    });
    const life: BrokerLife = {
      process,
      node: undefined,
      ending: new AbortController(),
      draining: new AbortController(),
      isStopping: false,
    };
    seat.life = life;
    this.#open(seat, life).catch((error: unknown) => this.#ended(seat, life, error));
  }

  /** Now, in the middle of whatever it does. */
  crash(seat: BrokerSeat, kind: CrashKind): void {
    const { life } = seat;
    if (life === undefined) return;
    const { trace, counts, network, seed } = this.#world;
    trace.note(`broker ${kind}`, [seat.id]);
    counts.add(`broker crash: ${kind}`);
    life.process.kill();
    network.ended(life.process, kind === 'power-loss');
    this.#watcher.ended(seat);
    seat.life = undefined;
    seat.memory = diskAfterCrash(seat.memory, kind, this.#random, seed.keptOnPowerLoss);
  }

  /** Hands over its leaderships, and ends; in virtual time. */
  async stop(seat: BrokerSeat): Promise<void> {
    const { life } = seat;
    if (life?.node === undefined || life.isStopping) return;
    this.#world.trace.note('broker stops', [seat.id]);
    life.isStopping = true;
    life.ending.abort(new DomainError('SHUTTING_DOWN', 'this broker is stopping'));
    try {
      await life.node.beginStop();
      life.draining.abort();
      await life.node[Symbol.asyncDispose]();
      this.#world.counts.add('broker stops');
    } catch (error) {
      // A failing disk may fail the last write, too.
      if (!isDiskError(error)) throw error;
    }
    if (seat.life === life) this.crash(seat, 'kill');
  }

  async #open(seat: BrokerSeat, life: BrokerLife): Promise<void> {
    const { network } = this.#world;
    const { process } = life;
    const { memory, disk: state } = seat;
    const disk = new SimDisk({ memory, process, state, random: this.#random, counters: this.diskCounters });
    const folder = await openSimFolder(disk, this.#random);
    if (seat.life !== life) return;
    const node = await createBrokerNode(this.#config(seat), folder, this.#ports(seat, life));
    if (seat.life !== life) return;
    life.node = node;
    const endpoints = (
      [
        ['client', clientListener],
        ['internal', internalListener],
      ] as const
    ).map(([listener, base]) => {
      const port = base + seat.id;
      network.listen(port, process, brokerRoutes(node, listener), life.draining.signal);
      return { listener, host: 'node', port, tls: false };
    });
    this.#watcher.started(seat, node);
    await node.start(endpoints, life.ending.signal);
  }

  #ports(seat: BrokerSeat, life: BrokerLife): BrokerNodePorts {
    const { process } = life;
    const ports: BrokerNodePorts = {
      clock: process.clock,
      timers: process.timers,
      random: { next: () => this.#random.next(), bytes: (length) => this.#random.bytes(length) },
      checksum: nodeChecksum,
      logger: this.#logger.child({ broker: seat.id }),
      transportAt: transportsOf(this.#world, process, clientListener + seat.id),
      inflater: createInlineInflater(nodeChecksum),
      metrics: new MetricsRegistry(),
      onFatal: (error) => this.#ended(seat, life, error),
    };
    return this.#twists.ports?.(ports) ?? ports;
  }

  /** The node gave up by itself: another life of it has begun as the controllers see it, or its disk fails. Others are bugs. */
  #ended(seat: BrokerSeat, life: BrokerLife, error: unknown): void {
    if (seat.life !== life || !life.process.isAlive || life.isStopping) return;
    const isExpected = isDomainError(error) && (isDiskError(error) || expectedEnds.has(error.code));
    if (!isExpected) {
      const name = error instanceof AssertionFailure ? 'an assertion failed' : 'a broker gave up';
      this.#world.fail('crash', name, `broker ${seat.id}: ${describeError(error)}`);
    }
    this.#world.counts.add(`broker gave up: ${isDomainError(error) ? error.code : 'bug'}`);
    this.crash(seat, 'kill');
    this.#world.scheduler.time.after(200 + this.#random.next() * 1_000, () => this.start(seat));
  }

  #config({ id }: BrokerSeat): BrokerConfig {
    const { brokerHeartbeatMs, lagTimeMaxMs } = this.#world.seed;
    return brokerSchema.parse({
      node: { id },
      data: {},
      security: { mode: 'open' },
      listen: { client: {}, internal: {}, ops: {} },
      advertise: { client: {}, internal: {} },
      controllers: this.#controllers,
      broker: {
        'heartbeat-ms': brokerHeartbeatMs,
        'scrub-round-ms': 20_000,
        'watermark-checkpoint-ms': 5_000,
      },
      replica: { 'lag-time-max-ms': lagTimeMaxMs },
      limits: {},
      log: {},
    });
  }
}

/** A lost answer of a registration, or a second one: the process goes, and comes back. */
const expectedEnds: ReadonlySet<string> = new Set(['STALE_BROKER_EPOCH', 'DUPLICATE_REQUEST', 'BROKER_NOT_FOUND']);

function isDiskError(error: unknown): boolean {
  return isDomainError(error) && (error.code === 'STORAGE_FAILED' || error.code === 'DISK_FULL');
}
