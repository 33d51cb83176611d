/**
 * Who may speak Raft with this node: members of the same cluster, meant for this node, from the disk that the member had
 * when it first spoke. A member whose disk was wiped is a stranger: it has forgotten its votes, and counting it again could
 * elect two leaders of one term. Its old disk id is kept in `peers.json`, durable before its first message is taken.
 * A node that does not know its cluster yet leaves the name empty, which matches any.
 */
import { create } from '@bufbuild/protobuf';
import { type RaftEnvelope, RaftEnvelopeSchema } from '@fleetmq/gen/controller/raft';
import { type Disk, DomainError, type Logger } from '@fleetmq/shared';

export interface RaftIdentityOptions {
  readonly controllerId: number;
  /** Of this node's data folder. */
  readonly diskId: string;
  /** Empty while it is not known. */
  readonly clusterId: () => string;
  /** Ids of all controllers that are configured. */
  readonly members: ReadonlySet<number>;
  readonly disk: Disk;
  /** Of the file with the members' disks. */
  readonly path: string;
  readonly logger: Logger;
}

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
    return new RaftIdentity(options, bytes === undefined ? new Map() : parseDisks(bytes, options.path));
  }

  envelopeFor(targetId: number): RaftEnvelope {
    const { controllerId, diskId, clusterId } = this.#options;
    return create(RaftEnvelopeSchema, {
      clusterId: clusterId(),
      senderId: controllerId,
      targetId,
      senderDiskId: diskId,
    });
  }

  /** Id of the sender. WRONG_CLUSTER, WRONG_TARGET, UNAUTHORIZED (a stranger). */
  async check(envelope: RaftEnvelope | undefined): Promise<number> {
    const { controllerId, clusterId, members } = this.#options;
    if (envelope === undefined) throw new DomainError('INVALID_REQUEST', 'a Raft message has no envelope');
    const ours = clusterId();
    if (ours !== '' && envelope.clusterId !== '' && envelope.clusterId !== ours) {
      throw new DomainError('WRONG_CLUSTER', `a message of cluster ${envelope.clusterId} came to cluster ${ours}`);
    }
    if (envelope.targetId !== controllerId) {
      throw new DomainError('WRONG_TARGET', `a message for controller ${envelope.targetId} came to ${controllerId}`);
    }
    const { senderId, senderDiskId } = envelope;
    if (!members.has(senderId) || senderId === controllerId) {
      throw new DomainError(
        'UNAUTHORIZED',
        `controller ${senderId} is not among quorum.peers of controller ${controllerId}`,
      );
    }
    const known = this.#disks.get(senderId);
    if (known === undefined) await this.#remember(senderId, senderDiskId);
    if ((known ?? this.#disks.get(senderId)) !== senderDiskId) {
      throw new DomainError(
        'UNAUTHORIZED',
        `controller ${senderId} comes with disk ${senderDiskId}, but had ${known}: a wiped disk has forgotten its votes ` +
          'and must join as a new controller',
      );
    }
    return senderId;
  }

  /** Undefined while the member has not spoken. */
  diskOf(controllerId: number): string | undefined {
    return controllerId === this.#options.controllerId ? this.#options.diskId : this.#disks.get(controllerId);
  }

  async #remember(senderId: number, diskId: string): Promise<void> {
    if (diskId === '')
      throw new DomainError('INVALID_REQUEST', `controller ${senderId} does not say which disk it has`);
    const saved = this.#saving.then(async () => {
      if (this.#disks.has(senderId)) return;
      const disks = new Map(this.#disks).set(senderId, diskId);
      const text = `${JSON.stringify(Object.fromEntries(disks), undefined, 2)}\n`;
      await this.#options.disk.writeFileAtomic(this.#options.path, new TextEncoder().encode(text));
      this.#disks.set(senderId, diskId);
      this.#options.logger.info({ controller: senderId, diskId }, 'a controller spoke for the first time');
    });
    // Whoever waits for this one sees its failure; the next one tries again.
    this.#saving = saved.catch(() => undefined);
    await saved;
  }
}

function parseDisks(bytes: Uint8Array, path: string): Map<number, string> {
  try {
    const entries = Object.entries(JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>);
    return new Map(entries.map(([id, diskId]) => [Number(id), String(diskId)]));
  } catch (cause) {
    throw new DomainError('CORRUPT_LOG', `${path} is damaged: bring it back from a copy of this disk`, { cause });
  }
}
