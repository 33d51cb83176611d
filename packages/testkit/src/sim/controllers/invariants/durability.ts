/** What a disk owes after a crash: what was durable is there; what was under way is there as a whole, or not at all. */
import type { EntryId } from '@fleetmq/raft';
import type { LogIndex } from '@fleetmq/shared';
import type { Reference } from '../reference.ts';
import type { World } from '../world.ts';
import { type EarlierLife, nameOf, type Observed, type Storage } from './observed.ts';

export class Durability {
  readonly #world: World;
  readonly #reference: Reference;

  constructor(world: World, reference: Reference) {
    this.#world = world;
    this.#reference = reference;
  }

  /** A node starts on the disk of an earlier life. */
  recovered(seen: Observed, { storage: old, writing }: EarlierLife, storage: Storage): void {
    const before = old.initialState().hardState;
    const after = storage.initialState().hardState;
    const id = nameOf(seen);
    if (after.term < before.term || after.term < seen.spokenTerm) {
      const text = `${id} restarts in term ${after.term}; it was in ${Math.max(before.term, seen.spokenTerm)}`;
      this.#fail('the term never falls', text);
    }
    const isVoteLost = after.term === before.term && before.vote !== 0 && after.vote !== before.vote;
    if (isVoteLost) this.#fail('one vote per term', `${id} restarts with vote ${after.vote}, not ${before.vote}`);
    if (storage.currentSnapshot().index < old.lastIndex()) this.#checkEnd(seen, endsOf(old, writing), storage);
    this.#checkCommitted(seen, old, storage);
  }

  #checkEnd(seen: Observed, ends: readonly EntryId[], storage: Storage): void {
    if (ends.length > 1) this.#world.counts.add('crashes in a write to the log');
    const last = { index: storage.lastIndex(), term: storage.term(storage.lastIndex()) };
    if (ends.some(({ index, term }) => last.index === index && last.term === term)) return;
    const had = ends.map(({ index, term }) => `${index} of term ${term}`).join(', or ');
    const text = `the log of ${nameOf(seen)} ended with ${had}; it ends with ${last.index} of term ${last.term}`;
    this.#fail('what was durable survives a crash', text);
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

/** Where the log may end after a crash: as it was, or with all of what was being written. */
function endsOf(old: Storage, writing: EarlierLife['writing']): readonly EntryId[] {
  const index = old.lastIndex();
  const before = { index, term: old.term(index) ?? old.currentSnapshot().term };
  const write = writing?.findLast(({ entries, snapshot }) => entries.length > 0 || snapshot !== undefined);
  const after = write?.entries[write.entries.length - 1] ?? write?.snapshot;
  return after === undefined ? [before] : [before, after];
}
