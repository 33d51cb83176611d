import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { LogIndex, Term } from '@fleetmq/shared';
import type { RaftOptions } from './config.ts';
import { MemoryStorage } from './memory-storage.ts';
import {
  appendThread,
  createMessage,
  type Entry,
  emptyBytes,
  emptyConfState,
  type Message,
  type MessageType,
  type NodeId,
} from './messages.ts';
import { Raft } from './raft.ts';
import type { Ready } from './ready.ts';

const term = (value: number): Term => value as Term;
const index = (value: number): LogIndex => value as LogIndex;

function entry(entryTerm: number, at: number, data: readonly number[] = [at]): Entry {
  return { term: term(entryTerm), index: index(at), type: 'EntryNormal', data: Uint8Array.from(data) };
}

/** Node 1 of voters 1 to `voters`, from a snapshot at index 5, term 1. */
function createNode(options: Partial<RaftOptions> = {}, voters = 3): { raft: Raft; storage: MemoryStorage } {
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
function perform({ raft, storage }: { raft: Raft; storage: MemoryStorage }): { sent: Message[]; readies: Ready[] } {
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
function elect(node: { raft: Raft; storage: MemoryStorage }, voters = 3): void {
  node.raft.campaign();
  while (node.raft.status().role !== 'StateLeader') {
    const { sent } = perform(node);
    if (node.raft.status().role === 'StateLeader') return;
    const asked = sent.find(({ type }) => type === 'MsgPreVote' || type === 'MsgVote');
    assert.ok(asked, 'it asks for votes');
    const type: MessageType = asked.type === 'MsgVote' ? 'MsgVoteResp' : 'MsgPreVoteResp';
    for (let from = 2; from <= voters; from++) node.raft.step(createMessage(type, { from, to: 1, term: asked.term }));
  }
}

function acknowledge(node: { raft: Raft }, from: NodeId, at: number): void {
  node.raft.step(createMessage('MsgAppResp', { from, to: 1, term: node.raft.status().term, index: index(at) }));
}

describe('options', () => {
  const bad: [Partial<RaftOptions>, RegExp][] = [
    [{ id: 0 }, /id is 0/],
    [{ id: appendThread }, /id is/],
    [{ electionTicks: 1 }, /electionTicks is 1: it must be a whole number of 2 or more/],
    [{ heartbeatTicks: 0 }, /heartbeatTicks/],
    [{ maxInflightMsgs: 0 }, /maxInflightMsgs/],
    [{ maxInflightBytes: 10 }, /maxInflightBytes is 10: it must be 1048576 or more/],
    [{ maxCommittedSizePerReady: 0 }, /maxCommittedSizePerReady/],
    [{ readOnlyOption: 'lease-based', checkQuorum: false }, /checkQuorum must be on/],
  ];
  for (const [options, message] of bad) {
    test(`refuses ${JSON.stringify(options)}`, () => {
      assert.throws(() => createNode(options), { code: 'INVALID_CONFIG', message });
    });
  }
});

describe('malformed messages are refused and change nothing', () => {
  const node = createNode();
  const cases: [string, Message][] = [
    ['a local message', createMessage('MsgHup', { from: 2 })],
    ['an answer of a stranger', createMessage('MsgAppResp', { from: 9, term: term(3) })],
    ['a message without a sender', createMessage('MsgReadIndex')],
    ['a message without a term', createMessage('MsgHeartbeat', { from: 2 })],
    ['a term that is no number', createMessage('MsgHeartbeat', { from: 2, term: term(Number.NaN) })],
    [
      'entries with a gap',
      createMessage('MsgApp', { from: 2, term: term(3), index: index(5), entries: [entry(3, 7)] }),
    ],
    [
      'entries whose terms fall',
      createMessage('MsgApp', { from: 2, term: term(3), index: index(5), entries: [entry(3, 6), entry(2, 7)] }),
    ],
    [
      'an entry of a later term',
      createMessage('MsgApp', { from: 2, term: term(3), index: index(5), entries: [entry(4, 6)] }),
    ],
    ['a proposal of nothing', createMessage('MsgProp', { from: 2 })],
    ['a snapshot of nothing', createMessage('MsgSnap', { from: 2, term: term(3) })],
    [
      'a snapshot whose configuration is none',
      createMessage('MsgSnap', {
        from: 2,
        term: term(3),
        snapshot: {
          index: index(9),
          term: term(2),
          confState: { ...emptyConfState, voters: [1], learners: [1] },
          data: emptyBytes,
        },
      }),
    ],
  ];
  for (const [what, message] of cases) {
    test(what, () => {
      assert.equal(node.raft.step(message)?.code, 'INVALID_REQUEST');
      assert.equal(node.raft.hasReady(), false);
    });
  }

  test('a proposal whose configuration change is none', () => {
    const leader = createNode({}, 1);
    leader.raft.campaign();
    perform(leader);
    const proposal: Entry = { ...entry(0, 0, [255]), type: 'EntryConfChangeV2' };
    const message = createMessage('MsgProp', { from: 2, entries: [proposal] });
    assert.equal(leader.raft.step(message)?.code, 'INVALID_REQUEST');
    assert.equal(leader.raft.hasReady(), false);
  });
});

describe('elections', () => {
  test('the timeout is drawn between one and two election timeouts', () => {
    for (const [random, expected] of [
      [0, 10],
      [0.5, 15],
      [0.999, 19],
    ] as const) {
      const { raft } = createNode({ random: () => random });
      for (let i = 1; i < expected; i++) raft.tick();
      assert.equal(raft.status().role, 'StateFollower');
      raft.tick();
      assert.equal(raft.status().role, 'StatePreCandidate');
    }
  });

  test('a vote is durable before it leaves, and given once per term, across restarts', () => {
    const node = createNode({ preVote: false });
    const ask = (from: NodeId): Message =>
      createMessage('MsgVote', { from, to: 1, term: term(4), index: index(5), logTerm: term(1) });
    node.raft.step(ask(2));
    const { readies } = perform(node);
    assert.equal(readies[0]?.mustSync, true);
    assert.deepEqual(readies[0]?.hardState, { term: 4, vote: 2, commit: 5 });
    const restarted = { storage: node.storage, raft: new Raft({ id: 1, storage: node.storage, random: () => 0 }) };
    restarted.raft.step(ask(3));
    restarted.raft.step(ask(2));
    const { sent } = perform(restarted);
    assert.deepEqual(
      sent.map(({ to, reject }) => ({ to, reject })),
      [
        { to: 3, reject: true },
        { to: 2, reject: false },
      ],
    );
  });

  test('with asynchronous writes a request for votes waits until the log that it names is durable', () => {
    const types = (durableVoteRequests: boolean): string[] => {
      const { raft } = createNode({ asyncStorageWrites: true, preVote: false, durableVoteRequests });
      raft.campaign();
      return raft.ready().messages.map(({ type, responses }) => `${type}(${responses.map((inner) => inner.type)})`);
    };
    assert.deepEqual(types(true), ['MsgStorageAppend(MsgVoteResp,MsgVote,MsgVote)']);
    assert.deepEqual(types(false), ['MsgVote()', 'MsgVote()', 'MsgStorageAppend(MsgVoteResp)']);
  });

  test('a pre-vote for a term that the node has entered meanwhile does not count for the next one', () => {
    const node = createNode({}, 5);
    const preVote = (from: NodeId, answered: number): void => {
      node.raft.step(createMessage('MsgPreVoteResp', { from, to: 1, term: term(answered) }));
    };
    const atEnd = { index: index(5), logTerm: term(1) };
    node.raft.campaign();
    perform(node);
    node.raft.step(createMessage('MsgVote', { from: 3, to: 1, term: term(1), ...atEnd }));
    perform(node);
    node.raft.campaign();
    perform(node);
    preVote(2, 2);
    // Held up since it was asked for term 1.
    preVote(4, 1);
    assert.deepEqual([node.raft.status().role, node.raft.status().term], ['StatePreCandidate', 1]);
    preVote(4, 2);
    assert.deepEqual([node.raft.status().role, node.raft.status().term], ['StateCandidate', 2]);
  });

  test('a node that never heard of a term does not answer a hopeless pre-vote', () => {
    const node = createNode();
    const message = createMessage('MsgPreVote', { from: 2, term: term(1), index: index(4), logTerm: term(1) });
    assert.equal(node.raft.step(message), undefined);
    assert.deepEqual(perform(node).sent, []);
  });
});

describe('a leader', () => {
  test('commits entries of earlier terms only along with one of its own', () => {
    const node = createNode();
    node.raft.step(
      createMessage('MsgApp', { from: 2, term: term(2), index: index(5), logTerm: term(1), entries: [entry(2, 6)] }),
    );
    perform(node);
    for (let i = 0; i < 10; i++) node.raft.tick();
    elect(node);
    perform(node);
    acknowledge(node, 2, 6);
    assert.equal(node.raft.status().commit, 5);
    acknowledge(node, 2, 7);
    assert.equal(node.raft.status().commit, 7);
  });

  test('refuses proposals when its uncommitted tail is full, but for an empty tail', () => {
    const node = createNode({ maxUncommittedEntriesSize: 10 });
    elect(node);
    perform(node);
    assert.equal(node.raft.propose(new Uint8Array(50)), undefined);
    assert.equal(node.raft.propose(new Uint8Array(1))?.code, 'PROPOSAL_DROPPED');
    perform(node);
    acknowledge(node, 2, 7);
    perform(node);
    assert.equal(node.raft.propose(new Uint8Array(1)), undefined);
  });

  test('sends a snapshot only when it knows the member', () => {
    const node = createNode();
    elect(node);
    perform(node);
    acknowledge(node, 2, 6);
    perform(node);
    node.raft.applyConfChange(
      { kind: 'one-step', type: 'ConfChangeAddLearnerNode', nodeId: 4, context: emptyBytes },
      index(6),
    );
    perform(node);
    node.storage.compact(index(6));
    node.raft.step(createMessage('MsgAppResp', { from: 4, term: term(1), index: index(5), reject: true }));
    assert.deepEqual(perform(node).sent, []);
    assert.equal(node.raft.status().progress.get(4)?.state, 'StateProbe');
    node.storage.createSnapshot(index(6), { ...emptyConfState, voters: [1, 2, 3], learners: [4] }, emptyBytes);
    node.raft.step(createMessage('MsgHeartbeatResp', { from: 4, term: term(1) }));
    assert.deepEqual(
      perform(node).sent.map(({ type, to }) => ({ type, to })),
      [{ type: 'MsgSnap', to: 4 }],
    );
  });

  test('steps down when it hears nobody, however often it is asked to hand over', () => {
    const node = createNode();
    elect(node);
    perform(node);
    let ticks = 0;
    for (; node.raft.status().role === 'StateLeader' && ticks < 100; ticks++) {
      node.raft.transferLeader(2 + (ticks % 2));
      node.raft.tick();
    }
    // The answers that made it leader do not count as heard.
    assert.equal(ticks, 10);
  });

  test('gives a transfer up one election timeout after it began, whenever the quorum is checked', () => {
    const node = createNode();
    elect(node);
    perform(node);
    for (let i = 0; i < 15; i++) {
      if (i === 4) node.raft.transferLeader(2);
      acknowledge(node, 3, 6);
      const isUnderWay = i >= 4 && i < 14;
      assert.equal(node.raft.status().leadTransferee, isUnderWay ? 2 : 0, `tick ${i}`);
      node.raft.tick();
    }
  });

  test('refuses reads beyond the limit', () => {
    const node = createNode({ maxPendingReads: 2 });
    elect(node);
    assert.equal(node.raft.readIndex(emptyBytes), undefined);
    assert.equal(node.raft.readIndex(emptyBytes), undefined);
    assert.equal(node.raft.readIndex(emptyBytes)?.code, 'LIMIT_EXCEEDED');
  });

  test('refuses reads whose answers nobody takes', () => {
    const node = createNode({ maxPendingReads: 2 }, 1);
    elect(node, 1);
    perform(node);
    for (let i = 0; i < 2; i++) assert.equal(node.raft.readIndex(emptyBytes), undefined);
    assert.equal(node.raft.readIndex(emptyBytes)?.code, 'LIMIT_EXCEEDED');
    assert.equal(perform(node).readies[0]?.readStates.length, 2);
    assert.equal(node.raft.readIndex(emptyBytes), undefined);
  });

  test('forgets its reads with its term', () => {
    const node = createNode({ preVote: false, checkQuorum: false });
    elect(node);
    perform(node);
    acknowledge(node, 2, 6);
    node.raft.readIndex(Uint8Array.of(1));
    const heartbeat = perform(node).sent.find(({ type }) => type === 'MsgHeartbeat');
    assert.equal(heartbeat?.readSequence, 1);
    node.raft.step(createMessage('MsgHeartbeat', { from: 2, term: term(2), commit: index(5) }));
    elect(node);
    perform(node);
    acknowledge(node, 2, 7);
    node.raft.step(createMessage('MsgHeartbeatResp', { from: 2, term: term(3), readSequence: 1 }));
    assert.ok(perform(node).readies.every(({ readStates }) => readStates.length === 0));
  });
});

describe('asynchronous storage writes', () => {
  const append = (from: NodeId, atTerm: number, entries: readonly Entry[], commit = 5): Message =>
    createMessage('MsgApp', {
      from,
      term: term(atTerm),
      index: index(5),
      logTerm: term(1),
      entries,
      commit: index(commit),
    });

  function writeOf(ready: Ready): Message {
    const write = ready.messages.find(({ type }) => type === 'MsgStorageAppend');
    assert.ok(write);
    return write;
  }

  test('an answer of an older term marks no entries, even when the same entry is back (ABA)', () => {
    const { raft, storage } = createNode({ asyncStorageWrites: true });
    const first = entry(1, 6, [1]);
    const second = entry(2, 6, [2]);
    const writes = [append(2, 1, [first]), append(3, 2, [second]), append(2, 3, [first])].map((message) => {
      raft.step(message);
      return writeOf(raft.ready());
    });
    const finish = (position: number): void => {
      const write = writes[position] as Message;
      storage.append(write.entries);
      for (const response of write.responses) if (response.to === 1) raft.step(response);
    };
    finish(0);
    finish(1);
    // Storage has the second entry now. Had the first answer counted, the log would read it.
    raft.step(createMessage('MsgHeartbeat', { from: 2, term: term(3), commit: index(6) }));
    assert.deepEqual(raft.ready().committedEntries, [], 'not on disk yet');
    finish(2);
    assert.deepEqual(raft.ready().committedEntries, [first]);
  });

  test('a change of members that a snapshot has overtaken is not applied again', () => {
    const { raft, storage } = createNode({ asyncStorageWrites: true });
    raft.step(append(2, 1, [entry(1, 6)], 6));
    const write = writeOf(raft.ready());
    storage.append(write.entries);
    for (const response of write.responses) if (response.to === 1) raft.step(response);
    assert.equal(raft.ready().committedEntries.length, 1);
    const confState = { ...emptyConfState, voters: [1, 2, 3, 4] };
    const snapshot = { index: index(9), term: term(1), confState, data: emptyBytes };
    raft.step(createMessage('MsgSnap', { from: 2, term: term(1), snapshot }));
    assert.equal(raft.status().pendingSnapshot, 9);
    const change = { kind: 'one-step', type: 'ConfChangeRemoveNode', nodeId: 4, context: emptyBytes } as const;
    assert.equal(raft.applyConfChange(change, index(6)), undefined);
    assert.ok(raft.status().config.voters.incoming.has(4));
    assert.deepEqual(raft.applyConfChange(change, index(10))?.voters, [1, 2, 3]);
  });

  test('advance is refused', () => {
    const { raft } = createNode({ asyncStorageWrites: true });
    assert.throws(() => raft.advance(), /advance must not be called/);
  });
});

describe('a restart', () => {
  test('goes on from term, vote, commit and applied index', () => {
    const node = createNode();
    node.raft.step(append(2, 3));
    perform(node);
    const raft = new Raft({ id: 1, storage: node.storage, random: () => 0, applied: 6 });
    const { term: atTerm, commit, applied, lastIndex } = raft.status();
    assert.deepEqual({ atTerm, commit, applied, lastIndex }, { atTerm: 3, commit: 7, applied: 6, lastIndex: 7 });
    assert.deepEqual(
      raft.ready().committedEntries.map((item) => item.index),
      [7],
    );
  });

  test('takes what was applied or compacted as committed when the commit index did not reach the disk', () => {
    const node = createNode();
    node.raft.step(append(2, 3));
    perform(node);
    node.storage.setHardState({ term: term(3), vote: 0, commit: index(5) });
    const applied = new Raft({ id: 1, storage: node.storage, random: () => 0, applied: 6 });
    assert.equal(applied.status().commit, 6);
    node.storage.createSnapshot(index(6), { ...emptyConfState, voters: [1, 2, 3] }, emptyBytes);
    node.storage.compact(index(6));
    const compacted = new Raft({ id: 1, storage: node.storage, random: () => 0 });
    assert.equal(compacted.status().commit, 6);
  });

  test('stops when the log is shorter than what was committed', () => {
    const node = createNode();
    node.storage.setHardState({ term: term(3), vote: 0, commit: index(9) });
    assert.throws(() => new Raft({ id: 1, storage: node.storage, random: () => 0 }), /commit 9 is out of range/);
  });

  const append = (from: NodeId, atTerm: number): Message =>
    createMessage('MsgApp', {
      from,
      term: term(atTerm),
      index: index(5),
      logTerm: term(1),
      entries: [entry(atTerm, 6), entry(atTerm, 7)],
      commit: index(7),
    });
});
