import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createMessage, type Message, type NodeId } from './messages.ts';
import { Raft } from './raft.ts';
import { createNode, index, perform, term } from './testing/node-fixture.ts';

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
