/**
 * Whether ratios to the bare loop have fallen below those that are committed. Of each figure the best round counts: other work
 * on a shared machine can only take away from a round, so that one good round is proof enough, and a real fall shows in all.
 */
import type { Spread } from './summary.ts';

export interface Baseline {
  readonly at: string;
  readonly machine: string;
  readonly node: string;
  /** To the bare loop, by phase and case: medians. */
  readonly ratios: Readonly<Record<string, number>>;
}

export interface Verdict {
  readonly name: string;
  /** As committed. */
  readonly usual: number;
  /** Undefined when nothing was measured, which is no pass. */
  readonly found: Spread | undefined;
  readonly isGood: boolean;
}

/** A larger fall is none of chance. */
export const fallMax = 0.25;

/** One verdict per committed ratio. */
export function judge(baseline: Baseline, ratios: Readonly<Record<string, Spread>>): readonly Verdict[] {
  return Object.entries(baseline.ratios).map(([name, usual]) => {
    const found = ratios[name];
    return { name, usual, found, isGood: found !== undefined && found.max >= usual * (1 - fallMax) };
  });
}
