/**
 * What clients were told, in the order of real time: a read must cover every write that was answered before it began
 * (ReadIndex), and a write that was answered is in the history.
 */
import type { Reference } from './reference.ts';
import type { World } from './world.ts';

export class History {
  readonly #world: World;
  readonly #reference: Reference;
  /** Highest version in the answer of a write. */
  #answered = 0;

  constructor(world: World, reference: Reference) {
    this.#world = world;
    this.#reference = reference;
  }

  /** To be kept by a read until its answer. */
  begin(): number {
    return this.#answered;
  }

  wrote(version: bigint): void {
    this.#answered = Math.max(this.#answered, Number(version));
    if (Number(version) > this.#reference.appliedIndex) {
      this.#fail('an answered write is committed', `version ${version} after ${this.#reference.appliedIndex}`);
    }
  }

  /** A unique value was set, and the answer names this version. */
  wroteSetting(value: string, version: bigint): void {
    this.wrote(version);
    const index = this.#reference.indexOfSetting(value);
    if (index === undefined || index > Number(version)) {
      this.#fail('an answered write is committed', `value ${value}, answered at ${version}, is at ${index}`);
    }
  }

  read(begin: number, version: bigint, what: string): void {
    this.#world.counts.add('linearizable reads');
    if (Number(version) < begin) {
      this.#fail(
        'a read covers every write before it',
        `${what} answers version ${version}; ${begin} was answered before`,
      );
    }
  }

  #fail(name: string, text: string): void {
    this.#world.fail('safety', name, text);
  }
}
