/**
 * The replicated log: logs match, a leader commits by counting entries of its own term alone, followers acknowledge what is
 * durable, commit and applied index never fall, and what is committed is durable on a majority.
 * Source: Ongaro, dissertation (2014), figure 3.2.
 */
import type { ControllerNode, StorageWrite } from '@fleetmq/controller/sim';
import type { AppendEntriesRequest, AppendEntriesResponse } from '@fleetmq/gen/controller/raft';
import type { Entry } from '@fleetmq/raft';
import type { LogIndex } from '@fleetmq/shared';
import type { World } from '../world.ts';
import { type Observed, quorumOf, type Storage } from './observed.ts';

export class Replication {
  readonly #world: World;
  readonly #observed: readonly Observed[];
  /** (term, index) -> the entry's content, and the term of the one before. */
  readonly #entries = new Map<string, { readonly data: Uint8Array; readonly previousTerm: number | undefined }>();

  constructor(world: World, observed: readonly Observed[]) {
    this.#world = world;
    this.#observed = observed;
  }

  appended(seen: Observed, { heartbeat, leaderCommit }: AppendEntriesRequest, term: number): void {
    const commit = Number(leaderCommit);
    if (heartbeat || commit <= seen.electedAtCommit || !seen.leads) return;
    const commitTerm = seen.storage?.term(commit as LogIndex);
    if (commitTerm !== undefined && commitTerm !== term) {
      const text = `controller ${seen.id} leads term ${term} and commits ${commit} of term ${commitTerm}`;
      this.#fail('a leader commits by counting entries of its own term alone', text);
    }
  }

  acknowledged(seen: Observed, { success, heartbeat, matchIndex }: AppendEntriesResponse): void {
    if (heartbeat || !success || seen.storage === undefined) return;
    if (Number(matchIndex) > seen.storage.lastIndex()) {
      const text = `controller ${seen.id} acknowledges ${matchIndex}, its log ends at ${seen.storage.lastIndex()}`;
      this.#fail('entries are durable before they are acknowledged', text);
    }
  }

  lookAtCommit(seen: Observed, node: ControllerNode): void {
    const { commit, lastIndex } = node.driver.status();
    if (commit < seen.commit) this.#fail('commit never falls', `controller ${seen.id}: ${commit} after ${seen.commit}`);
    if (commit > lastIndex) this.#fail('commit is within the log', `controller ${seen.id}: ${commit} of ${lastIndex}`);
    seen.commit = commit;
  }

  /** The state machine went on, by an entry or a snapshot. */
  moved(seen: Observed, node: ControllerNode): void {
    const { appliedIndex } = node.stateMachine;
    if (appliedIndex <= seen.appliedIndex) {
      this.#fail('the applied index rises', `controller ${seen.id}: ${appliedIndex} after ${seen.appliedIndex}`);
    }
    seen.appliedIndex = appliedIndex;
  }

  /** Committed means durable on a majority, those that are down included. */
  committed(entry: Entry): void {
    let count = 0;
    for (const seen of this.#observed) {
      const storage = seen.wipedStorage ?? seen.storage;
      if (storage === undefined) continue;
      if (storage.currentSnapshot().index >= entry.index || storage.term(entry.index) === entry.term) count++;
    }
    if (count < quorumOf(this.#observed.length)) {
      const text = `entry ${entry.index} of term ${entry.term} is on ${count} disks`;
      this.#fail('committed is durable on a majority', text);
    }
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
      const text = `controller ${seen.id} wrote up to ${last.index}, its log ends at ${lastIndex}`;
      this.#fail('a conflict cuts the log', text);
    }
  }

  #checkMatch(seen: Observed, { index, term, data }: Entry, previousTerm: number | undefined): void {
    const known = this.#entries.get(`${term} ${index}`);
    if (known === undefined) {
      this.#entries.set(`${term} ${index}`, { data, previousTerm });
      return;
    }
    const isSame =
      known.data.length === data.length &&
      known.data.every((byte, at) => byte === data[at]) &&
      (previousTerm === undefined || known.previousTerm === undefined || known.previousTerm === previousTerm);
    if (!isSame) this.#fail('log matching', `controller ${seen.id} has another entry (${index}, term ${term})`);
  }

  #fail(name: string, text: string): void {
    this.#world.fail('safety', name, text);
  }
}
