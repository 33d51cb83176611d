import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { RaftOptions } from './config.ts';
import {
  appendThread,
  createMessage,
  type Entry,
  emptyBytes,
  emptyConfState,
  type Message,
  type NodeId,
} from './messages.ts';
import { Raft } from './raft.ts';
import type { Ready } from './ready.ts';
import { createNode, entry, index, perform, term } from './testing/node-fixture.ts';

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
