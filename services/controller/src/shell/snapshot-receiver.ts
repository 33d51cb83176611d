/**
 * A snapshot that comes in as a stream of chunks: collected, checked chunk by chunk and as a whole, then handed on as one
 * MsgSnap. It is stepped only when all of it is here and good, so a transfer that breaks off leaves this node as it was; the
 * storage makes it durable before the core answers. What has arrived of one that broke off is kept in memory until another
 * snapshot comes: the sender asks for it with a header alone, and goes on from there.
 * Bounded: one snapshot at a time, from whichever leader; a newer one wins.
 */
import type { InstallSnapshotHeader, InstallSnapshotRequest, RaftEnvelope } from '@fleetmq/gen/controller/raft';
import { checkVersion } from '@fleetmq/metadata/wire';
import { createMessage, type Message } from '@fleetmq/raft';
import { type Checksum, DomainError, toSafeInteger } from '@fleetmq/shared';
import { configurationFromProto } from '../wire/raft-entries.ts';
import { toIndex, toTerm } from '../wire/raft-messages.ts';
import type { RaftIdentity } from './raft-identity.ts';

export interface SnapshotReceiverOptions {
  readonly controllerId: number;
  readonly identity: Pick<RaftIdentity, 'check'>;
  readonly checksum: Checksum;
  /** Largest snapshot. Default 256 MiB. */
  readonly snapshotBytesMax: number;
  /** How long the disk may take with it. Default 30 s. */
  readonly answerTimeoutMs: number;
}

/** What has come of one snapshot. */
interface Incoming {
  readonly key: string;
  readonly data: Uint8Array;
  receivedBytes: number;
}

/** `message` undefined: a header alone came, or the snapshot is not whole. */
export interface ReceivedSnapshot {
  readonly sender: RaftEnvelope | undefined;
  readonly message: Message | undefined;
  readonly receivedBytes: number;
}

export class SnapshotReceiver {
  readonly #options: SnapshotReceiverOptions;
  #receiving: AbortController | undefined;
  #incoming: Incoming | undefined;

  constructor(options: SnapshotReceiverOptions) {
    this.#options = options;
  }

  get answerTimeoutMs(): number {
    return this.#options.answerTimeoutMs;
  }

  /** INVALID_REQUEST for damaged chunks, and for chunks that do not begin where those before ended. */
  async receive(parts: AsyncIterable<InstallSnapshotRequest>, signal: AbortSignal): Promise<ReceivedSnapshot> {
    const iterator = parts[Symbol.asyncIterator]();
    const header = await this.#header(iterator);
    const { envelope: sender } = header;
    const from = await this.#options.identity.check(sender, { kind: 'leader' });
    this.#receiving?.abort(new DomainError('CANCELLED', 'another transfer takes its place'));
    const replaced = new AbortController();
    this.#receiving = replaced;
    const incoming = this.#incomingOf(header);
    const hasChunks = await this.#collect(incoming, iterator, AbortSignal.any([signal, replaced.signal]));
    const { receivedBytes, data } = incoming;
    if (receivedBytes < data.length || (!hasChunks && data.length > 0))
      return { sender, message: undefined, receivedBytes };
    this.#incoming = undefined;
    if (this.#options.checksum.crc32(data) !== header.crc32) {
      throw new DomainError('INVALID_REQUEST', `the snapshot of ${data.length} bytes fails its checksum`);
    }
    return { sender, message: this.#message(header, from, data), receivedBytes };
  }

  async #header(iterator: AsyncIterator<InstallSnapshotRequest>): Promise<InstallSnapshotHeader> {
    const first = await iterator.next();
    const part = first.done === true ? undefined : first.value.part;
    if (part?.case !== 'header') throw new DomainError('INVALID_REQUEST', 'a snapshot begins without its header');
    checkVersion(part.value.version);
    return part.value;
  }

  /** The same snapshot goes on; any other begins anew. */
  #incomingOf(header: InstallSnapshotHeader): Incoming {
    const { snapshotBytesMax } = this.#options;
    const size = toSafeInteger<number>(header.sizeBytes, 'size of the snapshot');
    if (size > snapshotBytesMax) {
      throw new DomainError('REQUEST_TOO_LARGE', `the snapshot has ${size} bytes; the limit is ${snapshotBytesMax}`);
    }
    const key = [header.snapshotIndex, header.snapshotTerm, size, header.crc32].join();
    if (this.#incoming?.key !== key) this.#incoming = { key, data: new Uint8Array(size), receivedBytes: 0 };
    return this.#incoming;
  }

  /** False when there was no chunk. */
  async #collect(
    incoming: Incoming,
    iterator: AsyncIterator<InstallSnapshotRequest>,
    signal: AbortSignal,
  ): Promise<boolean> {
    let position: number | undefined;
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) {
      signal.throwIfAborted();
      const { part } = next.value;
      if (part.case !== 'chunk') throw new DomainError('INVALID_REQUEST', 'a snapshot has a second header');
      const { data } = part.value;
      // The first one may lie anywhere in what is here already.
      const begin = toSafeInteger<number>(part.value.position, 'begin of a chunk');
      if (
        begin !== (position ?? Math.min(begin, incoming.receivedBytes)) ||
        begin + data.length > incoming.data.length
      ) {
        throw new DomainError(
          'INVALID_REQUEST',
          `a chunk of the snapshot begins at ${begin}; ${position ?? incoming.receivedBytes} bytes are here`,
        );
      }
      if (this.#options.checksum.crc32(data) !== part.value.crc32) {
        throw new DomainError('INVALID_REQUEST', `the chunk at ${begin} of the snapshot fails its checksum`);
      }
      incoming.data.set(data, begin);
      position = begin + data.length;
      incoming.receivedBytes = position;
    }
    return position !== undefined;
  }

  #message(header: InstallSnapshotHeader, from: number, data: Uint8Array): Message {
    const { configuration } = header;
    if (configuration === undefined) throw new DomainError('INVALID_REQUEST', 'a snapshot has no configuration');
    return createMessage('MsgSnap', {
      from,
      to: this.#options.controllerId,
      term: toTerm(header.term),
      snapshot: {
        index: toIndex(header.snapshotIndex),
        term: toTerm(header.snapshotTerm),
        confState: configurationFromProto(configuration),
        data,
      },
    });
  }
}
