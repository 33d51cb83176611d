/**
 * What goes wrong in a run, and when: faults begin at random moments, last a while, and are undone. Any number may be there
 * at once, all nodes may be down together: what is promised to be safe is safe then, too. Only what happens to disks has a
 * limit, as a majority must keep theirs (`survival.ts`).
 */
import type { Failpoint } from '@fleetmq/controller/sim';
import type { Random } from '@fleetmq/shared';
import { type CrashKind, repairDisk } from '../disk.ts';
import { FaultTimes } from '../fault-times.ts';
import type { DamageKind } from '../rot.ts';
import type { FaultKind } from '../seed.ts';
import type { SimBroker } from './brokers.ts';
import type { SimCluster } from './cluster.ts';
import { DiskDamage } from './disk-damage.ts';
import type { Seat } from './seat.ts';
import type { Survival } from './survival.ts';
import { clientAddress, operatorAddress, type World } from './world.ts';

const failpoints: readonly Failpoint[] = [
  'before-persist',
  'after-persist',
  'before-send',
  'before-apply',
  'after-apply',
];

/** A run without a fault shows nothing. */
const firstFaultByMs = 5_000;

/** What follows the proposal of a change comes so soon, in the mean. */
const inChangeMs = 15;

export interface FaultParts {
  readonly cluster: SimCluster;
  readonly brokers: readonly SimBroker[];
  readonly survival: Survival;
}

export class Faults {
  readonly #world: World;
  readonly #cluster: SimCluster;
  readonly #brokers: readonly SimBroker[];
  readonly #survival: Survival;
  readonly #damage: DiskDamage;
  readonly #random: Random;
  readonly #times: FaultTimes;
  /** Waits for a leader to propose a change of the members. */
  #inChange: ((leader: Seat) => void) | undefined;

  constructor(world: World, { cluster, brokers, survival }: FaultParts) {
    this.#world = world;
    this.#cluster = cluster;
    this.#brokers = brokers;
    this.#survival = survival;
    this.#damage = new DiskDamage(world);
    this.#random = world.random('faults');
    this.#times = new FaultTimes(world, this.#random);
    cluster.onMemberChange = (leader) => this.#changing(leader);
  }

  start(): void {
    const { faults } = this.#world.seed;
    this.#times.start(firstFaultByMs, () => {
      this.#inject(faults[Math.floor(this.#random.next() * faults.length)] as FaultKind);
    });
  }

  /** Everything works from now on, and whoever is down comes back. */
  heal(): void {
    const { network, seed, trace } = this.#world;
    trace.note('heal');
    this.#times.end();
    this.#inChange = undefined;
    network.healAll();
    Object.assign(seed.network, { lossRate: 0, straggleRate: 0, duplicateRate: 0 });
    for (const seat of this.#cluster.seats) {
      repairDisk(seat.disk);
      seat.armed = undefined;
      seat.life?.process.resume();
      this.#cluster.start(seat);
    }
    for (const broker of this.#brokers) broker.start();
  }

  #inject(kind: FaultKind): void {
    const { counts, trace } = this.#world;
    counts.add(`fault: ${kind}`);
    trace.note(`fault: ${kind}`);
    this.#kinds[kind](this.#anySeat());
  }

  readonly #kinds: Record<FaultKind, (seat: Seat) => void> = {
    kill: (seat) => this.#crash(seat, 'kill'),
    'power-loss': (seat) => this.#crash(seat, 'power-loss'),
    'power-loss-of-all': () => {
      for (const seat of this.#cluster.seats) this.#crash(seat, 'power-loss');
    },
    'crash-at-failpoint': (seat) => {
      const point = failpoints[Math.floor(this.#random.next() * failpoints.length)] as Failpoint;
      const kind: CrashKind = this.#random.next() < 0.5 ? 'kill' : 'power-loss';
      seat.armed = { point, left: 1 + Math.floor(this.#random.next() * 20), kind };
    },
    'clean-stop': (seat) => {
      void this.#cluster.stop(seat).then(() => this.#restartLater(seat));
    },
    pause: (seat) => this.#pause(seat),
    'pause-leader': (seat) => this.#pause(this.#cluster.leaderSeat ?? seat),
    isolate: ({ id }) => this.#cutOff(id),
    'isolate-leader': () => this.#cutOff(this.#cluster.leaderSeat?.id ?? 1),
    split: () => this.#split(),
    'one-way': ({ id }) => {
      const other = this.#anySeat().id;
      const { network } = this.#world;
      network.cut(id, other);
      this.#times.healLater();
    },
    bridge: ({ id }) => this.#bridge(id),
    'slow-disk': ({ disk }) => {
      Object.assign(disk, { syncMs: 20, syncSpreadMs: 50 + this.#random.next() * 500 });
      this.#times.undoLater(() => repairDisk(disk));
    },
    'failing-disk': ({ disk }) => {
      disk.failureRate = 0.05 + this.#random.next() * 0.3;
      this.#times.undoLater(() => repairDisk(disk));
    },
    'full-disk': ({ disk }) => {
      disk.freeBytes = this.#random.next() < 0.5 ? 0 : 1_000_000;
      this.#times.undoLater(() => repairDisk(disk));
    },
    'wiped-disk': (seat) => this.#wipe(seat),
    'crash-in-change': () => {
      const kind: CrashKind = this.#random.next() < 0.5 ? 'kill' : 'power-loss';
      this.#inChange = (leader) => this.#crash(leader, kind);
    },
    'isolate-in-change': () => {
      this.#inChange = ({ id }) => this.#cutOff(id);
    },
    'crash-learner': () => {
      const learner = this.#anyLearner();
      if (learner !== undefined) this.#crash(learner, this.#random.next() < 0.5 ? 'kill' : 'power-loss');
    },
    'bit-rot': (seat) => this.#damageDisk(seat, ['flip', 'flip', 'zero']),
    'lost-file': (seat) => this.#damageDisk(seat, ['cut', 'lost']),
    'misdirected-write': (seat) => {
      if (this.#survival.mayDamage(seat)) this.#damage.misdirect(seat);
    },
    'clock-jump': ({ life }) => life?.process.jumpWallClock((this.#random.next() - 0.5) * 7.2e6),
    transfer: () => this.#transfer(),
    'broker-crash': () => {
      const broker = this.#anyBroker();
      broker.crash();
      this.#times.undoLater(() => broker.start());
    },
    'broker-cut': () => {
      const { address } = this.#anyBroker();
      for (const { id } of this.#cluster.seats) this.#cutBoth(address, id);
      this.#times.healLater();
    },
  };

  #crash(seat: Seat, kind: CrashKind): void {
    this.#cluster.crash(seat, kind);
    this.#restartLater(seat);
  }

  #restartLater(seat: Seat): void {
    // Also when the faults are over: a stop that was under way ends after that.
    const delayMs = this.#times.lasts();
    this.#world.scheduler.time.after(delayMs, () => this.#cluster.start(seat));
  }

  #pause({ life }: Seat): void {
    life?.process.pause();
    this.#times.undoLater(() => life?.process.resume());
  }

  #cutOff(id: number): void {
    for (const other of this.#addresses()) {
      if (other !== id) this.#cutBoth(id, other);
    }
    this.#times.healLater();
  }

  #split(): void {
    const sides = new Map(this.#addresses().map((address) => [address, this.#random.next() < 0.5]));
    for (const [left, side] of sides) {
      for (const [right, other] of sides) if (side !== other) this.#world.network.cut(left, right);
    }
    this.#times.healLater();
  }

  /** Two halves that see each other through one node alone. */
  #bridge(id: number): void {
    const others = this.#cluster.seats.filter((seat) => seat.id !== id);
    const half = others.length / 2;
    for (const [position, left] of others.entries()) {
      for (const right of others.slice(Math.max(position + 1, half))) {
        if (position < half) this.#cutBoth(left.id, right.id);
      }
    }
    this.#times.healLater();
  }

  #cutBoth(left: number, right: number): void {
    this.#world.network.cut(left, right);
    this.#world.network.cut(right, left);
  }

  #wipe(seat: Seat): void {
    if (!seat.isInUse || this.#survival.isLost(seat)) return;
    // Some operators bring the node back as it was configured, others have it wait to be added.
    const joins = !seat.isFirst || this.#random.next() < 0.5;
    if (this.#survival.isFree(seat)) {
      this.#cluster.renew(seat);
      return;
    }
    if (!this.#survival.mayLose(seat, { joins })) return;
    this.#world.counts.add('disks wiped');
    this.#cluster.wipe(seat, joins);
    this.#restartLater(seat);
  }

  #damageDisk(seat: Seat, kinds: readonly DamageKind[]): void {
    if (!this.#survival.mayDamage(seat)) return;
    // Some of it happens under a node that runs, and shows when it starts the next time.
    if (kinds.includes('lost') || this.#random.next() < 0.6) {
      this.#crash(seat, this.#random.next() < 0.5 ? 'kill' : 'power-loss');
    }
    const count = this.#random.next() < 0.8 ? 1 : 2 + Math.floor(this.#random.next() * 8);
    for (let left = count; left > 0; left--) this.#damage.damage(seat, kinds);
  }

  #changing(leader: Seat): void {
    const inChange = this.#inChange;
    this.#inChange = undefined;
    if (inChange === undefined) return;
    this.#world.counts.add('faults in a change of members');
    this.#times.after(this.#times.exponential(inChangeMs), () => inChange(leader));
  }

  #transfer(): void {
    const node = this.#cluster.leaderSeat?.life?.node;
    if (node === undefined || node.driver.confState.voters.length === 1) return;
    node.quorum.transferLeadership(0, new AbortController().signal).then(
      () => this.#world.counts.add('leaderships handed over'),
      () => this.#world.counts.add('leaderships not handed over'),
    );
  }

  #addresses(): readonly number[] {
    const { seed } = this.#world;
    const clients = Array.from({ length: seed.clients }, (_, position) => clientAddress + position + 1);
    const others = [...this.#brokers.map(({ address }) => address), ...clients, operatorAddress];
    return [...this.#cluster.seats.map(({ id }) => id), ...others];
  }

  #anyLearner(): Seat | undefined {
    const { learners = [] } = this.#cluster.leaderSeat?.life?.node?.driver.confState ?? {};
    const id = learners[Math.floor(this.#random.next() * learners.length)];
    return id === undefined ? undefined : this.#cluster.seat(id);
  }

  /** Where somebody runs, or should. */
  #anySeat(): Seat {
    const seats = this.#cluster.seats.filter(({ isInUse }) => isInUse);
    return seats[Math.floor(this.#random.next() * seats.length)] as Seat;
  }

  #anyBroker(): SimBroker {
    return this.#brokers[Math.floor(this.#random.next() * this.#brokers.length)] as SimBroker;
  }
}
