/**
 * What may go wrong with disks, and what operators may ask for, without losing more than the protocol promises to survive: a
 * majority of every configuration that may come to be in force keeps its disks. Requests and log entries whose outcome is not
 * known yet count as carried out, or as not, whichever is worse.
 */
import { asJointChange, type ConfState, decodeConfChange, type Entry } from '@fleetmq/raft';
import type { LogIndex } from '@fleetmq/shared';
import type { SimCluster } from './cluster.ts';
import { isMemberOf, membersOf } from './configurations.ts';
import type { Invariants } from './invariants.ts';
import type { MemberHistory } from './member-history.ts';
import { halvesOf, quorumOf } from './quorums.ts';
import { isStranger, type Seat } from './seat.ts';

export class Survival {
  readonly #cluster: SimCluster;
  readonly #invariants: Invariants;
  readonly #history: MemberHistory;

  constructor(cluster: SimCluster, invariants: Invariants, history: MemberHistory) {
    this.#cluster = cluster;
    this.#invariants = invariants;
    this.#history = history;
  }

  get #newest() {
    return this.#invariants.reference.configurations.newest;
  }

  /** Members whose disk is gone, or so damaged that nobody can start on it. */
  get lost(): readonly Seat[] {
    return membersOf(this.#newest.confState)
      .map((id) => this.#cluster.seat(id))
      .filter((seat) => this.isLost(seat) || seat.isBroken);
  }

  /** It is a member, and what is in its place is not the disk that the others know. */
  isLost({ id, diskId, isWiped }: Seat): boolean {
    if (!isMemberOf(this.#newest, id)) return false;
    const holder = this.#invariants.disks.holderOf(id, this.#newest);
    return holder === undefined ? isWiped : holder.diskId !== diskId;
  }

  /** Whether nothing is under way that could still change the members. */
  get isSettled(): boolean {
    return this.#history.open.length === 0 && this.#openChanges().length === 0;
  }

  /** The disk of a member may go. One that has not spoken to all others yet may not: the first that speaks counts. */
  mayLose(seat: Seat, { joins }: { readonly joins: boolean }): boolean {
    return this.mayDamage(seat) && this.#isKnown(seat) && (joins || this.#mayBeStranger(seat));
  }

  mayDamage(seat: Seat): boolean {
    return seat.isDamaged || this.#survives({ lost: seat });
  }

  mayRemove(seat: Seat): boolean {
    return this.#survives({ removed: seat });
  }

  /** Its disk is nobody's: it may be replaced at any time. */
  isFree({ id }: Seat): boolean {
    const isAsked = this.#history.open.some(({ controllerId }) => controllerId === id);
    const isInLog = this.#openChanges().some(({ nodeIds }) => nodeIds.includes(id));
    return !isAsked && !isInLog && !isMemberOf(this.#newest, id);
  }

  #survives({ lost, removed }: { readonly lost?: Seat; readonly removed?: Seat }): boolean {
    const isHealthy = (id: number): boolean => {
      const seat = this.#cluster.seat(id);
      return seat !== lost && !seat.isDamaged && !this.isLost(seat);
    };
    const requested = (kind: string): number[] =>
      this.#history.open.filter((each) => each.kind === kind).map(({ controllerId }) => controllerId);
    const inLogs = this.#openChanges().flatMap(({ nodeIds }) => nodeIds);
    const replaced = this.#newest.membership.replacing.map(({ replacedId }) => replacedId);
    const asked = removed === undefined ? [] : [removed.id];
    const goes = new Set([...requested('remove'), ...inLogs, ...replaced, ...asked]);
    const comes = new Set([...requested('add'), ...inLogs, ...this.#newest.confState.learners]);
    const older = this.#olderOf(isHealthy).flatMap((confState) => halvesOf(confState));
    if (!older.every((half) => half.filter(isHealthy).length >= quorumOf(half.length))) return false;
    return halvesOf(this.#newest.confState).every((half) => {
      const healthy = half.filter(isHealthy);
      const leaving = healthy.filter((id) => goes.has(id)).length;
      const joining = [...comes].filter((id) => !half.includes(id) && !isHealthy(id)).length;
      return healthy.length - leaving >= quorumOf(half.length - leaving + joining);
    });
  }

  /** What voters still go by who have not applied the newest one: with nobody to tell them, they ask for votes by that. */
  #olderOf(isHealthy: (id: number) => boolean): readonly ConfState[] {
    const { reference, disks } = this.#invariants;
    const newest = this.#newest;
    const held = halvesOf(newest.confState)
      .flat()
      .filter(isHealthy)
      .flatMap((id) => disks.holderOf(id, newest) ?? []);
    const known = held.map(({ node, storage }) =>
      reference.configurations.at(node?.stateMachine.appliedIndex ?? storage.initialState().hardState.commit),
    );
    return known.filter((each) => each !== newest).map(({ confState }) => confState);
  }

  /** Design of RaftIdentity: a wiped disk is kept out by those who know the one before. */
  #isKnown(seat: Seat): boolean {
    return this.#cluster.seats.every(({ isInUse, life }) => {
      if (!isInUse) return true;
      if (life?.node === undefined) return false;
      const { driver, identity } = life.node;
      return !membersOf(driver.confState).includes(seat.id) || identity.diskOf(seat.id) !== undefined;
    });
  }

  /** A majority of first voters without their disks would be a quorum of their own: their operator must not do that. */
  #mayBeStranger(seat: Seat): boolean {
    const first = this.#cluster.seats.filter(({ isFirst }) => isFirst);
    const strangers = first.filter((each) => each === seat || isStranger(each)).length;
    return seat.isFirst && first.length - strangers >= quorumOf(first.length);
  }

  /** Changes that stand in some log and are not known to be committed. */
  #openChanges(): readonly { readonly nodeIds: readonly number[] }[] {
    const { appliedIndex } = this.#invariants.reference;
    return this.#invariants.disks.all.flatMap(({ storage }) => {
      const from = Math.max(appliedIndex + 1, storage.firstIndex()) as LogIndex;
      const to = (storage.lastIndex() + 1) as LogIndex;
      const entries = from >= to ? [] : (storage.entries(from, to, Number.POSITIVE_INFINITY) ?? []);
      return entries.filter(({ type }) => type !== 'EntryNormal').map((entry) => ({ nodeIds: nodeIdsOf(entry) }));
    });
  }
}

function nodeIdsOf({ type, data }: Entry): readonly number[] {
  if (data.length === 0) return [];
  return asJointChange(decodeConfChange(type, data)).changes.map(({ nodeId }) => nodeId);
}
