/**
 * The active configuration together with what is known of each member: progress of its log and, during an election, its
 * vote. Every quorum question of the core is answered here.
 * Invariants: each id of the configuration has a progress, and `progress` lists members in ascending order, so that
 * messages go out in a stable order; learners and voters (of either half) are disjoint.
 */
import type { LogIndex } from '@fleetmq/shared';
import type { ConfState, NodeId } from './messages.ts';
import type { Progress } from './progress.ts';
import { type JointConfig, jointCommitted, jointVote, sortedIds, type VoteResult } from './quorum.ts';

export interface TrackerConfig {
  readonly voters: JointConfig;
  /** The joint configuration is left without being asked for, once it is applied. */
  readonly autoLeave: boolean;
  readonly learners: ReadonlySet<NodeId>;
  /** Voters of the outgoing half that become learners when the joint configuration is left. */
  readonly learnersNext: ReadonlySet<NodeId>;
}

export const emptyConfig: TrackerConfig = {
  voters: { incoming: new Set(), outgoing: new Set() },
  autoLeave: false,
  learners: new Set(),
  learnersNext: new Set(),
};

export type ProgressMap = ReadonlyMap<NodeId, Progress>;

export interface Tally {
  readonly granted: number;
  readonly rejected: number;
  readonly result: VoteResult;
}

export class Tracker {
  #config: TrackerConfig = emptyConfig;
  #progress: ProgressMap = new Map();
  #votes = new Map<NodeId, boolean>();

  get config(): TrackerConfig {
    return this.#config;
  }

  get progress(): ProgressMap {
    return this.#progress;
  }

  switchTo(config: TrackerConfig, progress: ProgressMap): void {
    this.#config = config;
    this.#progress = new Map(sortedIds(progress.keys()).map((id) => [id, progress.get(id) as Progress]));
  }

  /** Replaces every member's progress; the configuration stays. */
  replaceProgress(create: (id: NodeId, isLearner: boolean) => Progress): void {
    this.#progress = new Map([...this.#progress].map(([id, { isLearner }]) => [id, create(id, isLearner)]));
  }

  confState(): ConfState {
    return {
      voters: sortedIds(this.#config.voters.incoming),
      votersOutgoing: sortedIds(this.#config.voters.outgoing),
      learners: sortedIds(this.#config.learners),
      learnersNext: sortedIds(this.#config.learnersNext),
      autoLeave: this.#config.autoLeave,
    };
  }

  /** Whether `id` decides everything alone. */
  isOnlyVoter(id: NodeId): boolean {
    const { incoming, outgoing } = this.#config.voters;
    return incoming.size === 1 && outgoing.size === 0 && incoming.has(id);
  }

  /** The highest index that a quorum has on disk; Infinity without voters. */
  committed(): LogIndex {
    return jointCommitted(this.#config.voters, (id) => this.#progress.get(id)?.match) as LogIndex;
  }

  /** Whether a quorum was heard of since the last check. */
  isQuorumActive(): boolean {
    const votes = new Map<NodeId, boolean>();
    for (const [id, progress] of this.#progress) if (!progress.isLearner) votes.set(id, progress.recentActive);
    return jointVote(this.#config.voters, votes) === 'VoteWon';
  }

  resetVotes(): void {
    this.#votes = new Map();
  }

  /** The first vote of a node counts. */
  recordVote(id: NodeId, granted: boolean): void {
    if (!this.#votes.has(id)) this.#votes.set(id, granted);
  }

  tallyVotes(): Tally {
    let granted = 0;
    let rejected = 0;
    for (const [id, progress] of this.#progress) {
      const vote = progress.isLearner ? undefined : this.#votes.get(id);
      if (vote === true) granted++;
      else if (vote === false) rejected++;
    }
    return { granted, rejected, result: jointVote(this.#config.voters, this.#votes) };
  }
}
