/**
 * Who the controllers are beside their Raft ids: where each is reached, on which disk it lives, which learners are to be
 * promoted, and which disks are gone for good. The controllers agree on it: every configuration change carries the whole
 * value, and applying the change replaces the one before. Until the first change it is empty, and `quorum.peers` holds.
 *
 * A Raft id belongs to a (node, disk) pair. A wiped disk has forgotten its votes, and a removed one has missed what the
 * others agreed on, so neither ever comes back under its old name: what returns comes with a new disk, as a new member.
 * Pure: the rules of each change are here, who may propose it and when is decided in `shell/member-changes.ts`.
 * Source: Ongaro, dissertation (2014), sections 4.1 and 4.2.
 */
import { DomainError } from '@fleetmq/shared';
import type { PeerAddress } from './peers.ts';

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
}

export const retiredMax = 1_000;
/** Voters and learners together. */
export const membersMax = 16;
export const controllerIdMax = 2 ** 31 - 1;

export const noMembership: Membership = { members: [], promoting: [], retired: [] };

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

/** The learner has become a voter, or shall not become one. */
export function withoutPromotion(membership: Membership, controllerId: number): Membership {
  return { ...membership, promoting: membership.promoting.filter((id) => id !== controllerId) };
}

export function withoutMember(membership: Membership, controllerId: number): Membership {
  const gone = memberOf(membership, controllerId);
  const { members, promoting, retired } = membership;
  return {
    members: members.filter((each) => each.controllerId !== controllerId),
    promoting: promoting.filter((id) => id !== controllerId),
    retired: gone === undefined || gone.diskId === '' ? retired : [...retired, gone].slice(-retiredMax),
  };
}

/** `member` is there already, just so: asking for it again changes nothing. */
export function isSameMember(membership: Membership, member: Member): boolean {
  const known = memberOf(membership, member.controllerId);
  return (
    known !== undefined && known.diskId === member.diskId && known.host === member.host && known.port === member.port
  );
}

/** As in `quorum.peers`: a name or an IP address, IPv6 without brackets. */
const hostGrammar = /^[A-Za-z0-9._:-]{1,253}$/;

export function refusalOfAddress({ host, port }: Pick<Member, 'host' | 'port'>): DomainError | undefined {
  if (hostGrammar.test(host) && port >= 1 && port <= 65_535) return undefined;
  return new DomainError('INVALID_REQUEST', `"${host}:${port}" is no address of a controller`);
}

/** Why this controller cannot be added; undefined if it can. */
export function refusalToAdd(membership: Membership, member: Member): DomainError | undefined {
  const { controllerId, diskId, host, port } = member;
  const refuse = (text: string) => new DomainError('INVALID_REQUEST', text);
  if (!Number.isSafeInteger(controllerId) || controllerId < 1 || controllerId > controllerIdMax) {
    return refuse(`controller id ${controllerId} is not within 1 and ${controllerIdMax}`);
  }
  const notThere = refusalOfAddress(member);
  if (notThere !== undefined) return notThere;
  if (diskId === '' || diskId.length > 64) return refuse(`"${diskId}" is no disk id: it has 1 to 64 characters`);
  const known = memberOf(membership, controllerId);
  if (known !== undefined) {
    return refuse(
      `controller ${controllerId} is a member already, at ${known.host}:${known.port} with disk ${known.diskId || '(unknown)'}: ` +
        'remove it first',
    );
  }
  const neighbour = membership.members.find((each) => each.diskId === diskId);
  if (neighbour !== undefined) return refuse(`disk ${diskId} is that of controller ${neighbour.controllerId}`);
  if (membership.retired.some((each) => each.diskId === diskId)) {
    return refuse(`disk ${diskId} was removed from the quorum: empty the data folder, which gives it a new disk id`);
  }
  const lodger = membership.members.find((each) => each.host === host && each.port === port);
  if (lodger !== undefined) return refuse(`${host}:${port} is the address of controller ${lodger.controllerId}`);
  if (membership.members.length >= membersMax) {
    return new DomainError(
      'LIMIT_EXCEEDED',
      `there are ${membership.members.length} controllers, the most there may be`,
    );
  }
  return undefined;
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
    return new DomainError('INVALID_REQUEST', `controller ${controllerId} is no member of the quorum`);
  }
  const rest = voters.filter((id) => id !== controllerId);
  if (rest.length === 0) {
    return new DomainError('INVALID_REQUEST', `controller ${controllerId} is the only voter: add another one first`);
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

function byId(left: Member, right: Member): number {
  return left.controllerId - right.controllerId;
}
