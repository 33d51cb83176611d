/**
 * Ten names that all clients use at a time. A name that has seen enough is left as it is, to be read at the end, and another
 * takes its place: histories of one name stay short enough to be checked.
 */
import type { Random } from '@fleetmq/shared';

const slots = 10;
const operationsMax = 800;
/** Operations of unknown outcome make every later answer ambiguous. */
const unknownMax = 25;

interface Used {
  readonly name: string;
  operations: number;
  unknown: number;
}

export class TopicNames {
  readonly #used: Used[] = Array.from({ length: slots }, (_, slot) => ({
    name: `t${slot}-1`,
    operations: 0,
    unknown: 0,
  }));
  /** Every name that was ever given out. */
  readonly all: string[] = this.#used.map(({ name }) => name);
  #next = 2;

  pick(random: Random): string {
    const slot = Math.floor(random.next() * slots);
    const used = this.#used[slot] as Used;
    if (used.operations++ < operationsMax && used.unknown < unknownMax) return used.name;
    const name = this.add(`t${slot}-${this.#next++}`);
    this.#used[slot] = { name, operations: 1, unknown: 0 };
    return name;
  }

  /** One that is given out only once. */
  add(name: string): string {
    this.all.push(name);
    return name;
  }

  noteUnknown(name: string): void {
    const used = this.#used.find((each) => each.name === name);
    if (used !== undefined) used.unknown++;
  }
}
