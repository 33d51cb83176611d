/**
 * The configurations that were agreed on, one after the other: what each committed change makes of the one before, by rules
 * written down here a second time. A configuration is in force from the entry that brings it until the next one; a node goes
 * by it once it has applied that entry.
 */
import type { StateMachine } from '@fleetmq/controller/sim';
import {
  asJointChange,
  type ConfChange,
  type ConfState,
  emptyConfState,
  entersJoint,
  leavesJoint,
} from '@fleetmq/raft';

export type Membership = StateMachine['membership'];

export interface Configuration {
  /** Of the entry that brought it. */
  readonly index: number;
  readonly confState: ConfState;
  /** Addresses, disks, and who is to be promoted, as of this entry. */
  readonly membership: Membership;
}

export class Configurations {
  readonly #chain: Configuration[];

  constructor(voters: readonly number[], membership: Membership, index: number) {
    this.#chain = [{ index, confState: { ...emptyConfState, voters }, membership }];
  }

  get newest(): Configuration {
    return this.#chain[this.#chain.length - 1] as Configuration;
  }

  get length(): number {
    return this.#chain.length;
  }

  /** A change is committed. `membership`: as of after it. */
  add(index: number, change: ConfChange, membership: Membership): Configuration {
    const next = { index, confState: nextConfState(this.newest.confState, change), membership };
    this.#chain.push(next);
    return next;
  }

  /** By position, from 0. */
  get(position: number): Configuration | undefined {
    return this.#chain[position];
  }

  /** Of the newest configuration at or before this entry of the log. */
  positionAt(index: number): number {
    let position = this.#chain.length - 1;
    while (position > 0 && (this.#chain[position] as Configuration).index > index) position--;
    return position;
  }

  at(index: number): Configuration {
    return this.#chain[this.positionAt(index)] as Configuration;
  }

  /** That of `index`, and all later ones. */
  since(index: number): readonly Configuration[] {
    return this.#chain.slice(this.positionAt(index));
  }
}

export function isMemberOf({ confState }: Pick<Configuration, 'confState'>, controllerId: number): boolean {
  return membersOf(confState).includes(controllerId);
}

export function membersOf({ voters, votersOutgoing, learners, learnersNext }: ConfState): readonly number[] {
  return sorted(new Set([...voters, ...votersOutgoing, ...learners, ...learnersNext]));
}

/** Dissertation, sections 4.1 and 4.3; the forms of a change are those of packages/raft/src/conf-change.ts. */
export function nextConfState(before: ConfState, change: ConfChange): ConfState {
  const joint = asJointChange(change);
  if (leavesJoint(joint)) {
    const learners = sorted(new Set([...before.learners, ...before.learnersNext]));
    return { ...emptyConfState, voters: before.voters, learners };
  }
  const entering = entersJoint(joint);
  const outgoing = new Set(entering === undefined ? [] : before.voters);
  const voters = new Set(before.voters);
  const learners = new Set(before.learners);
  const learnersNext = new Set(before.learnersNext);
  for (const { type, nodeId } of joint.changes) {
    if (nodeId === 0 || type === 'ConfChangeUpdateNode') continue;
    voters.delete(nodeId);
    learners.delete(nodeId);
    learnersNext.delete(nodeId);
    if (type === 'ConfChangeAddNode') voters.add(nodeId);
    // Nobody is voter and learner at once: one that still votes in the outgoing half waits.
    else if (type === 'ConfChangeAddLearnerNode') (outgoing.has(nodeId) ? learnersNext : learners).add(nodeId);
  }
  return {
    voters: sorted(voters),
    learners: sorted(learners),
    votersOutgoing: sorted(outgoing),
    learnersNext: sorted(learnersNext),
    autoLeave: entering?.autoLeave ?? false,
  };
}

export function isSameConfState(left: ConfState, right: ConfState): boolean {
  return describeConfState(left) === describeConfState(right);
}

/** `1 2 3`, and `1 2 + 1 3 (learners 4)` for what is joint or has learners. */
export function describeConfState({ voters, votersOutgoing, learners, learnersNext, autoLeave }: ConfState): string {
  const outgoing = votersOutgoing.length === 0 ? '' : ` + ${sorted(votersOutgoing).join(' ')}`;
  const learning = learners.length === 0 ? '' : ` (learners ${sorted(learners).join(' ')})`;
  const later = learnersNext.length === 0 ? '' : ` (then learners ${sorted(learnersNext).join(' ')})`;
  return `${sorted(voters).join(' ')}${outgoing}${learning}${later}${autoLeave ? ' for a moment' : ''}`;
}

function sorted(ids: Iterable<number>): readonly number[] {
  return [...ids].sort((left, right) => left - right);
}
