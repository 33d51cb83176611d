/**
 * Changes of the members: one at a time, in a term whose leader has committed an entry of its own, each from a configuration
 * whose majorities intersect with those of the next (dissertation, sections 4.1 and 4.3; the bug of single-server changes that
 * the first of these rules keeps out was published by Ongaro in 2015). A removed disk never comes back, nobody is added or removed unasked,
 * who is promoted has caught up, and every node goes by the configuration that stands in its log.
 */
import type { ControllerNode } from '@fleetmq/controller/sim';
import { asJointChange, type ConfChange, type ConfState, type Entry } from '@fleetmq/raft';
import type { LogIndex } from '@fleetmq/shared';
import { type Configuration, describeConfState, isMemberOf, isSameConfState, membersOf } from '../configurations.ts';
import type { MemberHistory } from '../member-history.ts';
import { quorumsIntersect } from '../quorums.ts';
import type { Reference } from '../reference.ts';
import type { World } from '../world.ts';
import { hasEntry, nameOf, type Observed, type ObservedDisks } from './observed.ts';

export class Members {
  readonly #world: World;
  readonly #reference: Reference;
  readonly #disks: ObservedDisks;
  readonly #history: MemberHistory;
  /** `id disk` of all that were removed. */
  readonly #removed = new Set<string>();
  /** By index: when it was first known to be committed. */
  readonly #committedAtMs: number[] = [];

  constructor(world: World, parts: { reference: Reference; disks: ObservedDisks; history: MemberHistory }) {
    this.#world = world;
    this.#reference = parts.reference;
    this.#disks = parts.disks;
    this.#history = parts.history;
  }

  /** The node starts, has applied a change, installed or made a snapshot. */
  goesBy(seen: Observed, confState: ConfState, index: number): void {
    const expected = this.#reference.configurations.at(index).confState;
    // One that waits to be added has none.
    if (isSameConfState(confState, expected) || index === 0) return;
    const text = `${nameOf(seen)} goes by ${describeConfState(confState)} at ${index}, not by ${describeConfState(expected)}`;
    this.#fail('the configuration is that of the log', text);
  }

  /** A leader has begun to write a change of its own term, behind `before` of the same write. */
  proposed(seen: Observed, node: ControllerNode, entry: Entry, before: readonly Entry[]): void {
    this.#world.counts.add('changes of members proposed');
    const { commit } = node.driver.status();
    const open = [...entriesBehind(node, commit), ...before].find(({ index, type }) => {
      return type !== 'EntryNormal' && index > commit && index < entry.index;
    });
    if (open !== undefined) {
      const text = `${nameOf(seen)} adds ${entry.index} behind ${open.index}, committed is ${commit}`;
      this.#fail('one uncommitted configuration', text);
    }
    // Followers may have been faster than this disk: then the change is committed already.
    if (commit >= entry.index) return;
    const written = before.find(({ index }) => index === commit)?.term;
    const commitTerm = node.storage.term(commit) ?? written ?? this.#reference.termAt(commit);
    if (commitTerm !== entry.term) {
      const text = `${nameOf(seen)} adds ${entry.index} in term ${entry.term}, committed is ${commit} of term ${commitTerm}`;
      this.#fail('a leader commits in its own term before it changes the members', text);
    }
  }

  /**
   * A leader asks its core for this change. A learner that is to vote has what was committed some time ago: its last round of
   * catching up was no longer than an election timeout, and it is looked at with every heartbeat. One that was deposed without
   * knowing it judges by its own log: what its successors alone have is not owed, since its change cannot be committed.
   */
  asked(seen: Observed, node: ControllerNode, change: ConfChange): void {
    const { driver, stateMachine } = node;
    for (const { type, nodeId } of asJointChange(change).changes) {
      if (type !== 'ConfChangeAddNode' || driver.confState.voters.includes(nodeId)) continue;
      this.#world.counts.add('promotions proposed');
      const owed = this.#committedInLogOf(seen, driver.status().term);
      const holder = this.#disks.holderOf(nodeId, stateMachine);
      if (owed === undefined || (holder !== undefined && hasEntry(holder.storage, owed))) continue;
      const text = `${nameOf(seen)} promotes ${nodeId}, which lacks ${owed.index} and ends at ${holder?.storage.lastIndex()}`;
      this.#fail('who is promoted has caught up', text);
    }
  }

  /** The last entry committed some time ago that this leader has: durable, or made in its own term and maybe not durable yet. */
  #committedInLogOf({ storage }: Observed, leaderTerm: number): { index: number; term: number } | undefined {
    const { electionMs, heartbeatMs, clockDrift } = this.#world.seed;
    const waitMs = (electionMs + 2 * heartbeatMs) / (1 - clockDrift);
    const untilMs = this.#world.scheduler.time.nowMs - waitMs;
    for (let index = this.#committedAtMs.findLastIndex((atMs) => atMs < untilMs); index > 0; index--) {
      const term = this.#reference.termAt(index);
      if (term === undefined) return undefined;
      if (term === leaderTerm || hasEntry(storage, { index, term })) return { index, term };
    }
    return undefined;
  }

  /** It goes by what it has applied; of what follows in its log it may have one change alone, or its majority is too old. */
  elected(seen: Observed, node: ControllerNode): void {
    const { appliedIndex } = node.stateMachine;
    const open = entriesBehind(node, appliedIndex).filter(({ type }) => type !== 'EntryNormal');
    if (open.length <= 1) return;
    const text = `${nameOf(seen)} leads by the configuration of ${appliedIndex}, behind which are ${open.map(({ index }) => index).join(' and ')}`;
    this.#fail('a leader has at most one configuration left to apply', text);
  }

  /** An entry is committed. */
  committed({ index, type }: Entry): void {
    this.#committedAtMs[index] = this.#world.scheduler.time.nowMs;
    if (type === 'EntryNormal') return;
    const { configurations } = this.#reference;
    this.#agreed(configurations.get(configurations.length - 2) as Configuration, configurations.newest);
  }

  #agreed(before: Configuration, after: Configuration): void {
    const change = `${describeConfState(before.confState)}, then ${describeConfState(after.confState)}`;
    this.#world.counts.add('configurations agreed on');
    this.#world.trace.note('configuration', [after.index], () => describeConfState(after.confState));
    if (after.confState.votersOutgoing.length > 0) this.#world.counts.add('joint configurations agreed on');
    if (!quorumsIntersect(before.confState, after.confState)) this.#fail('successive quorums intersect', change);
    this.#checkAsked(before, after);
    for (const { controllerId, diskId } of before.membership.members) {
      if (!isMemberOf(after, controllerId)) this.#removed.add(`${controllerId} ${diskId}`);
    }
    for (const { controllerId, diskId } of after.membership.members) {
      if (diskId === '' || !this.#removed.has(`${controllerId} ${diskId}`)) continue;
      this.#fail('a removed disk never counts again', `disk ${diskId} of controller ${controllerId}: ${change}`);
    }
  }

  #checkAsked(before: Configuration, after: Configuration): void {
    const name = 'nobody is added or removed unasked';
    for (const id of membersOf(after.confState)) {
      if (!isMemberOf(before, id) && !this.#history.wasAsked('add', id)) this.#fail(name, `controller ${id} is added`);
    }
    for (const id of membersOf(before.confState)) {
      if (!isMemberOf(after, id) && !this.#history.wasAsked('remove', id))
        this.#fail(name, `controller ${id} is removed`);
    }
  }

  #fail(name: string, text: string): void {
    this.#world.fail('safety', name, text);
  }
}

/** What is durable on the node. */
function entriesBehind({ storage }: ControllerNode, index: number): readonly Entry[] {
  const from = Math.max(index + 1, storage.firstIndex()) as LogIndex;
  const to = (storage.lastIndex() + 1) as LogIndex;
  return from >= to ? [] : (storage.entries(from, to, Number.POSITIVE_INFINITY) ?? []);
}
