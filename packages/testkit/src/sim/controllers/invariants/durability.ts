/** What a disk owes after a crash: what was durable is there; what was under way is there as a whole, or not at all. */
import type { LogIndex } from '@fleetmq/shared';
import type { Reference } from '../reference.ts';
import type { World } from '../world.ts';
import { nameOf, type Observed, type Storage } from './observed.ts';

export class Durability {
  readonly #world: World;
  readonly #reference: Reference;

  constructor(world: World, reference: Reference) {
    this.#world = world;
    this.#reference = reference;
  }

  /** A node starts on the disk of an earlier life. */
  recovered(seen: Observed, old: Storage, storage: Storage): void {
    const before = old.initialState().hardState;
    const after = storage.initialState().hardState;
    const id = nameOf(seen);
    if (after.term < before.term || after.term < seen.spokenTerm) {
      const text = `${id} restarts in term ${after.term}; it was in ${Math.max(before.term, seen.spokenTerm)}`;
      this.#fail('the term never falls', text);
    }
    const isVoteLost = after.term === before.term && before.vote !== 0 && after.vote !== before.vote;
    if (isVoteLost) this.#fail('one vote per term', `${id} restarts with vote ${after.vote}, not ${before.vote}`);
    const lastIndex = old.lastIndex();
    const lastTerm = old.term(lastIndex);
    const isCovered = storage.currentSnapshot().index >= lastIndex;
    if (seen.writing === undefined && !isCovered && storage.term(lastIndex) !== lastTerm) {
      const text = `${id} had entry ${lastIndex} of term ${lastTerm}, and has ${storage.term(lastIndex)}`;
      this.#fail('what was durable survives a crash', text);
    }
    this.#checkCommitted(seen, old, storage);
  }

  #checkCommitted(seen: Observed, old: Storage, storage: Storage): void {
    const index = Math.min(this.#reference.appliedIndex, old.lastIndex()) as LogIndex;
    if (old.term(index) !== this.#reference.termAt(index) || storage.currentSnapshot().index >= index) return;
    if (storage.term(index) !== this.#reference.termAt(index)) {
      this.#fail('what was durable survives a crash', `${nameOf(seen)} lost committed entry ${index}`);
    }
  }

  #fail(name: string, text: string): void {
    this.#world.fail('safety', name, text);
  }
}
