/**
 * Snapshots on their way to other controllers: in checksummed chunks, at a bounded rate so that heartbeats and entries to
 * the same node get through, one per node, a newer one in place of an older. A transfer that broke off goes on where it was:
 * the receiver is asked how much it has kept, with a header alone, before chunks are sent again.
 * A receiver that takes no chunk for `stallTimeoutMs`, or does not answer in `answerTimeoutMs` after the last one, is given up,
 * and the core is told so.
 */
import { create } from '@bufbuild/protobuf';
import type { Client } from '@connectrpc/connect';
import {
  type ControllerRaftService,
  type InstallSnapshotRequest,
  InstallSnapshotRequestSchema,
  type InstallSnapshotResponse,
  type RaftEnvelope,
} from '@fleetmq/gen/controller/raft';
import { apiVersion } from '@fleetmq/metadata';
import type { Message, Snapshot } from '@fleetmq/raft';
import { type Checksum, DomainError, type Logger, type Timers, toSafeInteger } from '@fleetmq/shared';
import { configurationToProto } from '../wire/raft-entries.ts';
import * as wire from '../wire/raft-messages.ts';
import type { RaftDriver } from './raft-driver.ts';

export interface SnapshotSenderOptions {
  readonly client: (controllerId: number) => Client<typeof ControllerRaftService>;
  readonly driver: Pick<RaftDriver, 'step' | 'reportSnapshot'>;
  readonly envelopeFor: (controllerId: number) => RaftEnvelope;
  /** Throws unless the answer comes from this controller. */
  readonly check: (controllerId: number, envelope: RaftEnvelope | undefined) => Promise<void>;
  readonly checksum: Checksum;
  readonly timers: Timers;
  readonly logger: Logger;
  /** Bytes of a snapshot in one message; at most 1 MiB. Default 256 KiB. */
  readonly chunkBytes: number;
  /** To one node. Default 64 MiB. */
  readonly bytesPerSecond: number;
  /** Without a chunk that was taken. Default 5 s. */
  readonly stallTimeoutMs: number;
  /** From the last chunk to the answer: the receiver's disk has to take it. Default 30 s. */
  readonly answerTimeoutMs: number;
}

/** One snapshot to one node. */
interface Transfer {
  readonly message: Message;
  readonly snapshot: Snapshot;
  readonly crc32: number;
  readonly giveUp: AbortController;
}

export class SnapshotSender {
  readonly #options: SnapshotSenderOptions;
  readonly #running = new Map<number, AbortController>();
  /** By node: the checksum of the snapshot whose transfer broke off last. */
  readonly #broken = new Map<number, number>();

  constructor(options: SnapshotSenderOptions) {
    this.#options = options;
  }

  /** Resolves when the snapshot has arrived or was given up. Does not throw unless the core breaks. */
  async send(message: Message, stopping: AbortSignal): Promise<void> {
    const { driver, logger, checksum } = this.#options;
    const { to } = message;
    const snapshot = message.snapshot as Snapshot;
    this.#running.get(to)?.abort(new DomainError('CANCELLED', 'a newer snapshot takes its place'));
    const replaced = new AbortController();
    this.#running.set(to, replaced);
    const isOver = AbortSignal.any([stopping, replaced.signal]);
    const transfer = { message, snapshot, crc32: checksum.crc32(snapshot.data), giveUp: new AbortController() };
    try {
      const response = await this.#transfer(transfer, AbortSignal.any([isOver, transfer.giveUp.signal]));
      if (isOver.aborted) return;
      this.#broken.delete(to);
      driver.reportSnapshot(to, 'finished');
      driver.step(wire.snapshotResponseFromProto(response, { from: to, to: message.from }));
    } catch (error) {
      if (isOver.aborted) return;
      this.#broken.set(to, transfer.crc32);
      logger.warn({ error, controller: to }, 'a snapshot did not arrive');
      driver.reportSnapshot(to, 'failed');
    } finally {
      if (this.#running.get(to) === replaced) this.#running.delete(to);
    }
  }

  async #transfer(transfer: Transfer, signal: AbortSignal): Promise<InstallSnapshotResponse> {
    const { logger } = this.#options;
    const { message, snapshot, crc32 } = transfer;
    const from = this.#broken.get(message.to) === crc32 ? await this.#receivedBytes(transfer, signal) : 0;
    const fields = { controller: message.to, index: snapshot.index, bytes: snapshot.data.length, from };
    logger.info(fields, from === 0 ? 'sending a snapshot' : 'a snapshot goes on where it broke off');
    const response = await this.#call(transfer, from, signal);
    if (response.success || response.matchIndex > 0n) return response;
    throw new DomainError('NOT_AVAILABLE', `controller ${message.to} has kept ${response.receivedBytes} bytes only`);
  }

  async #receivedBytes(transfer: Transfer, signal: AbortSignal): Promise<number> {
    const { data } = transfer.snapshot;
    const { receivedBytes } = await this.#call(transfer, data.length, signal);
    return Math.min(data.length, toSafeInteger<number>(receivedBytes, 'received bytes'));
  }

  async #call(transfer: Transfer, from: number, signal: AbortSignal): Promise<InstallSnapshotResponse> {
    const { client, check, timers, stallTimeoutMs, answerTimeoutMs } = this.#options;
    const { message, giveUp } = transfer;
    const timeOut = (what: string) => (): void => giveUp.abort(new DomainError('TIMEOUT', what));
    let patience = timers.after(stallTimeoutMs, timeOut(`no chunk was taken for ${stallTimeoutMs} ms`));
    const onProgress = (isLast: boolean): void => {
      patience.cancel();
      const [ms, what] = isLast ? [answerTimeoutMs, 'no answer'] : [stallTimeoutMs, 'no chunk was taken'];
      patience = timers.after(ms, timeOut(`${what} for ${ms} ms`));
    };
    try {
      const response = await client(message.to).installSnapshot(this.#parts(transfer, from, onProgress), { signal });
      await check(message.to, response.envelope);
      return response;
    } finally {
      patience.cancel();
    }
  }

  async *#parts(
    transfer: Transfer,
    from: number,
    onProgress: (isLast: boolean) => void,
  ): AsyncGenerator<InstallSnapshotRequest> {
    const { checksum, chunkBytes } = this.#options;
    const { data } = transfer.snapshot;
    yield create(InstallSnapshotRequestSchema, { part: { case: 'header', value: this.#header(transfer) } });
    for (let position = from; position < data.length; position += chunkBytes) {
      onProgress(false);
      const bytes = data.subarray(position, position + chunkBytes);
      const chunk = { position: BigInt(position), data: bytes, crc32: checksum.crc32(bytes) };
      yield create(InstallSnapshotRequestSchema, { part: { case: 'chunk', value: chunk } });
      await this.#pause(bytes.length);
    }
    onProgress(true);
  }

  #header({ message, snapshot, crc32 }: Transfer) {
    const { data, index, term, confState } = snapshot;
    return {
      envelope: this.#options.envelopeFor(message.to),
      term: BigInt(message.term),
      leaderId: String(message.from),
      snapshotIndex: BigInt(index),
      snapshotTerm: BigInt(term),
      configuration: configurationToProto(confState),
      sizeBytes: BigInt(data.length),
      crc32,
      version: apiVersion,
    };
  }

  /** As long as so many bytes may take: others get their turn meanwhile. */
  #pause(bytes: number): Promise<void> {
    const { timers, bytesPerSecond } = this.#options;
    return new Promise((resolve) => {
      timers.after((bytes / bytesPerSecond) * 1_000, resolve);
    });
  }
}
