import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createMessage, type Message } from '@fleetmq/raft';
import { DomainError, type LogIndex, type Term } from '@fleetmq/shared';
import { nodeTimers } from '@fleetmq/shared/runtime';
import { RaftInbox } from './raft-inbox.ts';

const term = 3 as Term;
const { signal } = new AbortController();
const hasCode = (code: string) => (error: unknown) => error instanceof DomainError && error.code === code;

function create(step: (message: Message) => DomainError | undefined = () => undefined, answerTimeoutMs = 10_000) {
  return new RaftInbox({ step, timers: nodeTimers, answerTimeoutMs, waitersMax: 2 });
}

function answer(type: Message['type'], to: number, index = 0): Message {
  return createMessage(type, { from: 1, to, term, index: index as LogIndex });
}

describe('the inbox of Raft calls', () => {
  test('the core answers calls in order, per sender and kind', async () => {
    const inbox = create();
    const append = (from: number) => inbox.ask(createMessage('MsgApp', { from, to: 1, term }), { signal });
    const [first, second, other] = [append(2), append(2), append(3)];
    const heartbeat = inbox.ask(createMessage('MsgHeartbeat', { from: 2, to: 1, term }), { signal });
    inbox.answer(answer('MsgAppResp', 3, 30));
    inbox.answer(answer('MsgHeartbeatResp', 2));
    inbox.answer(answer('MsgAppResp', 2, 5));
    inbox.answer(answer('MsgAppResp', 2, 6));
    assert.deepEqual([(await first).index, (await second).index, (await other).index], [5, 6, 30]);
    assert.equal((await heartbeat).type, 'MsgHeartbeatResp');
    // Nobody waits: lost.
    inbox.answer(answer('MsgAppResp', 2, 7));
  });

  test('an old leader learns of the newer term by the answer to its heartbeat', async () => {
    const inbox = create();
    const heartbeat = inbox.ask(createMessage('MsgHeartbeat', { from: 2, to: 1, term }), { signal });
    inbox.answer(answer('MsgAppResp', 2));
    assert.equal((await heartbeat).type, 'MsgAppResp');
  });

  test('no answer, a refusal, too many calls: each ends', async () => {
    const silent = create(() => undefined, 5);
    const vote = createMessage('MsgVote', { from: 2, to: 1, term });
    await assert.rejects(silent.ask(vote, { signal }), hasCode('PROPOSAL_DROPPED'));
    const refusing = create(() => new DomainError('INVALID_REQUEST', 'no'));
    await assert.rejects(refusing.ask(vote, { signal }), hasCode('INVALID_REQUEST'));
    const busy = create();
    const caller = new AbortController();
    const waiting = [1, 2].map(() => busy.ask(vote, { signal: caller.signal }));
    await assert.rejects(busy.ask(vote, { signal }), hasCode('LIMIT_EXCEEDED'));
    caller.abort();
    for (const each of waiting) await assert.rejects(each, hasCode('PROPOSAL_DROPPED'));
  });
});
