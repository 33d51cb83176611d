/**
 * Majorities of a configuration, for the invariants: written down a second time, since a wrong rule of the product would be
 * wrong in the check as well. A joint configuration has two halves, and a decision needs a majority of both (dissertation,
 * section 4.3). A configuration without voters decides nothing.
 */
import type { ConfState } from '@fleetmq/raft';

export type Voters = Pick<ConfState, 'voters' | 'votersOutgoing'>;

export function quorumOf(count: number): number {
  return Math.floor(count / 2) + 1;
}

export function halvesOf({ voters, votersOutgoing }: Voters): readonly (readonly number[])[] {
  return votersOutgoing.length === 0 ? [voters] : [voters, votersOutgoing];
}

export function votersOf(configuration: Voters): readonly number[] {
  return [...new Set(halvesOf(configuration).flat())].sort((left, right) => left - right);
}

/** Whether those of whom `holds` is true can decide. */
export function isQuorum(configuration: Voters, holds: (controllerId: number) => boolean): boolean {
  return halvesOf(configuration).every((half) => {
    return half.length > 0 && half.filter(holds).length >= quorumOf(half.length);
  });
}

/** Whether those of whom `holds` is true keep all others from deciding. */
export function isBlocking(configuration: Voters, holds: (controllerId: number) => boolean): boolean {
  return !isQuorum(configuration, (controllerId) => !holds(controllerId));
}

/** The largest number that a majority reaches, or is above. */
export function reachedByQuorum(configuration: Voters, numberOf: (controllerId: number) => number): number {
  const reached = halvesOf(configuration).map((half) => {
    const numbers = half.map(numberOf).sort((left, right) => right - left);
    return numbers[quorumOf(half.length) - 1] ?? Number.NEGATIVE_INFINITY;
  });
  return Math.min(...reached);
}

/** Whether no two decisions, one of each configuration, can be made by different controllers. */
export function quorumsIntersect(left: Voters, right: Voters): boolean {
  const ids = [...new Set([...votersOf(left), ...votersOf(right)])];
  for (let subset = 0; subset < 2 ** ids.length; subset++) {
    const isIn = (id: number): boolean => ((subset >> ids.indexOf(id)) & 1) === 1;
    if (isQuorum(left, isIn) && isQuorum(right, (id) => !isIn(id))) return false;
  }
  return true;
}
