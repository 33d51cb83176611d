/**
 * The in-sync replicas of one partition as its leader sees them: what the controllers hold, and what the leader has asked
 * for without an answer yet. The leader never changes the set by itself: it proposes, and the controllers decide by
 * compare-and-set on (leader epoch, partition epoch) (P10).
 *
 * A proposal whose answer is lost may still take effect. Until the partition epoch moves on, the MAXIMAL set counts: the
 * committed members and those of every proposal that may be on its way (P7, KIP-497). Only the refusal of a proposal that
 * was sent exactly once takes its members out again.
 * Invariants: the leader is in every set; `maximal` contains `committed`; `partitionEpoch` never falls.
 */
import { assert } from '@fleetmq/shared';

export interface IsrProposal {
  /** The whole new set, the leader among it, sorted. */
  readonly members: readonly number[];
  /** The compare of the compare-and-set. */
  readonly partitionEpoch: number;
}

export class IsrState {
  #committed: readonly number[];
  #partitionEpoch: number;
  #pending: IsrProposal | undefined;
  /** Some attempt has no certain outcome: the proposal cannot be taken back by a refusal. */
  #uncertain = false;
  #maximal: readonly number[];

  constructor(committed: readonly number[], partitionEpoch: number) {
    this.#committed = sorted(committed);
    this.#partitionEpoch = partitionEpoch;
    this.#maximal = this.#committed;
  }

  /** As the controllers hold it, as far as it is known here. */
  get committed(): readonly number[] {
    return this.#committed;
  }

  /** Members that a watermark has to wait for. */
  get maximal(): readonly number[] {
    return this.#maximal;
  }

  get partitionEpoch(): number {
    return this.#partitionEpoch;
  }

  /** What has to be sent, again and again, until it is answered. */
  get pending(): IsrProposal | undefined {
    return this.#pending;
  }

  has(brokerId: number): boolean {
    return this.#committed.includes(brokerId);
  }

  /** Makes `members` the set to be asked for; what was asked for before and may still come stays in `maximal`. */
  propose(members: readonly number[]): IsrProposal {
    assert(members.length > 0, 'an empty set of in-sync replicas was proposed');
    const proposal: IsrProposal = { members: sorted(members), partitionEpoch: this.#partitionEpoch };
    this.#pending = proposal;
    this.#maximal = union(this.#maximal, proposal.members);
    return proposal;
  }

  /** The controllers hold this now. False, and nothing changes, when it is no news. */
  commit(members: readonly number[], partitionEpoch: number): boolean {
    if (partitionEpoch <= this.#partitionEpoch) return false;
    this.#committed = sorted(members);
    this.#partitionEpoch = partitionEpoch;
    this.#maximal = this.#committed;
    this.#pending = undefined;
    this.#uncertain = false;
    return true;
  }

  /** An attempt got no answer, or one that does not say what became of it. */
  markUncertain(proposal: IsrProposal): void {
    if (proposal === this.#pending) this.#uncertain = true;
  }

  /** The controllers have refused it. It is dropped if no earlier attempt can still succeed; otherwise it stays pending. */
  refuse(proposal: IsrProposal): void {
    if (proposal !== this.#pending || this.#uncertain) return;
    this.#pending = undefined;
    this.#maximal = this.#committed;
  }
}

function sorted(members: readonly number[]): readonly number[] {
  return [...new Set(members)].sort((left, right) => left - right);
}

function union(left: readonly number[], right: readonly number[]): readonly number[] {
  return right.every((member) => left.includes(member)) ? left : sorted([...left, ...right]);
}
