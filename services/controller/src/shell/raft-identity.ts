/**
 * Who may speak Raft with this node: members of the same cluster, meant for this node and for its disk, from the disk that
 * the member has. A member whose disk was wiped is a stranger: it has forgotten its votes, and counting it again could elect
 * two leaders of one term. The disks are those that the controllers have agreed on; a first member, whose disk nobody has
 * named yet, keeps the one that it first spoke from, in `peers.json`, durable before its first message is taken.
 *
 * This node may be behind, and then it meets members that it has not heard of:
 *  - one that is named by a change in its log which is not applied yet counts as a member;
 *  - a leader's messages are taken, or this node could never catch up: who leads has had its disk checked by its voters;
 *  - a vote may go to a candidate whose log is ahead of this node's, where the change that made it a member must stand.
 * A node that waits to be added takes messages that name its disk alone: who does not know the disk of a first voter that was
 * removed since would take the new controller of that id for the old one.
 * Answers are taken from members alone. A node that does not know its cluster yet leaves the name empty, which matches any.
 * Source: Ongaro, dissertation (2014), sections 4.1 and 4.2.
 */
import { create } from '@bufbuild/protobuf';
import { type RaftEnvelope, RaftEnvelopeSchema } from '@fleetmq/gen/controller/raft';
import { type Checksum, type Disk, DomainError, type Logger } from '@fleetmq/shared';
import { isRetired, type Membership, memberOf } from '../domain/membership.ts';

export interface RaftIdentityOptions {
  readonly controllerId: number;
  /** Of this node's data folder. */
  readonly diskId: string;
  /** Empty while it is not known. */
  readonly clusterId: () => string;
  /** Ids of the first voters; empty for a node that waits to be added. They count until the members change. */
  readonly members: ReadonlySet<number>;
  /** What is agreed on, as far as this node has applied it. */
  readonly membership: () => Membership;
  /** As of changes in the log that this node has not applied yet. */
  readonly unapplied: () => readonly Membership[];
  readonly disk: Disk;
  /** Of the file with the members' disks. */
  readonly path: string;
  readonly checksum: Checksum;
  readonly logger: Logger;
}

/** What a message wants of this node, as far as it matters for whom it may come from. */
export type Claim =
  | { readonly kind: 'answer' }
  /** Entries, heartbeats, snapshots. */
  | { readonly kind: 'leader' }
  /** `isAhead`: its log has more than this node's. */
  | { readonly kind: 'candidate'; readonly isAhead: boolean };

const answer: Claim = { kind: 'answer' };

type Standing = 'member' | 'unknown' | 'other-disk' | 'retired';

export class RaftIdentity {
  readonly #options: RaftIdentityOptions;
  readonly #disks: Map<number, string>;
  #saving: Promise<void> = Promise.resolve();

  private constructor(options: RaftIdentityOptions, disks: Map<number, string>) {
    this.#options = options;
    this.#disks = disks;
  }

  /** CORRUPT_LOG when the file is damaged. */
  static async open(options: RaftIdentityOptions): Promise<RaftIdentity> {
    const bytes = await options.disk.readFile(options.path);
    return new RaftIdentity(options, bytes === undefined ? new Map() : decodeDisks(bytes, options));
  }

  envelopeFor(targetId: number): RaftEnvelope {
    return this.#envelope(targetId, this.diskOf(targetId) ?? '');
  }

  /**
   * For an answer: to the disk that has asked. A node that is behind may know the leader's id with another disk, and is to
   * catch up all the same.
   */
  answerTo(asked: RaftEnvelope | undefined): RaftEnvelope {
    return this.#envelope(asked?.senderId ?? 0, asked?.senderDiskId ?? '');
  }

  #envelope(targetId: number, targetDiskId: string): RaftEnvelope {
    const { controllerId, diskId, clusterId } = this.#options;
    return create(RaftEnvelopeSchema, {
      clusterId: clusterId(),
      senderId: controllerId,
      targetId,
      senderDiskId: diskId,
      targetDiskId,
    });
  }

  /** Id of the sender. WRONG_CLUSTER, WRONG_TARGET, UNAUTHORIZED (a stranger). */
  async check(envelope: RaftEnvelope | undefined, claim: Claim = answer): Promise<number> {
    const { senderId, senderDiskId, clusterId } = this.#addressed(envelope);
    const standing = await this.#standingOf(senderId, senderDiskId);
    if (standing === 'member') return senderId;
    // A cluster that is not known to the sender cannot have made it a member.
    const isBelievable = clusterId !== '' && standing !== 'retired' && senderId !== this.#options.controllerId;
    if (isBelievable && claim.kind === 'leader') return senderId;
    if (isBelievable && claim.kind === 'candidate' && claim.isAhead && standing === 'unknown') return senderId;
    throw this.#refusal(senderId, senderDiskId, standing);
  }

  /** The sender was removed from the quorum, as this node has applied it. The same errors as `check` but for strangers. */
  isRetired(envelope: RaftEnvelope | undefined): boolean {
    const { senderId, senderDiskId } = this.#addressed(envelope);
    return isRetired(this.#options.membership(), senderId, senderDiskId);
  }

  #addressed(envelope: RaftEnvelope | undefined): RaftEnvelope {
    const { controllerId, diskId, clusterId } = this.#options;
    if (envelope === undefined) throw new DomainError('INVALID_REQUEST', 'a Raft message has no envelope');
    const ours = clusterId();
    if (ours !== '' && envelope.clusterId !== '' && envelope.clusterId !== ours) {
      throw new DomainError('WRONG_CLUSTER', `a message of cluster ${envelope.clusterId} came to cluster ${ours}`);
    }
    if (envelope.targetId !== controllerId) {
      throw new DomainError('WRONG_TARGET', `a message for controller ${envelope.targetId} came to ${controllerId}`);
    }
    const { targetDiskId } = envelope;
    if (targetDiskId !== diskId && (targetDiskId !== '' || this.#isJoining)) {
      const named = targetDiskId === '' ? 'no disk' : `disk ${targetDiskId}`;
      throw new DomainError(
        'WRONG_TARGET',
        `a message for ${named} of controller ${controllerId} came to its disk ${diskId}: a controller with a new disk ` +
          'must be removed and added anew',
      );
    }
    return envelope;
  }

  get #isJoining(): boolean {
    return this.#options.members.size === 0 && this.#options.membership().members.length === 0;
  }

  async #standingOf(senderId: number, senderDiskId: string): Promise<Standing> {
    const standing = await this.#agreedStanding(senderId, senderDiskId);
    if (standing === 'member' || standing === 'retired') return standing;
    const isNamed = this.#options.unapplied().some((each) => memberOf(each, senderId)?.diskId === senderDiskId);
    return isNamed ? 'member' : standing;
  }

  async #agreedStanding(senderId: number, senderDiskId: string): Promise<Standing> {
    const { controllerId } = this.#options;
    const membership = this.#options.membership();
    if (isRetired(membership, senderId, senderDiskId)) return 'retired';
    if (!this.isMember(senderId) || senderId === controllerId) return 'unknown';
    const agreed = memberOf(membership, senderId);
    if (agreed !== undefined && agreed.diskId !== '') return agreed.diskId === senderDiskId ? 'member' : 'other-disk';
    const known = this.#disks.get(senderId) ?? this.#namedInLog(senderId);
    const first = known ?? (await this.#remember(senderId, senderDiskId));
    return first === senderDiskId ? 'member' : 'other-disk';
  }

  /**
   * After a restart the log may name a disk in a change that is yet to be applied again: one that speaks from another disk
   * speaks for the first time to this life alone.
   */
  #namedInLog(controllerId: number): string | undefined {
    const named = this.#options.unapplied().map((each) => memberOf(each, controllerId)?.diskId ?? '');
    return named.findLast((diskId) => diskId !== '');
  }

  #refusal(senderId: number, senderDiskId: string, standing: Exclude<Standing, 'member'>): DomainError {
    switch (standing) {
      case 'retired':
        return new DomainError('UNAUTHORIZED', `controller ${senderId} with disk ${senderDiskId} was removed`);
      case 'unknown':
        return new DomainError(
          'UNAUTHORIZED',
          `controller ${senderId} is not among the members that controller ${this.#options.controllerId} knows`,
        );
      default:
        return new DomainError(
          'UNAUTHORIZED',
          `controller ${senderId} comes with disk ${senderDiskId}, but had ${this.diskOf(senderId)}: a wiped disk has ` +
            'forgotten its votes and must join as a new controller',
        );
    }
  }

  /** As far as this node has applied it. */
  isMember(controllerId: number): boolean {
    const membership = this.#options.membership();
    if (membership.members.length === 0) return this.#options.members.has(controllerId);
    return memberOf(membership, controllerId) !== undefined;
  }

  /** Undefined while the member has not spoken, and for who is no member. */
  diskOf(controllerId: number): string | undefined {
    if (controllerId === this.#options.controllerId) return this.#options.diskId;
    const membership = this.#options.membership();
    const agreed = memberOf(membership, controllerId);
    if (agreed === undefined && membership.members.length > 0) return undefined;
    return agreed === undefined || agreed.diskId === '' ? this.#disks.get(controllerId) : agreed.diskId;
  }

  /** The disk that counts from here on. */
  async #remember(senderId: number, diskId: string): Promise<string> {
    if (diskId === '')
      throw new DomainError('INVALID_REQUEST', `controller ${senderId} does not say which disk it has`);
    const saved = this.#saving.then(async () => {
      if (this.#disks.has(senderId)) return;
      const disks = new Map(this.#disks).set(senderId, diskId);
      const { disk, path, checksum } = this.#options;
      await disk.writeFileAtomic(path, encodeDisks(disks, checksum));
      this.#disks.set(senderId, diskId);
      this.#options.logger.info({ controller: senderId, diskId }, 'a controller spoke for the first time');
    });
    // Whoever waits for this one sees its failure; the next one tries again.
    this.#saving = saved.catch(() => undefined);
    await saved;
    return this.#disks.get(senderId) ?? diskId;
  }
}

/** JSON for people to read, with the CRC-32 of the disks in it. */
function encodeDisks(disks: ReadonlyMap<number, string>, checksum: Checksum): Uint8Array {
  const byId = Object.fromEntries(disks);
  const text = JSON.stringify({ disks: byId, crc32: crcOf(byId, checksum) }, undefined, 2);
  return new TextEncoder().encode(`${text}\n`);
}

function decodeDisks(
  bytes: Uint8Array,
  { path, checksum }: Pick<RaftIdentityOptions, 'path' | 'checksum'>,
): Map<number, string> {
  const { disks, crc32 } = parse(bytes, path);
  // One disk instead of another would let a wiped one in.
  if (crc32 !== crcOf(disks, checksum)) throw damaged(path);
  return new Map(Object.entries(disks).map(([id, diskId]) => [Number(id), String(diskId)]));
}

function parse(bytes: Uint8Array, path: string): { disks: Record<string, unknown>; crc32: unknown } {
  try {
    const { disks, crc32 } = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
    if (typeof disks === 'object' && disks !== null) return { disks: disks as Record<string, unknown>, crc32 };
  } catch (cause) {
    throw damaged(path, cause);
  }
  throw damaged(path);
}

function crcOf(disks: Record<string, unknown>, checksum: Checksum): number {
  return checksum.crc32(new TextEncoder().encode(JSON.stringify(disks)));
}

function damaged(path: string, cause?: unknown): DomainError {
  return new DomainError('CORRUPT_LOG', `${path} is damaged: bring it back from a copy of this disk`, { cause });
}
