/** One node of the core without a network: the test writes its disk, and plays the other nodes. */
import { assert, type LogIndex, type Term } from '@fleetmq/shared';
import type { RaftOptions } from '../config.ts';
import { MemoryStorage } from '../memory-storage.ts';
import {
  createMessage,
  type Entry,
  emptyBytes,
  emptyConfState,
  type Message,
  type MessageType,
  type NodeId,
} from '../messages.ts';
import { Raft } from '../raft.ts';
import type { Ready } from '../ready.ts';

export const term = (value: number): Term => value as Term;
export const index = (value: number): LogIndex => value as LogIndex;

export function entry(entryTerm: number, at: number, data: readonly number[] = [at]): Entry {
  return { term: term(entryTerm), index: index(at), type: 'EntryNormal', data: Uint8Array.from(data) };
}

/** Node 1 of voters 1 to `voters`, from a snapshot at index 5, term 1. */
export function createNode(options: Partial<RaftOptions> = {}, voters = 3): { raft: Raft; storage: MemoryStorage } {
  const storage = new MemoryStorage();
  const ids = Array.from({ length: voters }, (_, i): NodeId => i + 1);
  storage.applySnapshot({
    index: index(5),
    term: term(1),
    confState: { ...emptyConfState, voters: ids },
    data: emptyBytes,
  });
  return { raft: new Raft({ id: 1, storage, random: () => 0, ...options }), storage };
}

/** Takes and performs all Readies of a node without asynchronous writes; returns what it sent and its last Ready. */
export function perform({ raft, storage }: { raft: Raft; storage: MemoryStorage }): {
  sent: Message[];
  readies: Ready[];
} {
  const sent: Message[] = [];
  const readies: Ready[] = [];
  while (raft.hasReady()) {
    const ready = raft.ready();
    readies.push(ready);
    if (ready.snapshot !== undefined) storage.applySnapshot(ready.snapshot);
    storage.append(ready.entries);
    if (ready.hardState !== undefined) storage.setHardState(ready.hardState);
    sent.push(...ready.messages);
    raft.advance();
  }
  return { sent, readies };
}

/** Makes node 1 leader of term 1 (or the next one) with the votes of all others. */
export function elect(node: { raft: Raft; storage: MemoryStorage }, voters = 3): void {
  node.raft.campaign();
  while (node.raft.status().role !== 'StateLeader') {
    const { sent } = perform(node);
    if (node.raft.status().role === 'StateLeader') return;
    const asked = sent.find(({ type }) => type === 'MsgPreVote' || type === 'MsgVote');
    assert(asked !== undefined, 'it asks for votes');
    const type: MessageType = asked.type === 'MsgVote' ? 'MsgVoteResp' : 'MsgPreVoteResp';
    for (let from = 2; from <= voters; from++) node.raft.step(createMessage(type, { from, to: 1, term: asked.term }));
  }
}

export function acknowledge(node: { raft: Raft }, from: NodeId, at: number): void {
  node.raft.step(createMessage('MsgAppResp', { from, to: 1, term: node.raft.status().term, index: index(at) }));
}
