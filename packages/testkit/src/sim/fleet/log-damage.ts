/**
 * Damage to the logs of a broker: bytes of a closed segment rot, and writes land elsewhere in their file. All of it happens
 * to one broker of a run, which the seed names, and only to partitions that have other in-sync replicas at that moment.
 */
import type { Random } from '@fleetmq/shared';
import { chooseDamage, damaged } from '../rot.ts';
import type { BrokerSeat } from './broker-seat.ts';
import { segmentsOf } from './committed.ts';
import type { FleetInvariants } from './invariants.ts';
import type { FleetWorld } from './world.ts';

export class LogDamage {
  readonly #world: FleetWorld;
  readonly #invariants: FleetInvariants;
  readonly #random: Random;

  constructor(world: FleetWorld, invariants: FleetInvariants) {
    this.#world = world;
    this.#invariants = invariants;
    this.#random = world.random('log damage');
  }

  /** The broker whose disk is bad. */
  get target(): number {
    const { seed, brokers } = this.#world.seed;
    return 1 + (seed % brokers);
  }

  rot(seat: BrokerSeat): void {
    const closed = this.#spared(seat).flatMap((partition) => segmentsOf(seat.memory, partition).slice(0, -1));
    const path = closed[Math.floor(this.#random.next() * closed.length)];
    const length = path === undefined ? 0 : (seat.memory.peek(path)?.length ?? 0);
    if (path === undefined || length === 0) return;
    const damage = chooseDamage(this.#random.next() < 0.7 ? 'flip' : 'zero', length, this.#random);
    seat.isDamaged = true;
    this.#world.counts.add('segments that rotted');
    this.#world.trace.note('rot', [seat.id, length]);
    seat.memory.damage(path, (bytes) => damaged(bytes, damage));
  }

  /** The next write to the end of a log lands elsewhere in its file. */
  misdirect(seat: BrokerSeat): void {
    const paths = new Set(this.#spared(seat).flatMap((partition) => segmentsOf(seat.memory, partition).slice(-1)));
    if (paths.size === 0) return;
    const place = this.#random.next();
    seat.disk.misdirects = (path) => {
      if (!paths.has(path)) return undefined;
      seat.disk.misdirects = undefined;
      seat.isDamaged = true;
      this.#world.counts.add('writes that landed elsewhere');
      return place;
    };
  }

  /** Partitions that lose nothing with this broker. */
  #spared({ id }: BrokerSeat) {
    return this.#invariants.partitions.filter(
      ({ inSyncReplicas }) => inSyncReplicas.length > 1 || !inSyncReplicas.some((each) => each === id),
    );
  }
}
