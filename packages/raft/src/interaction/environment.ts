/**
 * A set of nodes with their storage and state machine, and the messages between them, all in one thread of control: what
 * the interaction transcripts drive. Nodes do nothing unless a command says so.
 *
 * Each node's host is minimal and correct: it writes, applies, queues messages and advances, in the order of ready.ts.
 * The state machine appends each payload to its data; the state after each applied entry is kept, and the newest is what
 * the node sends as a snapshot. Ids count from 1.
 */
import { assert, DomainError, type LogIndex, type Term } from '@fleetmq/shared';
import { decodeConfChange } from '../conf-change.ts';
import type { RaftOptions } from '../config.ts';
import { describeMessage, describeReady } from '../describe.ts';
import { MemoryStorage } from '../memory-storage.ts';
import {
  type Entry,
  type HardState,
  isEmptyHardState,
  isLocalThread,
  type Message,
  type MessageType,
  type NodeId,
  type Snapshot,
} from '../messages.ts';
import { Raft } from '../raft.ts';
import type { Output } from './output.ts';

/** Storage whose snapshot is always the newest state of the state machine. */
class HistoryStorage extends MemoryStorage {
  readonly history: Snapshot[] = [];

  override snapshot(): Snapshot | undefined {
    return this.history[this.history.length - 1];
  }
}

export interface TranscriptNode {
  readonly raft: Raft;
  readonly storage: HistoryStorage;
  readonly isAsync: boolean;
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly appendWork: Message[];
  readonly applyWork: Message[];
}

export type NodeTemplate = Partial<Omit<RaftOptions, 'id' | 'storage' | 'logger' | 'random'>>;

export interface Recipient {
  readonly id: NodeId;
  readonly isDropped: boolean;
}

/** Transcripts know no chance: who needs another timeout sets it. */
const shortestTimeout = (): number => 0;

const limits = {
  electionTicks: 3,
  heartbeatTicks: 1,
  maxSizePerMsg: Number.POSITIVE_INFINITY,
  maxCommittedSizePerReady: Number.POSITIVE_INFINITY,
  maxUncommittedEntriesSize: Number.POSITIVE_INFINITY,
  maxInflightMsgs: 2 ** 31 - 1,
  maxInflightBytes: Number.POSITIVE_INFINITY,
  asyncStorageWrites: false,
  checkQuorum: false,
  preVote: false,
  durableVoteRequests: false,
  disableProposalForwarding: false,
  stepDownOnRemoval: false,
};

export class Environment {
  readonly output: Output;
  readonly #nodes: TranscriptNode[] = [];
  #messages: Message[] = [];

  constructor(output: Output) {
    this.output = output;
  }

  get nodes(): readonly TranscriptNode[] {
    return this.#nodes;
  }

  node(id: NodeId): TranscriptNode {
    const node = this.#nodes[id - 1];
    if (node === undefined) throw new DomainError('INVALID_REQUEST', `there is no node ${id}`);
    return node;
  }

  /** With `bootstrap` all new nodes start from this snapshot, whose index must be above 1. */
  addNodes(count: number, template: NodeTemplate, bootstrap: Snapshot | undefined, empty: Snapshot): void {
    if (bootstrap !== undefined && bootstrap.index <= 1) {
      throw new DomainError('INVALID_REQUEST', 'index must be specified as > 1 due to bootstrap');
    }
    for (let i = 0; i < count; i++) {
      const id = this.#nodes.length + 1;
      const storage = new HistoryStorage();
      if (bootstrap !== undefined) storage.applySnapshot(bootstrap);
      const options = { ...limits, ...template, id, storage, logger: this.output.logger, random: shortestTimeout };
      const { asyncStorageWrites, electionTicks, heartbeatTicks } = options;
      storage.history.push(bootstrap ?? empty);
      const raft = new Raft(options);
      this.#nodes.push({
        raft,
        storage,
        isAsync: asyncStorageWrites,
        electionTicks,
        heartbeatTicks,
        appendWork: [],
        applyWork: [],
      });
    }
  }

  post(message: Message): void {
    this.#messages.push(message);
  }

  processReady(id: NodeId): void {
    const node = this.node(id);
    const ready = node.raft.ready();
    this.output.write(describeReady(ready));
    if (!node.isAsync) {
      writeAppend(node, ready.hardState, ready.entries, ready.snapshot);
      applyEntries(node, ready.committedEntries);
    }
    for (const message of ready.messages) {
      if (!isLocalThread(message.to)) this.#messages.push(message);
      else if (message.type === 'MsgStorageAppend') node.appendWork.push(message);
      else node.applyWork.push(message);
    }
    if (!node.isAsync) node.raft.advance();
  }

  /** Works off one message of the append queue. */
  processAppend(id: NodeId): void {
    const node = this.node(id);
    const message = node.appendWork.shift();
    if (message === undefined) {
      this.output.write('no append work to perform');
      return;
    }
    this.#describeWork(message);
    const { term, vote, commit } = message;
    writeAppend(node, { term, vote, commit }, message.entries, message.snapshot);
    this.#respond(message);
  }

  /** Works off one message of the apply queue. */
  processApply(id: NodeId): void {
    const node = this.node(id);
    const message = node.applyWork.shift();
    if (message === undefined) {
      this.output.write('no apply work to perform');
      return;
    }
    this.#describeWork(message);
    applyEntries(node, message.entries);
    this.#respond(message);
  }

  /** Delivers or drops what is under way to these nodes, of one type or of all. Returns how many messages it were. */
  deliver(recipients: readonly Recipient[], type?: MessageType): number {
    let count = 0;
    for (const { id, isDropped } of recipients) {
      const isMeant = (message: Message): boolean =>
        message.to === id && !(isDropped && isLocal(message)) && (type === undefined || message.type === type);
      const meant = this.#messages.filter(isMeant);
      this.#messages = this.#messages.filter((message) => !isMeant(message));
      count += meant.length;
      for (const message of meant) this.#deliverOne(message, isDropped);
    }
    return count;
  }

  /** Everything that these nodes have to do, round by round, until nothing moves any more. */
  stabilize(ids: readonly NodeId[]): void {
    const nodes = ids.map((id) => this.node(id));
    for (let isDone = false; !isDone; ) {
      isDone = true;
      const round = (title: string, hasWork: (node: TranscriptNode) => boolean, work: (id: NodeId) => void): void => {
        for (const node of nodes) {
          if (!hasWork(node)) continue;
          const { id } = node.raft;
          this.output.write(`> ${id} ${title}\n`);
          work(id);
          isDone = false;
        }
      };
      round(
        'handling Ready',
        (node) => node.raft.hasReady(),
        (id) => this.output.indented(() => this.processReady(id)),
      );
      round(
        'receiving messages',
        (node) => this.#messages.some((message) => message.to === node.raft.id),
        (id) => this.output.indented(() => this.deliver([{ id, isDropped: false }])),
      );
      round(
        'processing append thread',
        (node) => node.appendWork.length > 0,
        (id) => {
          while (this.node(id).appendWork.length > 0) this.output.indented(() => this.processAppend(id));
        },
      );
      round(
        'processing apply thread',
        (node) => node.applyWork.length > 0,
        (id) => {
          while (this.node(id).applyWork.length > 0) this.output.indented(() => this.processApply(id));
        },
      );
    }
  }

  #deliverOne(message: Message, isDropped: boolean): void {
    this.output.write(`${isDropped ? 'dropped: ' : ''}${describeMessage(message)}\n`);
    if (isDropped) return;
    const error = this.node(message.to).raft.step(message);
    if (error !== undefined) this.output.write(`${error.message}\n`);
  }

  #describeWork(message: Message): void {
    this.output.write(`Processing:\n${describeMessage({ ...message, responses: [] })}\n`);
  }

  #respond({ responses }: Message): void {
    this.output.write('Responses:\n');
    for (const response of responses) this.output.write(`${describeMessage(response)}\n`);
    this.#messages.push(...responses);
  }
}

function isLocal({ from, to }: Message): boolean {
  return from === to || isLocalThread(from) || isLocalThread(to);
}

function writeAppend(
  { storage }: TranscriptNode,
  hardState: HardState | undefined,
  entries: readonly Entry[],
  snapshot: Snapshot | undefined,
): void {
  if (hardState !== undefined && !isEmptyHardState(hardState)) storage.setHardState(hardState);
  if (snapshot === undefined) {
    storage.append(entries);
  } else {
    assert(entries.length === 0, "can't apply snapshot and entries at the same time");
    storage.applySnapshot(snapshot);
  }
}

function applyEntries({ raft, storage }: TranscriptNode, entries: readonly Entry[]): void {
  for (const entry of entries) {
    const last = storage.history[storage.history.length - 1] as Snapshot;
    let payload = entry.data;
    let { confState } = last;
    if (entry.type !== 'EntryNormal') {
      const change = decodeConfChange(entry.type, entry.data);
      payload = change.context;
      confState = raft.applyConfChange(change, entry.index) ?? confState;
    }
    const data = new Uint8Array([...last.data, ...payload]);
    storage.history.push(snapshotOf(entry.index, entry.term, confState, data));
  }
}

function snapshotOf(index: LogIndex, term: Term, confState: Snapshot['confState'], data: Uint8Array): Snapshot {
  return { index, term, confState, data };
}
