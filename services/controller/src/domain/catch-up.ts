/**
 * Whether a learner is near enough to the log's end to vote. Its replication is cut into rounds: a round ends when the
 * learner has everything that the log had when the round began. A round shorter than an election timeout means that a
 * commit which waits for this member waits less than that, so the quorum loses nothing by counting on it.
 * Source: Ongaro, dissertation (2014), section 4.2.1.
 */
export interface CatchUpRound {
  /** Last index of the log when the round began. */
  readonly target: number;
  readonly startedAtMs: number;
}

export interface LearnerState {
  readonly matchIndex: number;
  readonly isActive: boolean;
  readonly lastIndex: number;
  readonly nowMs: number;
}

export type CatchUpVerdict = { readonly kind: 'ready' } | { readonly kind: 'wait'; readonly round: CatchUpRound };

/** To be asked again and again, each time with the round that the last answer gave. */
export function judgeLearner(
  round: CatchUpRound | undefined,
  { matchIndex, isActive, lastIndex, nowMs }: LearnerState,
  roundMaxMs: number,
): CatchUpVerdict {
  const next: CatchUpRound = { target: lastIndex, startedAtMs: nowMs };
  if (round === undefined) return { kind: 'wait', round: next };
  if (matchIndex < round.target) return { kind: 'wait', round };
  const isShort = nowMs - round.startedAtMs <= roundMaxMs;
  return isShort && isActive ? { kind: 'ready' } : { kind: 'wait', round: next };
}
