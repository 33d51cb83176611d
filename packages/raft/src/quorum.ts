/**
 * Majorities. A majority configuration is a set of voters; a joint configuration is two of them, and a decision needs a
 * majority of both (dissertation, section 4.3). An empty majority agrees to everything, so that a joint configuration
 * whose outgoing half is empty behaves like its incoming half alone.
 * Pure functions of their arguments; used for commit indexes, elections, check-quorum and confirmed reads alike.
 */
import type { NodeId } from './messages.ts';

export type MajorityConfig = ReadonlySet<NodeId>;

export interface JointConfig {
  readonly incoming: MajorityConfig;
  /** Empty unless a change of members is under way. */
  readonly outgoing: MajorityConfig;
}

export type VoteResult = 'VotePending' | 'VoteLost' | 'VoteWon';

/** What a voter has acknowledged; undefined when it has not reported. */
export type AckedLookup = (id: NodeId) => number | undefined;

/** The largest number that a majority has acknowledged; Infinity for no voters at all. */
export function majorityCommitted(config: MajorityConfig, acked: AckedLookup): number {
  if (config.size === 0) return Number.POSITIVE_INFINITY;
  const numbers: number[] = [];
  for (const id of config) numbers.push(acked(id) ?? 0);
  numbers.sort((left, right) => left - right);
  // The (n/2+1)-th from the top: that many voters have it or more.
  return numbers[numbers.length - (Math.floor(numbers.length / 2) + 1)] as number;
}

export function jointCommitted(config: JointConfig, acked: AckedLookup): number {
  return Math.min(majorityCommitted(config.incoming, acked), majorityCommitted(config.outgoing, acked));
}

/** Won when a majority said yes, lost when it no longer can, else pending. Votes of strangers do not count. */
export function majorityVote(config: MajorityConfig, votes: ReadonlyMap<NodeId, boolean>): VoteResult {
  if (config.size === 0) return 'VoteWon';
  let granted = 0;
  let missing = 0;
  for (const id of config) {
    const vote = votes.get(id);
    if (vote === undefined) missing++;
    else if (vote) granted++;
  }
  const quorum = Math.floor(config.size / 2) + 1;
  if (granted >= quorum) return 'VoteWon';
  return granted + missing >= quorum ? 'VotePending' : 'VoteLost';
}

export function jointVote(config: JointConfig, votes: ReadonlyMap<NodeId, boolean>): VoteResult {
  const incoming = majorityVote(config.incoming, votes);
  const outgoing = majorityVote(config.outgoing, votes);
  if (incoming === outgoing) return incoming;
  if (incoming === 'VoteLost' || outgoing === 'VoteLost') return 'VoteLost';
  return 'VotePending';
}

/** All voters of both halves, in ascending order. */
export function jointVoters(config: JointConfig): NodeId[] {
  return sortedIds(new Set([...config.incoming, ...config.outgoing]));
}

export function isVoter(config: JointConfig, id: NodeId): boolean {
  return config.incoming.has(id) || config.outgoing.has(id);
}

export function sortedIds(ids: Iterable<NodeId>): NodeId[] {
  return [...ids].sort((left, right) => left - right);
}
