/**
 * The replicated log: logs match, a leader commits by counting entries of its own term alone, followers acknowledge what is
 * durable, commit and applied index never fall, and what is committed is durable on a majority.
 *
 * A majority is one of the configuration that its leader went by: the newest one at or before the entry, or the one before
 * that, if the leader had not applied the change when it appended the entry. Both are right, as their majorities intersect.
 * What counts are the disks of that configuration, those that are down or gone included.
 * Source: Ongaro, dissertation (2014), figure 3.2 and section 4.1.
 */
import type { ControllerNode, StorageWrite } from '@fleetmq/controller/sim';
import type { AppendEntriesRequest, AppendEntriesResponse } from '@fleetmq/gen/controller/raft';
import type { Entry } from '@fleetmq/raft';
import type { LogIndex } from '@fleetmq/shared';
import { type Configuration, describeConfState } from '../configurations.ts';
import { isQuorum } from '../quorums.ts';
import type { Reference } from '../reference.ts';
import type { World } from '../world.ts';
import { hasEntry, nameOf, type Observed, type ObservedDisks, type Storage } from './observed.ts';

export class Replication {
  readonly #world: World;
  readonly #reference: Reference;
  readonly #disks: ObservedDisks;
  /** (term, index) -> the entry's content, and the term of the one before. */
  readonly #entries = new Map<string, { readonly data: Uint8Array; readonly previousTerm: number | undefined }>();
  /** (term, index) -> position of the configuration that its leader went by. */
  readonly #appendedUnder = new Map<string, number>();

  /** The places at which a log has begun, the newest last. */
  readonly #begins = new WeakMap<Storage, { readonly firstIndex: number; readonly sinceMs: number }[]>();

  /** Where the log ended before entries of a later leader, up to this term, took the place of its end. */
  readonly #cuts = new WeakMap<Storage, { readonly term: number; readonly end: number }[]>();

  constructor(world: World, reference: Reference, disks: ObservedDisks) {
    this.#world = world;
    this.#reference = reference;
    this.#disks = disks;
  }

  appended(seen: Observed, { heartbeat, leaderCommit }: AppendEntriesRequest, term: number): void {
    const commit = Number(leaderCommit);
    if (heartbeat || commit <= seen.electedAtCommit || !seen.leads) return;
    const commitTerm = seen.storage.term(commit as LogIndex);
    if (commitTerm !== undefined && commitTerm !== term) {
      const text = `${nameOf(seen)} leads term ${term} and commits ${commit} of term ${commitTerm}`;
      this.#fail('a leader commits by counting entries of its own term alone', text);
    }
  }

  acknowledged(seen: Observed, { term, success, heartbeat, matchIndex, nextIndex }: AppendEntriesResponse): void {
    if (heartbeat) return;
    const firstIndex = this.#firstIndexOf(seen.storage);
    if (!success && Number(nextIndex) < firstIndex) {
      const text = `${nameOf(seen)} asks for ${nextIndex}, and its log begins at ${firstIndex}`;
      this.#fail('a follower asks for nothing that it has given up', text);
    }
    if (!success) return;
    if (Number(matchIndex) > this.#durableEnd(seen.storage, Number(term))) {
      const text = `${nameOf(seen)} acknowledges ${matchIndex}, its log ends at ${seen.storage.lastIndex()}`;
      this.#fail('entries are durable before they are acknowledged', text);
    }
  }

  /**
   * What an answer of this term may acknowledge. An entry and what a later leader puts in its place may become durable
   * together: the answers to both leave then. The first is as true as if the disk had been faster: it is of a term that was
   * over when the later leader got this node's vote, and it counts in that term only.
   */
  #durableEnd(storage: Storage, term: number): number {
    const cuts = (this.#cuts.get(storage) ?? []).filter((cut) => term < cut.term);
    return Math.max(storage.lastIndex(), ...cuts.map(({ end }) => end));
  }

  /** Writes have become durable together, on a log that ended at `end`. */
  persisted(storage: Storage, writes: readonly StorageWrite[], end: number): void {
    let last = end;
    for (const { entries, snapshot } of writes) {
      const [first, newest] = [entries[0], entries[entries.length - 1]];
      if (first !== undefined && newest !== undefined && first.index <= last) {
        const cuts = this.#cuts.get(storage) ?? [];
        this.#cuts.set(storage, cuts);
        cuts.push({ term: newest.term, end: last });
      }
      last = newest?.index ?? snapshot?.index ?? last;
    }
  }

  /** Where the log began an election timeout ago, or later: answers to what came before a snapshot may leave after it. */
  #firstIndexOf(storage: Storage): number {
    const nowMs = this.#world.scheduler.time.nowMs;
    const firstIndex = storage.firstIndex();
    const begins = this.#begins.get(storage) ?? [];
    this.#begins.set(storage, begins);
    if (begins.at(-1)?.firstIndex !== firstIndex) begins.push({ firstIndex, sinceMs: nowMs });
    while ((begins[1]?.sinceMs ?? nowMs) <= nowMs - this.#world.seed.electionMs) begins.shift();
    return begins[0]?.firstIndex ?? firstIndex;
  }

  lookAtCommit(seen: Observed, node: ControllerNode): void {
    const { commit, lastIndex } = node.driver.status();
    if (commit < seen.commit) this.#fail('commit never falls', `${nameOf(seen)}: ${commit} after ${seen.commit}`);
    if (commit > lastIndex) this.#fail('commit is within the log', `${nameOf(seen)}: ${commit} of ${lastIndex}`);
    seen.commit = commit;
    this.#firstIndexOf(seen.storage);
  }

  /** The state machine went on, by an entry or a snapshot. */
  moved(seen: Observed, node: ControllerNode): void {
    const { appliedIndex } = node.stateMachine;
    if (appliedIndex <= seen.appliedIndex) {
      this.#fail('the applied index rises', `${nameOf(seen)}: ${appliedIndex} after ${seen.appliedIndex}`);
    }
    seen.appliedIndex = appliedIndex;
  }

  /** A leader has begun to write this entry of its own term. */
  appendedByLeader(node: ControllerNode, { index, term }: Entry): void {
    const { configurations } = this.#reference;
    const key = entryKey(term, index);
    if (!this.#appendedUnder.has(key)) {
      this.#appendedUnder.set(key, configurations.positionAt(node.stateMachine.appliedIndex));
    }
  }

  /** `term`: of the node that first knows it. */
  committed(entry: Entry, term: number): void {
    const { configurations } = this.#reference;
    const newest = configurations.positionAt(entry.index - 1);
    const isOfTerm = entry.term === term;
    const known = isOfTerm ? this.#appendedUnder.get(entryKey(entry.term, entry.index)) : undefined;
    for (let position = newest; position >= (known ?? newest - 1); position--) {
      const configuration = configurations.get(position);
      if (configuration !== undefined && this.#isDurable(entry, configuration)) return;
    }
    const { confState } = configurations.get(newest) as Configuration;
    const text = `entry ${entry.index} of term ${entry.term} is on ${this.#holders(entry)}, not on a majority of ${describeConfState(confState)}`;
    this.#fail('committed is durable on a majority', text);
  }

  #isDurable(entry: Entry, configuration: Configuration): boolean {
    return isQuorum(configuration.confState, (id) => {
      const holder = this.#disks.holderOf(id, configuration);
      return holder !== undefined && hasEntry(holder.storage, entry);
    });
  }

  #holders(entry: Entry): string {
    const holders = this.#disks.all.filter(({ storage }) => hasEntry(storage, entry));
    return holders.map(nameOf).join(', ') || 'no disk';
  }

  /** Log matching: an entry's index and term name its content and, through the term before it, all that precedes it. */
  wrote(seen: Observed, storage: Storage, { entries }: StorageWrite, isLast: boolean): void {
    for (const [position, entry] of entries.entries()) {
      const before = entries[position - 1]?.term;
      const previousTerm = before ?? (isLast ? storage.term((entry.index - 1) as LogIndex) : undefined);
      this.#checkMatch(seen, entry, previousTerm);
    }
    const lastIndex = storage.lastIndex();
    const last = entries[entries.length - 1];
    if (isLast && last !== undefined && lastIndex !== last.index) {
      const text = `${nameOf(seen)} wrote up to ${last.index}, its log ends at ${lastIndex}`;
      this.#fail('a conflict cuts the log', text);
    }
  }

  #checkMatch(seen: Observed, { index, term, data }: Entry, previousTerm: number | undefined): void {
    const known = this.#entries.get(entryKey(term, index));
    if (known === undefined) {
      this.#entries.set(entryKey(term, index), { data, previousTerm });
      return;
    }
    const isSame =
      known.data.length === data.length &&
      known.data.every((byte, at) => byte === data[at]) &&
      (previousTerm === undefined || known.previousTerm === undefined || known.previousTerm === previousTerm);
    if (!isSame) this.#fail('log matching', `${nameOf(seen)} has another entry (${index}, term ${term})`);
  }

  #fail(name: string, text: string): void {
    this.#world.fail('safety', name, text);
  }
}

function entryKey(term: number, index: number): string {
  return `${term} ${index}`;
}
