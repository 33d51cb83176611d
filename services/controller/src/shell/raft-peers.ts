/**
 * Raft messages that go out, as calls to the other controllers. What a call answers is stepped; what fails is a lost
 * message, which the core is told about so that it sends less to a node that is away.
 *
 * Calls under way are bounded per node and kind: beyond that messages are dropped, never queued, because the core repeats
 * what matters. One snapshot per node is on its way; a newer one takes its place. Answers are checked like requests.
 */
import { create } from '@bufbuild/protobuf';
import { type CallOptions, type Client, createClient, type Transport } from '@connectrpc/connect';
import {
  ControllerRaftService,
  type InstallSnapshotRequest,
  InstallSnapshotRequestSchema,
  type PreVoteResponse,
  type RaftEnvelope,
  type VoteResponse,
} from '@fleetmq/gen/controller/raft';
import { apiVersion } from '@fleetmq/metadata';
import type { Message, MessageType, Snapshot } from '@fleetmq/raft';
import { type Checksum, DomainError, isDomainError, type Logger, unreachable } from '@fleetmq/shared';
import { configurationToProto } from '../wire/raft-entries.ts';
import * as wire from '../wire/raft-messages.ts';
import type { RaftDriver } from './raft-driver.ts';
import type { RaftIdentity } from './raft-identity.ts';

export interface RaftPeersOptions {
  readonly identity: RaftIdentity;
  readonly driver: Pick<RaftDriver, 'step' | 'reportUnreachable' | 'reportSnapshot'>;
  readonly transportTo: (controllerId: number) => Transport;
  /** A controller has answered. */
  readonly onHeard: (controllerId: number) => void;
  /** A controller refuses a vote because this node was removed. */
  readonly onRemoved: (by: number) => void;
  readonly checksum: Checksum;
  readonly logger: Logger;
  /** Of every call but snapshots: a later answer is of no use. An election timeout. */
  readonly callTimeoutMs: number;
  /** Of a whole snapshot. Default 60 s. */
  readonly snapshotTimeoutMs: number;
  /** Bytes of a snapshot in one message; at most 1 MiB. Default 512 KiB. */
  readonly chunkBytes: number;
}

/** Calls under way to one node. */
const callsMax: Partial<Record<MessageType, number>> = {
  MsgApp: 128,
  MsgHeartbeat: 8,
  MsgVote: 4,
  MsgPreVote: 4,
  MsgTimeoutNow: 2,
};

type RaftClient = Client<typeof ControllerRaftService>;

export class RaftPeers implements AsyncDisposable {
  /** A client is made once per connection, not once per message. */
  readonly #clients = new WeakMap<Transport, RaftClient>();
  readonly #options: RaftPeersOptions;
  readonly #open = new Map<string, number>();
  readonly #snapshots = new Map<number, AbortController>();
  readonly #running = new Set<Promise<void>>();
  readonly #stopping = new AbortController();

  constructor(options: RaftPeersOptions) {
    this.#options = options;
  }

  /** Never throws and never waits. */
  send(message: Message): void {
    if (this.#stopping.signal.aborted) return;
    const sending = message.type === 'MsgSnap' ? this.#sendSnapshot(message) : this.#sendOne(message);
    // Only a broken invariant of the core gets here, and the driver has stopped the node for it.
    const call = sending.catch((error: unknown) =>
      this.#options.logger.error({ error }, 'a Raft answer broke the core'),
    );
    this.#running.add(call);
    void call.finally(() => this.#running.delete(call));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort(new DomainError('SHUTTING_DOWN', 'this controller is stopping'));
    await Promise.all(this.#running);
  }

  async #sendOne(message: Message): Promise<void> {
    const { driver, callTimeoutMs } = this.#options;
    const key = `${message.to} ${message.type}`;
    const open = this.#open.get(key) ?? 0;
    if (open >= (callsMax[message.type] ?? 1)) {
      this.#lost(message, new DomainError('LIMIT_EXCEEDED', `${open} calls are open`));
      return;
    }
    this.#open.set(key, open + 1);
    try {
      const answer = await this.#call(message, { timeoutMs: callTimeoutMs, signal: this.#stopping.signal });
      if (answer === undefined || this.#stopping.signal.aborted) return;
      const refused = driver.step(answer);
      if (refused !== undefined) throw refused;
    } catch (error) {
      this.#lost(message, error);
    } finally {
      this.#open.set(key, (this.#open.get(key) ?? 1) - 1);
    }
  }

  async #call(message: Message, options: CallOptions): Promise<Message | undefined> {
    const { identity } = this.#options;
    const client = this.#client(message.to);
    const envelope = identity.envelopeFor(message.to);
    const ends = { from: message.to, to: message.from };
    switch (message.type) {
      case 'MsgVote': {
        const response = await client.requestVote(wire.voteRequest(message, envelope), options);
        return await this.#vote(message, response, ends);
      }
      case 'MsgPreVote': {
        const response = await client.preVote(wire.preVoteRequest(message, envelope), options);
        return await this.#vote(message, response, ends);
      }
      case 'MsgApp':
      case 'MsgHeartbeat': {
        const response = await client.appendEntries(wire.appendRequest(message, envelope), options);
        await this.#check(message.to, response.envelope);
        return wire.appendResponseFromProto(response, ends);
      }
      case 'MsgTimeoutNow':
        await client.timeoutNow(wire.timeoutNowRequest(message, envelope), options);
        return undefined;
      default:
        // Proposals and reads are not forwarded, and answers leave as answers.
        return unreachable(message.type as never);
    }
  }

  async #vote(
    message: Message,
    response: VoteResponse | PreVoteResponse,
    ends: wire.Ends,
  ): Promise<Message | undefined> {
    await this.#check(message.to, response.envelope);
    if (!response.removed) return wire.voteResponseFromProto(response, ends, message.type === 'MsgPreVote');
    this.#options.onRemoved(message.to);
    return undefined;
  }

  async #sendSnapshot(message: Message): Promise<void> {
    const { driver, logger, snapshotTimeoutMs } = this.#options;
    const { to, snapshot } = message;
    this.#snapshots.get(to)?.abort(new DomainError('CANCELLED', 'a newer snapshot takes its place'));
    const replaced = new AbortController();
    this.#snapshots.set(to, replaced);
    const signal = AbortSignal.any([this.#stopping.signal, replaced.signal]);
    try {
      logger.info({ controller: to, index: snapshot?.index, bytes: snapshot?.data.length }, 'sending a snapshot');
      const parts = this.#snapshotParts(message);
      const response = await this.#client(to).installSnapshot(parts, { timeoutMs: snapshotTimeoutMs, signal });
      await this.#check(to, response.envelope);
      if (signal.aborted) return;
      driver.reportSnapshot(to, 'finished');
      driver.step(wire.snapshotResponseFromProto(response, { from: to, to: message.from }));
    } catch (error) {
      if (signal.aborted) return;
      logger.warn({ error, controller: to }, 'a snapshot did not arrive');
      driver.reportSnapshot(to, 'failed');
    } finally {
      if (this.#snapshots.get(to) === replaced) this.#snapshots.delete(to);
    }
  }

  async *#snapshotParts(message: Message): AsyncGenerator<InstallSnapshotRequest> {
    const { identity, checksum, chunkBytes } = this.#options;
    const { data, index, term, confState } = message.snapshot as Snapshot;
    const header = {
      envelope: identity.envelopeFor(message.to),
      term: BigInt(message.term),
      leaderId: String(message.from),
      snapshotIndex: BigInt(index),
      snapshotTerm: BigInt(term),
      configuration: configurationToProto(confState),
      sizeBytes: BigInt(data.length),
      crc32: checksum.crc32(data),
      version: apiVersion,
    };
    yield create(InstallSnapshotRequestSchema, { part: { case: 'header', value: header } });
    for (let position = 0; position < data.length; position += chunkBytes) {
      const bytes = data.subarray(position, position + chunkBytes);
      const chunk = { position: BigInt(position), data: bytes, crc32: checksum.crc32(bytes) };
      yield create(InstallSnapshotRequestSchema, { part: { case: 'chunk', value: chunk } });
    }
  }

  #client(controllerId: number): RaftClient {
    const transport = this.#options.transportTo(controllerId);
    const known = this.#clients.get(transport);
    if (known !== undefined) return known;
    const client = createClient(ControllerRaftService, transport);
    this.#clients.set(transport, client);
    return client;
  }

  async #check(expected: number, envelope: RaftEnvelope | undefined): Promise<void> {
    const sender = await this.#options.identity.check(envelope);
    if (sender !== expected) {
      throw new DomainError('WRONG_TARGET', `controller ${sender} answers at the address of ${expected}`);
    }
    this.#options.onHeard(sender);
  }

  #lost(message: Message, error: unknown): void {
    if (this.#stopping.signal.aborted) return;
    const { driver, logger } = this.#options;
    // A node that is away is no news; one that refuses this node is.
    const isRefusal = isDomainError(error) && refusals.has(error.code);
    const fields = { error, controller: message.to, message: message.type };
    if (isRefusal) logger.warn(fields, 'a controller refuses our messages');
    else logger.debug(fields, 'a Raft message was lost');
    driver.reportUnreachable(message.to);
  }
}

const refusals: ReadonlySet<string> = new Set(['WRONG_CLUSTER', 'WRONG_TARGET', 'UNAUTHORIZED', 'UNSUPPORTED_VERSION']);
