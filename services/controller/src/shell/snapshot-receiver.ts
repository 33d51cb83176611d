/**
 * A snapshot that comes in as a stream of chunks: collected, checked chunk by chunk and as a whole, then handed on as one
 * MsgSnap. It is stepped only when all of it is here and good, so a transfer that breaks off leaves this node as it was; the
 * storage makes it durable before the core answers. Bounded in size and in number: one per sender, a newer one wins.
 */
import type { InstallSnapshotHeader, InstallSnapshotRequest } from '@fleetmq/gen/controller/raft';
import { checkVersion } from '@fleetmq/metadata/wire';
import { createMessage, type Message } from '@fleetmq/raft';
import { type Checksum, DomainError, toSafeInteger } from '@fleetmq/shared';
import { configurationFromProto } from '../wire/raft-entries.ts';
import { toIndex, toTerm } from '../wire/raft-messages.ts';
import type { RaftIdentity } from './raft-identity.ts';

export interface SnapshotReceiverOptions {
  readonly controllerId: number;
  readonly identity: RaftIdentity;
  readonly checksum: Checksum;
  /** Largest snapshot. Default 256 MiB. */
  readonly snapshotBytesMax: number;
  /** How long the disk may take with it. Default 30 s. */
  readonly answerTimeoutMs: number;
}

export class SnapshotReceiver {
  readonly #options: SnapshotReceiverOptions;
  readonly #receiving = new Map<number, AbortController>();

  constructor(options: SnapshotReceiverOptions) {
    this.#options = options;
  }

  get answerTimeoutMs(): number {
    return this.#options.answerTimeoutMs;
  }

  /** INVALID_REQUEST for anything but a whole, undamaged snapshot. */
  async receive(
    parts: AsyncIterable<InstallSnapshotRequest>,
    signal: AbortSignal,
  ): Promise<{ message: Message; receivedBytes: number }> {
    const iterator = parts[Symbol.asyncIterator]();
    const header = await this.#header(iterator);
    const from = await this.#options.identity.check(header.envelope, { kind: 'leader' });
    this.#receiving.get(from)?.abort(new DomainError('CANCELLED', 'a newer snapshot takes its place'));
    const replaced = new AbortController();
    this.#receiving.set(from, replaced);
    try {
      const data = await this.#collect(header, iterator, AbortSignal.any([signal, replaced.signal]));
      return { message: this.#message(header, from, data), receivedBytes: data.length };
    } finally {
      if (this.#receiving.get(from) === replaced) this.#receiving.delete(from);
    }
  }

  async #header(iterator: AsyncIterator<InstallSnapshotRequest>): Promise<InstallSnapshotHeader> {
    const first = await iterator.next();
    const part = first.done === true ? undefined : first.value.part;
    if (part?.case !== 'header') throw new DomainError('INVALID_REQUEST', 'a snapshot begins without its header');
    checkVersion(part.value.version);
    return part.value;
  }

  async #collect(
    header: InstallSnapshotHeader,
    iterator: AsyncIterator<InstallSnapshotRequest>,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const { checksum, snapshotBytesMax } = this.#options;
    const size = toSafeInteger<number>(header.sizeBytes, 'size of the snapshot');
    if (size > snapshotBytesMax) {
      throw new DomainError('REQUEST_TOO_LARGE', `the snapshot has ${size} bytes; the limit is ${snapshotBytesMax}`);
    }
    const data = new Uint8Array(size);
    let received = 0;
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) {
      signal.throwIfAborted();
      const { part } = next.value;
      if (part.case !== 'chunk') throw new DomainError('INVALID_REQUEST', 'a snapshot has a second header');
      const chunk = part.value;
      if (chunk.position !== BigInt(received) || received + chunk.data.length > size) {
        throw new DomainError(
          'INVALID_REQUEST',
          `a chunk of the snapshot begins at ${chunk.position}, not ${received}`,
        );
      }
      if (checksum.crc32(chunk.data) !== chunk.crc32) {
        throw new DomainError('INVALID_REQUEST', `the chunk at ${received} of the snapshot fails its checksum`);
      }
      data.set(chunk.data, received);
      received += chunk.data.length;
    }
    if (received !== size || checksum.crc32(data) !== header.crc32) {
      throw new DomainError('INVALID_REQUEST', `the snapshot has ${received} of ${size} bytes, or fails its checksum`);
    }
    return data;
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
