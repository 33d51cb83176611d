/**
 * Damage to the disk of a controller: bits flip, pieces are zeroed, files are cut or lost, a write lands at another place.
 * What is damaged shows when the node starts again: it recovers what is there twice, or refuses (CORRUPT_LOG) and stays away,
 * until an operator replaces it. Never may it vote, or count for anything, with less than it once promised (P20).
 *
 * Bounds: a majority keeps its disks (`survival.ts`), the log of one disk is damaged once, and a log loses only what it can
 * know to be lost (`wal-layout.ts`).
 */
import type { Random } from '@fleetmq/shared';
import { chooseDamage, type Damage, type DamageKind, damaged, reachOf } from '../rot.ts';
import type { Seat } from './seat.ts';
import { batchesOf, notedEnd, segmentsOf, walFolder } from './wal-layout.ts';
import type { World } from './world.ts';

/** What there is, each as often as it is likely. */
const targets: readonly RegExp[] = [
  /^raft\/wal\/.*\.wal$/,
  /^raft\/wal\/.*\.wal$/,
  /^raft\/wal\/end$/,
  /^raft\/hard-state\.[01]$/,
  /^raft\/hard-state\.[01]$/,
  /^raft\/snapshots\/.*\.snapshot$/,
  /^raft\/snapshots\/.*\.snapshot$/,
  /^raft\/peers\.json$/,
  /^raft\/format$/,
];

/** What may happen to a file while a node has it open. */
const whileOpen: readonly DamageKind[] = ['flip', 'zero'];

export class DiskDamage {
  readonly #world: World;
  readonly #random: Random;

  constructor(world: World) {
    this.#world = world;
    this.#random = world.random('damage');
  }

  /** One file of the seat's disk, in one of these ways. Whoever calls has seen to it that the disk may go. */
  damage(seat: Seat, kinds: readonly DamageKind[]): void {
    const possible = seat.life === undefined ? kinds : kinds.filter((kind) => whileOpen.includes(kind));
    const kind = this.#pick(possible);
    const path = this.#pickFile(seat);
    const length = path === undefined ? 0 : (seat.memory.peek(path)?.length ?? 0);
    if (kind === undefined || path === undefined || length === 0) return;
    const damage = chooseDamage(kind, length, this.#random);
    if (isOfLog(path) && (seat.isLogDamaged || !isProvable(seat, path, damage))) return;
    if (damage.kind === 'lost') seat.memory.lose(path);
    else seat.memory.damage(path, (bytes) => damaged(bytes, damage));
    this.#note(seat, path, kind);
  }

  /** One of the next writes lands at another place of its file. */
  misdirect(seat: Seat): void {
    const target = this.#pick(targets) as RegExp;
    seat.isDamaged = true;
    seat.disk.misdirects = (path) => {
      if (!target.test(path) || (isOfLog(path) && seat.isLogDamaged)) return undefined;
      seat.disk.misdirects = undefined;
      this.#note(seat, path, 'misdirected write');
      // What a log that ends there can know, it knows from this file.
      seat.disk.mustKeep = isOfLog(path) ? `${walFolder}/end` : undefined;
      return this.#random.next();
    };
  }

  #note(seat: Seat, path: string, what: string): void {
    seat.isDamaged = true;
    seat.isLogDamaged ||= isOfLog(path);
    const name = path.replace(/\d{5,}/, 'N').replace('raft/', '');
    this.#world.counts.add(`damage: ${what}, ${name}`);
    this.#world.trace.note('damage', [seat.id], () => `${what}, ${path}`);
  }

  #pickFile({ memory }: Seat): string | undefined {
    const target = this.#pick(targets) as RegExp;
    return this.#pick(memory.paths().filter((path) => target.test(path)));
  }

  #pick<Value>(values: readonly Value[]): Value | undefined {
    return values[Math.floor(this.#random.next() * values.length)];
  }
}

function isOfLog(path: string): boolean {
  return path.startsWith(`${walFolder}/`);
}

/** Whether what is left proves that something durable is damaged. */
function isProvable({ memory, life }: Seat, path: string, damage: Damage): boolean {
  const segments = segmentsOf(memory);
  if (path !== segments[segments.length - 1]) return true;
  const bytes = (life === undefined ? memory.peek(path) : memory.peekDurable(path)) ?? new Uint8Array(0);
  const batches = batchesOf(bytes);
  const { from, to } = reachOf(damage, bytes.length);
  const first = batches.find(({ end }) => end > from);
  const last = batches[batches.length - 1];
  if (first === undefined || last === undefined) return true;
  // While a node runs the note may be lost with the power.
  return to <= last.start || (life === undefined && notedEnd(memory) >= first.number);
}
