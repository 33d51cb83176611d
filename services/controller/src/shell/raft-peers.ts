/**
 * Raft messages that go out, as calls to the other controllers. What a call answers is stepped; what fails is a lost
 * message, which the core is told about so that it sends less to a node that is away.
 *
 * Appends and heartbeats go through an outbox per node and kind (`raft-outbox.ts`). Other calls under way are bounded per
 * node and kind: beyond that messages are dropped, never queued, because the core repeats what matters. Snapshots have a way
 * of their own (`snapshot-sender.ts`). Answers are checked like requests.
 */
import { type CallOptions, type Client, createClient, type Transport } from '@connectrpc/connect';
import {
  ControllerRaftService,
  type PreVoteResponse,
  type RaftEnvelope,
  type VoteResponse,
} from '@fleetmq/gen/controller/raft';
import type { Message, MessageType } from '@fleetmq/raft';
import { type Checksum, DomainError, isDomainError, type Logger, type Timers, unreachable } from '@fleetmq/shared';
import * as wire from '../wire/raft-messages.ts';
import type { RaftDriver } from './raft-driver.ts';
import type { RaftIdentity } from './raft-identity.ts';
import { RaftOutbox } from './raft-outbox.ts';
import { SnapshotSender, type SnapshotSenderOptions } from './snapshot-sender.ts';

export type SnapshotLimits = Pick<
  SnapshotSenderOptions,
  'chunkBytes' | 'bytesPerSecond' | 'stallTimeoutMs' | 'answerTimeoutMs'
>;

export interface RaftPeersOptions {
  readonly identity: RaftIdentity;
  readonly driver: Pick<RaftDriver, 'step' | 'reportUnreachable' | 'reportSnapshot'>;
  readonly transportTo: (controllerId: number) => Transport;
  /** A controller has answered. */
  readonly onHeard: (controllerId: number) => void;
  /** A controller refuses a vote because this node was removed. */
  readonly onRemoved: (by: number) => void;
  readonly checksum: Checksum;
  readonly timers: Timers;
  readonly logger: Logger;
  /** Between heartbeats. */
  readonly heartbeatMs: number;
  /** Of every call but snapshots: a later answer is of no use. An election timeout. */
  readonly callTimeoutMs: number;
  readonly snapshots: SnapshotLimits;
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
  /** Of appends and of heartbeats, per node. */
  readonly #outboxes = new Map<string, RaftOutbox>();
  readonly #snapshots: SnapshotSender;
  readonly #running = new Set<Promise<void>>();
  readonly #stopping = new AbortController();

  constructor(options: RaftPeersOptions) {
    this.#options = options;
    this.#snapshots = new SnapshotSender({
      ...options,
      ...options.snapshots,
      client: (id) => this.#client(id),
      envelopeFor: (id) => options.identity.envelopeFor(id),
      check: (id, envelope) => this.#check(id, envelope),
    });
  }

  /** Never throws and never waits. */
  send(message: Message): void {
    if (this.#stopping.signal.aborted) return;
    if (!this.#isMeant(message)) return;
    if (message.type === 'MsgApp' || message.type === 'MsgHeartbeat') {
      if (!this.#outbox(message).send(message)) this.#lost(message, new DomainError('LIMIT_EXCEEDED', 'too many wait'));
      return;
    }
    const isSnapshot = message.type === 'MsgSnap';
    void this.#track(isSnapshot ? this.#snapshots.send(message, this.#stopping.signal) : this.#sendOne(message));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const outbox of this.#outboxes.values()) outbox.close();
    this.#stopping.abort(new DomainError('SHUTTING_DOWN', 'this controller is stopping'));
    await Promise.all(this.#running);
  }

  #outbox({ to, type }: Message): RaftOutbox {
    const key = `${to} ${type}`;
    const known = this.#outboxes.get(key);
    if (known !== undefined) return known;
    const { timers, heartbeatMs } = this.#options;
    const outbox = new RaftOutbox({
      call: (message) => this.#track(this.#exchange(message)),
      timers,
      patienceMs: heartbeatMs,
      callsMax: callsMax[type] ?? 1,
    });
    this.#outboxes.set(key, outbox);
    return outbox;
  }

  async #track(sending: Promise<void>): Promise<void> {
    // Only a broken invariant of the core gets here, and the driver has stopped the node for it.
    const call = sending.catch((error: unknown) =>
      this.#options.logger.error({ error }, 'a Raft answer broke the core'),
    );
    this.#running.add(call);
    await call;
    this.#running.delete(call);
  }

  async #sendOne(message: Message): Promise<void> {
    const key = `${message.to} ${message.type}`;
    const open = this.#open.get(key) ?? 0;
    if (open >= (callsMax[message.type] ?? 1)) {
      this.#lost(message, new DomainError('LIMIT_EXCEEDED', `${open} calls are open`));
      return;
    }
    this.#open.set(key, open + 1);
    try {
      await this.#exchange(message);
    } finally {
      this.#open.set(key, (this.#open.get(key) ?? 1) - 1);
    }
  }

  /** The call, and its answer into the core. */
  async #exchange(message: Message): Promise<void> {
    const { driver, callTimeoutMs } = this.#options;
    if (!this.#isMeant(message)) return;
    try {
      const answer = await this.#call(message, { timeoutMs: callTimeoutMs, signal: this.#stopping.signal });
      if (answer === undefined || this.#stopping.signal.aborted) return;
      const refused = driver.step(answer);
      if (refused !== undefined) throw refused;
    } catch (error) {
      this.#lost(message, error);
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

  /**
   * False when the node was removed between the message and now, also while it waited in an outbox: which disk it is meant
   * for cannot be said any more, and another may be there.
   */
  #isMeant(message: Message): boolean {
    return this.#options.identity.isMember(message.to);
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
