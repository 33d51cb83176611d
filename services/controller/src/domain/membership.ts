/**
 * Who the controllers are beside their Raft ids: where each is reached, on which disk it lives, which learners are to be
 * promoted, and which disks are gone for good. The controllers agree on it: every configuration change carries the whole
 * value, and applying the change replaces the one before. It begins empty; the first leader writes down the disks of the first
 * voters, since what only some of them remember would not keep a wiped one out.
 *
 * A Raft id belongs to a (node, disk) pair. A wiped disk has forgotten its votes, and a removed one has missed what the
 * others agreed on, so neither ever comes back under its old name: what returns comes with a new disk, as a new member.
 * Pure: the rules of each change are here, who may propose it and when is decided in `shell/member-changes.ts`.
 * Source: Ongaro, dissertation (2014), sections 4.1 and 4.2.
 */
import { DomainError } from '@fleetmq/shared';
import type { PeerAddress } from './peers.ts';

/** A first voter has no address here, host empty and port 0, until the members change: `quorum.peers` says where it is. */
export interface Member extends PeerAddress {
  /** Empty: not known yet; the disk that it first speaks from counts. */
  readonly diskId: string;
}

export interface Membership {
  /** By id. Empty until the first change. */
  readonly members: readonly Member[];
  /** Learners that the leader promotes once they have caught up. By id. */
  readonly promoting: readonly number[];
  /** Removed controllers, oldest first; at most `retiredMax`. */
  readonly retired: readonly Member[];
  /** Voters that leave in the step in which a learner is promoted. */
  readonly replacing: readonly Replacement[];
}

/** A learner that takes the place of a voter. */
export interface Replacement {
  readonly controllerId: number;
  readonly replacedId: number;
}

export const retiredMax = 1_000;
/** Voters and learners together. */
export const membersMax = 16;
const controllerIdMax = 2 ** 31 - 1;

export const noMembership: Membership = { members: [], promoting: [], retired: [], replacing: [] };

export function memberOf(membership: Membership, controllerId: number): Member | undefined {
  return membership.members.find((each) => each.controllerId === controllerId);
}

/** This disk was removed under this id. */
export function isRetired(membership: Membership, controllerId: number, diskId: string): boolean {
  return membership.retired.some((each) => each.controllerId === controllerId && each.diskId === diskId);
}

export function withMember(membership: Membership, member: Member, promote: boolean): Membership {
  const { controllerId } = member;
  const others = membership.members.filter((each) => each.controllerId !== controllerId);
  const promoting = membership.promoting.filter((id) => id !== controllerId);
  return {
    ...membership,
    members: [...others, member].sort(byId),
    promoting: promote ? [...promoting, controllerId].sort((left, right) => left - right) : promoting,
  };
}

/**
 * With the disks of these members that are known by now; undefined when that is nothing new. Addresses stay as they are. Worth
 * an entry once any other member than `ownId` is known, or when there is no other.
 */
export function withDisks(
  membership: Membership,
  ids: readonly number[],
  { ownId, diskOf }: { readonly ownId: number; readonly diskOf: (controllerId: number) => string | undefined },
): Membership | undefined {
  const members = [...ids]
    .sort((left, right) => left - right)
    .map((controllerId): Member => {
      const known = memberOf(membership, controllerId) ?? { controllerId, host: '', port: 0, diskId: '' };
      return known.diskId === '' ? { ...known, diskId: diskOf(controllerId) ?? '' } : known;
    });
  const isNew = members.some((each) => each.diskId !== (memberOf(membership, each.controllerId)?.diskId ?? ''));
  const isWorthIt = ids.length === 1 || members.some((each) => each.controllerId !== ownId && each.diskId !== '');
  return isNew && isWorthIt ? { ...membership, members } : undefined;
}

/** The learner has become a voter, or shall not become one. */
export function withoutPromotion(membership: Membership, controllerId: number): Membership {
  const { promoting, replacing } = membership;
  return {
    ...membership,
    promoting: promoting.filter((id) => id !== controllerId),
    replacing: replacing.filter((each) => each.controllerId !== controllerId),
  };
}

/** The voter whose place this learner is to take. */
export function replacedBy(membership: Membership, controllerId: number): number | undefined {
  return membership.replacing.find((each) => each.controllerId === controllerId)?.replacedId;
}

export function withoutMember(membership: Membership, controllerId: number): Membership {
  const gone = memberOf(membership, controllerId);
  const { members, promoting, retired, replacing } = membership;
  return {
    members: members.filter((each) => each.controllerId !== controllerId),
    promoting: promoting.filter((id) => id !== controllerId),
    replacing: replacing.filter((each) => each.controllerId !== controllerId && each.replacedId !== controllerId),
    retired: gone === undefined || gone.diskId === '' ? retired : [...retired, gone].slice(-retiredMax),
  };
}

/** As in `quorum.peers`: a name or an IP address, IPv6 without brackets. */
const hostGrammar = /^[A-Za-z0-9._:-]{1,253}$/;

export function refusalOfAddress({ host, port }: Pick<Member, 'host' | 'port'>): DomainError | undefined {
  if (hostGrammar.test(host) && port >= 1 && port <= 65_535) return undefined;
  return invalid(`"${host}:${port}" is no address of a controller`);
}

export type Addition =
  /** It is there already, just so. */
  | { readonly kind: 'nothing' }
  /** It is there: its address changes, or it shall be promoted from now on. */
  | { readonly kind: 'update'; readonly next: Membership }
  | { readonly kind: 'add'; readonly next: Membership }
  | { readonly kind: 'refused'; readonly error: DomainError };

/**
 * What adding this controller means. A member with the same disk is the same member: it may be reached elsewhere, and a learner
 * may be promoted after all (`promote`); what votes goes on to vote.
 */
export function planAddition(
  membership: Membership,
  member: Member,
  { promote, isVoter }: { readonly promote: boolean; readonly isVoter: boolean },
): Addition {
  const { controllerId, diskId } = member;
  const refused = refusalOfMember(member) ?? refusalBesideOthers(membership, member);
  if (refused !== undefined) return { kind: 'refused', error: refused };
  const known = memberOf(membership, controllerId);
  if (known === undefined) {
    if (membership.members.length < membersMax) return { kind: 'add', next: withMember(membership, member, promote) };
    const text = `there are ${membership.members.length} controllers, the most there may be`;
    return { kind: 'refused', error: new DomainError('LIMIT_EXCEEDED', text, { retriable: false }) };
  }
  if (known.diskId !== diskId) {
    const text = `controller ${controllerId} is a member already, with disk ${known.diskId || '(unknown)'}: remove it first`;
    return { kind: 'refused', error: invalid(text) };
  }
  const wasPromoting = membership.promoting.includes(controllerId);
  const willPromote = wasPromoting || (promote && !isVoter);
  const isSame = known.host === member.host && known.port === member.port && wasPromoting === willPromote;
  return isSame ? { kind: 'nothing' } : { kind: 'update', next: withMember(membership, member, willPromote) };
}

/** What putting this controller in the place of a voter means: it is added as a learner first, or is one already. */
export function planReplacement(
  membership: Membership,
  member: Member,
  { replacedId, voters }: { readonly replacedId: number; readonly voters: readonly number[] },
): Addition {
  const { controllerId } = member;
  const refuse = (text: string): Addition => ({ kind: 'refused', error: invalid(text) });
  if (!voters.includes(replacedId)) return refuse(`controller ${replacedId} does not vote: it cannot be replaced`);
  if (voters.includes(controllerId)) return refuse(`controller ${controllerId} votes already`);
  const rival = membership.replacing.find((each) => each.replacedId === replacedId);
  if (rival !== undefined && rival.controllerId !== controllerId) {
    return refuse(`controller ${rival.controllerId} is replacing controller ${replacedId}: remove it first`);
  }
  const addition = planAddition(membership, member, { promote: true, isVoter: false });
  if (addition.kind === 'refused') return addition;
  const isSame = rival !== undefined && addition.kind === 'nothing';
  if (isSame) return addition;
  const base = addition.kind === 'nothing' ? membership : addition.next;
  const others = base.replacing.filter((each) => each.controllerId !== controllerId);
  const replacing = [...others, { controllerId, replacedId }].sort(byId);
  return { kind: addition.kind === 'add' ? 'add' : 'update', next: { ...base, replacing } };
}

function refusalOfMember(member: Member): DomainError | undefined {
  const { controllerId, diskId } = member;
  if (!Number.isSafeInteger(controllerId) || controllerId < 1 || controllerId > controllerIdMax) {
    return invalid(`controller id ${controllerId} is not within 1 and ${controllerIdMax}`);
  }
  if (diskId === '' || diskId.length > 64) return invalid(`"${diskId}" is no disk id: it has 1 to 64 characters`);
  return refusalOfAddress(member);
}

function refusalBesideOthers({ members, retired }: Membership, member: Member): DomainError | undefined {
  const { controllerId, diskId, host, port } = member;
  if (retired.some((each) => each.diskId === diskId)) {
    return invalid(`disk ${diskId} was removed from the quorum: empty the data folder, which gives it a new disk id`);
  }
  const others = members.filter((each) => each.controllerId !== controllerId);
  const neighbour = others.find((each) => each.diskId === diskId);
  if (neighbour !== undefined) return invalid(`disk ${diskId} is that of controller ${neighbour.controllerId}`);
  const lodger = others.find((each) => each.host === host && each.port === port);
  if (lodger !== undefined) return invalid(`${host}:${port} is the address of controller ${lodger.controllerId}`);
  return undefined;
}

function invalid(text: string): DomainError {
  return new DomainError('INVALID_REQUEST', text);
}

export interface RemovalCase {
  readonly controllerId: number;
  readonly voters: readonly number[];
  readonly learners: readonly number[];
  readonly isActive: (controllerId: number) => boolean;
  /** Even if the rest would have no active majority. */
  readonly force: boolean;
}

/** Why this controller cannot be removed; undefined if it can. */
export function refusalToRemove({
  controllerId,
  voters,
  learners,
  isActive,
  force,
}: RemovalCase): DomainError | undefined {
  if (learners.includes(controllerId)) return undefined;
  if (!voters.includes(controllerId)) {
    return invalid(`controller ${controllerId} is no member of the quorum`);
  }
  const rest = voters.filter((id) => id !== controllerId);
  if (rest.length === 0) {
    return invalid(`controller ${controllerId} is the only voter: add another one first`);
  }
  const active = rest.filter(isActive);
  const needed = Math.floor(rest.length / 2) + 1;
  if (active.length >= needed || force) return undefined;
  return new DomainError(
    'NOT_ENOUGH_REPLICAS',
    `without controller ${controllerId} there would be ${rest.length} voters (${rest.join(', ')}), of which ` +
      `${active.length} are active and ${needed} are needed: bring them back first, or force the removal`,
    { retriable: false },
  );
}

function byId(left: { readonly controllerId: number }, right: { readonly controllerId: number }): number {
  return left.controllerId - right.controllerId;
}
