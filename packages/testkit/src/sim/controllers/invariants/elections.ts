/**
 * Elections: one leader per term, one vote per term and disk, terms that rise only after a majority of pre-votes, leaders that
 * have the votes of a majority and everything that is committed; and that no message leaves under a term or a vote that a
 * crash could take back (P24). A majority is one of the configuration that the node goes by, in both halves of a joint one.
 * Source: Ongaro, dissertation (2014), figure 3.2 and sections 4.2, 9.6.
 */
import type { ControllerNode } from '@fleetmq/controller/sim';
import type { VoteRequest, VoteResponse } from '@fleetmq/gen/controller/raft';
import type { LogIndex } from '@fleetmq/shared';
import { isQuorum } from '../quorums.ts';
import type { Reference } from '../reference.ts';
import type { World } from '../world.ts';
import { hardStateOf, nameOf, type Observed, type ObservedDisks } from './observed.ts';

export class Elections {
  readonly #world: World;
  readonly #reference: Reference;
  readonly #disks: ObservedDisks;
  readonly #leaders = new Map<number, number>();
  /** (term, disk) -> candidate. */
  readonly #votes = new Map<string, number>();
  /** Disks whose positive pre-vote was sent, by term and candidate. */
  readonly #preVotes = new Map<string, Set<string>>();
  /** By index: the term of the node that first knew it to be committed. */
  readonly #knownInTerm: number[] = [];

  constructor(world: World, reference: Reference, disks: ObservedDisks) {
    this.#world = world;
    this.#reference = reference;
    this.#disks = disks;
  }

  askedForVote(seen: Observed, { term, leadershipTransfer }: VoteRequest): void {
    const termNumber = this.spoke(seen, term);
    this.#voted(seen, termNumber, seen.id);
    if (leadershipTransfer || seen.node === undefined) return;
    const granted = this.#preVotesOf(seen.id, term).add(seen.diskId);
    if (this.#isMajority(seen.node, (diskId) => granted.has(diskId))) return;
    const text = `${nameOf(seen)} asks in term ${term} with pre-votes of ${granted.size}`;
    this.#fail('the term rises only after a majority of pre-votes', text);
  }

  answeredVote(seen: Observed, candidate: number, { term, voteGranted }: VoteResponse): void {
    const termNumber = this.spoke(seen, term);
    if (voteGranted) this.#voted(seen, termNumber, candidate);
  }

  answeredPreVote(seen: Observed, candidate: number, { term, voteGranted }: VoteResponse): void {
    if (voteGranted) this.#preVotesOf(candidate, term).add(seen.diskId);
  }

  /** P24: no message leaves under a term that a crash could take back. */
  spoke(seen: Observed, term: bigint): number {
    const number = Number(term);
    const durable = hardStateOf(seen).term;
    if (durable < number) {
      this.#fail('a term is durable before it is told', `${nameOf(seen)}: ${number}, durable ${durable}`);
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

  /** What was known to be committed in an earlier term than this one ends here. */
  knownBefore(term: number): number {
    let index = this.#reference.appliedIndex;
    while ((this.#knownInTerm[index] ?? 0) >= term) index--;
    return index;
  }

  elected(seen: Observed, node: ControllerNode): void {
    const { term } = node.driver.leadership;
    this.#world.counts.add('elections won');
    this.leads(seen.id, term);
    seen.electedAtCommit = node.driver.status().commit;
    this.#checkVotes(seen, node, term);
    this.#checkComplete(seen, node, term);
  }

  #checkVotes(seen: Observed, node: ControllerNode, term: number): void {
    const own = hardStateOf(seen);
    // One that decides alone asks nobody.
    if (own.term === term && own.vote === seen.id) this.#voted(seen, term, seen.id);
    if (this.#isMajority(node, (diskId) => this.#votes.get(voteKey(term, diskId)) === seen.id)) return;
    this.#fail('a leader has the votes of a majority', `${nameOf(seen)} leads term ${term}`);
  }

  /** One that was held up in its election may be behind later leaders by now; it owes what was committed before its term. */
  #checkComplete(seen: Observed, { storage }: ControllerNode, term: number): void {
    const index = this.knownBefore(term);
    if (storage.currentSnapshot().index >= index) return;
    if (storage.term(index as LogIndex) !== this.#reference.termAt(index)) {
      const text = `${nameOf(seen)} leads term ${term} without committed entry ${index}`;
      this.#fail('a leader has every committed entry', text);
    }
  }

  /** Of the disks that count in the configuration that the node goes by. */
  #isMajority({ driver, stateMachine }: ControllerNode, holds: (diskId: string) => boolean): boolean {
    const { membership } = stateMachine;
    return isQuorum(driver.confState, (id) => {
      const holder = this.#disks.holderOf(id, { membership });
      return holder !== undefined && holds(holder.diskId);
    });
  }

  #voted(seen: Observed, term: number, candidate: number): void {
    const key = voteKey(term, seen.diskId);
    const before = this.#votes.get(key);
    if (before !== undefined && before !== candidate) {
      this.#fail('one vote per term', `${nameOf(seen)} votes for ${before} and ${candidate} in term ${term}`);
    }
    this.#votes.set(key, candidate);
    const state = hardStateOf(seen);
    if (state.term < term || (state.term === term && state.vote !== candidate)) {
      this.#fail('a vote is durable before it is told', `${nameOf(seen)}, term ${term}: ${JSON.stringify(state)}`);
    }
  }

  #preVotesOf(id: number, term: bigint): Set<string> {
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

function voteKey(term: number, diskId: string): string {
  return `${term} ${diskId}`;
}
