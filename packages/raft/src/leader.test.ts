import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createMessage, emptyBytes, emptyConfState } from './messages.ts';
import { acknowledge, createNode, elect, entry, index, perform, term } from './testing/node-fixture.ts';

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
