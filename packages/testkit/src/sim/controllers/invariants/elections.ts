/**
 * Elections: one leader per term, one vote per term, terms that rise only after a majority of pre-votes, leaders that have
 * everything that is committed; and that no message leaves under a term or a vote that a crash could take back (P24).
 * Source: Ongaro, dissertation (2014), figure 3.2 and section 9.6.
 */
import type { ControllerNode } from '@fleetmq/controller/sim';
import type { VoteRequest, VoteResponse } from '@fleetmq/gen/controller/raft';
import type { LogIndex } from '@fleetmq/shared';
import type { Reference } from '../reference.ts';
import type { World } from '../world.ts';
import { hardStateOf, type Observed, quorumOf } from './observed.ts';

export class Elections {
  readonly #world: World;
  readonly #reference: Reference;
  readonly #observed: readonly Observed[];
  readonly #leaders = new Map<number, number>();
  readonly #votes = new Map<string, number>();
  /** Positive pre-votes that reached a node, by term. */
  readonly #preVotes = new Map<string, Set<number>>();
  /** By index: the term of the node that first knew it to be committed. */
  readonly #knownInTerm: number[] = [];

  constructor(world: World, reference: Reference, observed: readonly Observed[]) {
    this.#world = world;
    this.#reference = reference;
    this.#observed = observed;
  }

  askedForVote(seen: Observed, { term, leadershipTransfer }: VoteRequest): void {
    const termNumber = this.spoke(seen, term);
    this.#voted(seen, termNumber, seen.id);
    const { size } = this.#preVotesOf(seen.id, term);
    const quorum = quorumOf(this.#observed.length);
    if (!leadershipTransfer && size + 1 < quorum) {
      this.#fail('the term rises only after a majority of pre-votes', `controller ${seen.id} asks in term ${term}`);
    }
  }

  answeredVote(seen: Observed, candidate: number, { term, voteGranted }: VoteResponse): void {
    const termNumber = this.spoke(seen, term);
    if (voteGranted) this.#voted(seen, termNumber, candidate);
  }

  answeredPreVote(seen: Observed, candidate: number, { term, voteGranted }: VoteResponse): void {
    if (voteGranted) this.#preVotesOf(candidate, term).add(seen.id);
  }

  /** P24: no message leaves under a term that a crash could take back. */
  spoke(seen: Observed, term: bigint): number {
    const number = Number(term);
    const state = hardStateOf(seen);
    if (state !== undefined && state.term < number) {
      this.#fail('a term is durable before it is told', `controller ${seen.id}: ${number}, durable ${state.term}`);
    }
    if (number > seen.spokenTerm) seen.spokenTerm = number;
    return number;
  }

  leads(id: number, term: number): void {
    const before = this.#leaders.get(term);
    if (before === id) return;
    if (before !== undefined) this.#fail('one leader per term', `controllers ${before} and ${id} lead term ${term}`);
    this.#leaders.set(term, id);
    this.#world.counts.add('terms with a leader');
  }

  /** The first node to apply the entry at this index is in this term. */
  committed(index: number, term: number): void {
    this.#knownInTerm[index] = term;
  }

  changedRole(seen: Observed, node: ControllerNode, leads: boolean): void {
    seen.leads = leads;
    const { term } = node.driver.leadership;
    this.#world.trace.note(leads ? 'leads' : 'steps down', [seen.id, term]);
    if (!leads) return;
    this.#world.counts.add('elections won');
    this.leads(seen.id, term);
    seen.electedAtCommit = node.driver.status().commit;
    this.#checkComplete(seen, node, term);
  }

  /** One that was held up in its election may be behind later leaders by now; it owes what was committed before its term. */
  #checkComplete(seen: Observed, { storage }: ControllerNode, term: number): void {
    let index = this.#reference.appliedIndex;
    while ((this.#knownInTerm[index] ?? 0) >= term) index--;
    if (storage.currentSnapshot().index >= index) return;
    if (storage.term(index as LogIndex) !== this.#reference.termAt(index)) {
      const text = `controller ${seen.id} leads term ${term} without committed entry ${index}`;
      this.#fail('a leader has every committed entry', text);
    }
  }

  #voted(seen: Observed, term: number, candidate: number): void {
    const key = `${term} ${seen.id}`;
    const before = this.#votes.get(key);
    if (before !== undefined && before !== candidate) {
      this.#fail('one vote per term', `controller ${seen.id} votes for ${before} and ${candidate} in term ${term}`);
    }
    this.#votes.set(key, candidate);
    const state = hardStateOf(seen);
    if (state !== undefined && (state.term < term || (state.term === term && state.vote !== candidate))) {
      const text = `controller ${seen.id}, term ${term}: ${JSON.stringify(state)}`;
      this.#fail('a vote is durable before it is told', text);
    }
  }

  #preVotesOf(id: number, term: bigint): Set<number> {
    const key = `${term} ${id}`;
    let voters = this.#preVotes.get(key);
    if (voters === undefined) {
      voters = new Set();
      this.#preVotes.set(key, voters);
    }
    return voters;
  }

  #fail(name: string, text: string): void {
    this.#world.fail('safety', name, text);
  }
}
