/**
 * What goes wrong in a run of a fleet, and when: faults begin at random moments, last a while, and are undone. Any number may
 * be there at once. One thing has a limit: bytes rot on the disk of one broker alone, so that whole copies are left.
 */
import type { Random } from '@fleetmq/shared';
import type { SimCluster } from '../controllers/cluster.ts';
import type { Seat } from '../controllers/seat.ts';
import { type CrashKind, repairDisk } from '../disk.ts';
import { FaultTimes } from '../fault-times.ts';
import type { BrokerSeat } from './broker-seat.ts';
import type { SimBrokers } from './brokers.ts';
import type { SimGateway } from './gateway.ts';
import type { FleetInvariants } from './invariants.ts';
import { LogDamage } from './log-damage.ts';
import type { FleetOperator } from './operator.ts';
import type { FleetFaultKind } from './seed.ts';
import { addressesOfBroker, clientAddress, type FleetWorld, gatewayAddress } from './world.ts';

export interface FleetFaultParts {
  readonly cluster: SimCluster;
  readonly brokers: SimBrokers;
  readonly gateway: SimGateway;
  readonly operator: FleetOperator;
  readonly invariants: FleetInvariants;
}

/** A run without a fault shows nothing. */
const firstFaultByMs = 8_000;

/** Records whose time is an hour ahead of their broker's are refused, as they should be: a clock is less wrong than that. */
const clockSkewMaxMs = 3_000_000;

export class FleetFaults {
  readonly #world: FleetWorld;
  readonly #parts: FleetFaultParts;
  readonly #random: Random;
  readonly #times: FaultTimes;
  readonly #damage: LogDamage;

  constructor(world: FleetWorld, parts: FleetFaultParts) {
    this.#world = world;
    this.#parts = parts;
    this.#random = world.random('fleet faults');
    this.#times = new FaultTimes(world, this.#random);
    this.#damage = new LogDamage(world, parts.invariants);
  }

  start(): void {
    const { fleetFaults } = this.#world.seed;
    this.#times.start(firstFaultByMs, () => this.#inject(this.#any(fleetFaults) as FleetFaultKind));
  }

  /** Everything works from now on, and whoever is down comes back. */
  heal(): void {
    const { network, seed, trace } = this.#world;
    trace.note('heal');
    this.#times.end();
    network.healAll();
    Object.assign(seed.network, { lossRate: 0, straggleRate: 0 });
    const { cluster, brokers, gateway } = this.#parts;
    for (const seat of cluster.seats) {
      repairDisk(seat.disk);
      seat.life?.process.resume();
      cluster.start(seat);
    }
    for (const seat of brokers.seats) {
      repairDisk(seat.disk);
      seat.life?.process.resume();
      seat.life?.process.setWallClock(0);
      brokers.start(seat);
    }
    gateway.start();
  }

  #inject(kind: FleetFaultKind): void {
    const { counts, trace } = this.#world;
    const seat = this.#anyBroker();
    counts.add(`fault: ${kind}`);
    trace.note(`fault: ${kind}`, [seat.id]);
    this.#kinds[kind](seat);
  }

  readonly #kinds: Record<FleetFaultKind, (seat: BrokerSeat) => void> = {
    kill: (seat) => this.#crash(seat, 'kill'),
    'power-loss': (seat) => this.#crash(seat, 'power-loss'),
    'power-loss-of-two': (seat) => {
      const { seats } = this.#parts.brokers;
      this.#crash(seat, 'power-loss');
      this.#crash(seats[seat.id % seats.length] as BrokerSeat, 'power-loss');
    },
    'power-loss-of-all': () => {
      for (const seat of this.#parts.brokers.seats) this.#crash(seat, 'power-loss');
    },
    'controlled-stop': (seat) => {
      void this.#parts.brokers.stop(seat).then(() => this.#restartLater(seat));
    },
    pause: (seat) => this.#pause(seat),
    'pause-leader': (seat) => this.#pause(this.#anyLeader() ?? seat),
    isolate: ({ id }) => this.#cutOff(addressesOfBroker(id)),
    'isolate-leader': (seat) => this.#cutOff(addressesOfBroker((this.#anyLeader() ?? seat).id)),
    'cut-from-controllers': ({ id }) => {
      for (const { id: controller } of this.#parts.cluster.seats) this.#cutBoth(addressesOfBroker(id), [controller]);
      this.#times.healLater();
    },
    'cut-pair': ({ id }) => {
      this.#cutBoth(addressesOfBroker(id), addressesOfBroker(this.#anyBroker().id));
      this.#times.healLater();
    },
    'one-way': ({ id }) => {
      this.#cut(addressesOfBroker(id), addressesOfBroker(this.#anyBroker().id));
      this.#times.healLater();
    },
    split: () => this.#split(),
    'slow-disk': ({ disk }) => {
      Object.assign(disk, { syncMs: 20, syncSpreadMs: 50 + this.#random.next() * 2_000 });
      this.#times.undoLater(() => repairDisk(disk));
    },
    'failing-disk': ({ disk }) => {
      disk.failureRate = 0.02 + this.#random.next() * 0.3;
      this.#times.undoLater(() => repairDisk(disk));
    },
    'full-disk': ({ disk }) => {
      disk.freeBytes = 0;
      this.#times.undoLater(() => repairDisk(disk));
    },
    'bit-rot': () => this.#damage.rot(this.#parts.brokers.seat(this.#damage.target)),
    'misdirected-write': () => this.#damage.misdirect(this.#parts.brokers.seat(this.#damage.target)),
    'clock-jump': ({ life }) => {
      life?.process.setWallClock((2 * this.#random.next() - 1) * clockSkewMaxMs);
      this.#times.undoLater(() => life?.process.setWallClock(0));
    },
    transfer: () => this.#parts.operator.transfer(),
    reassign: () => this.#parts.operator.reassign(),
    'controller-kill': () => this.#crashController('kill'),
    'controller-power-loss': () => this.#crashController('power-loss'),
    'controller-pause': () => {
      const { life } = this.#anyController();
      life?.process.pause();
      if (life !== undefined) this.#world.network.paused(life.process);
      this.#times.undoLater(() => life?.process.resume());
    },
    'controller-isolate': () => this.#cutOff([this.#anyController().id]),
    'gateway-kill': () => {
      const { gateway } = this.#parts;
      gateway.kill();
      this.#times.undoLater(() => gateway.start());
    },
    'client-cut': () => {
      const { producers, consumers } = this.#world.seed;
      const number = 1 + Math.floor(this.#random.next() * (producers.length + consumers.length));
      this.#cutOff([clientAddress + number]);
    },
  };

  #crash(seat: BrokerSeat, kind: CrashKind): void {
    this.#parts.brokers.crash(seat, kind);
    this.#restartLater(seat);
  }

  #restartLater(seat: BrokerSeat): void {
    // Also when the faults are over: a stop that was under way ends after that.
    this.#world.scheduler.time.after(this.#times.lasts(), () => this.#parts.brokers.start(seat));
  }

  #crashController(kind: CrashKind): void {
    const { cluster } = this.#parts;
    const seat = this.#anyController();
    cluster.crash(seat, kind);
    this.#world.scheduler.time.after(this.#times.lasts(), () => cluster.start(seat));
  }

  #pause({ life }: BrokerSeat): void {
    if (life === undefined) return;
    life.process.pause();
    this.#world.network.paused(life.process);
    this.#times.undoLater(() => life.process.resume());
  }

  #cutOff(addresses: readonly number[]): void {
    this.#cutBoth(
      addresses,
      this.#addresses().filter((each) => !addresses.includes(each)),
    );
    this.#times.healLater();
  }

  #split(): void {
    const sides = new Map<number, boolean>();
    for (const { id } of this.#parts.cluster.seats) sides.set(id, this.#random.next() < 0.5);
    for (const { id } of this.#parts.brokers.seats) {
      const side = this.#random.next() < 0.5;
      for (const address of addressesOfBroker(id)) sides.set(address, side);
    }
    const at = (wanted: boolean) => [...sides].filter(([, side]) => side === wanted).map(([address]) => address);
    this.#cutBoth(at(true), at(false));
    this.#times.healLater();
  }

  #cutBoth(left: readonly number[], right: readonly number[]): void {
    this.#cut(left, right);
    this.#cut(right, left);
  }

  #cut(from: readonly number[], to: readonly number[]): void {
    for (const each of from) for (const other of to) if (each !== other) this.#world.network.cut(each, other);
  }

  #addresses(): readonly number[] {
    const { producers, consumers } = this.#world.seed;
    const clients = Array.from(
      { length: producers.length + consumers.length },
      (_, index) => clientAddress + index + 1,
    );
    const brokers = this.#parts.brokers.seats.flatMap(({ id }) => addressesOfBroker(id));
    return [...this.#parts.cluster.seats.map(({ id }) => id), ...brokers, gatewayAddress, ...clients];
  }

  #anyBroker(): BrokerSeat {
    return this.#any(this.#parts.brokers.seats) as BrokerSeat;
  }

  #anyController(): Seat {
    const { cluster } = this.#parts;
    const leader = this.#random.next() < 0.5 ? cluster.leaderSeat : undefined;
    return leader ?? (this.#any(cluster.seats) as Seat);
  }

  /** Of some partition. */
  #anyLeader(): BrokerSeat | undefined {
    const id = this.#any(this.#parts.invariants.partitions)?.leaderId ?? 0;
    return id === 0 ? undefined : this.#parts.brokers.seat(id);
  }

  #any<Value>(values: readonly Value[]): Value | undefined {
    return values[Math.floor(this.#random.next() * values.length)];
  }
}
