import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createMessage, type Entry, type Message } from '@fleetmq/raft';
import type { LogIndex, Term } from '@fleetmq/shared';
import { nodeTimers } from '@fleetmq/shared/runtime';
import fc from 'fast-check';
import { joinMessages, RaftOutbox } from './raft-outbox.ts';

function entry(index: number, bytes = 1): Entry {
  return { index: index as LogIndex, term: 1 as Term, type: 'EntryNormal', data: new Uint8Array(bytes) };
}

/** An append of `count` entries behind `index`. */
function append(index: number, count: number, { term = 1, commit = 0, bytes = 1 } = {}): Message {
  const entries = Array.from({ length: count }, (_, position) => entry(index + 1 + position, bytes));
  return createMessage('MsgApp', {
    to: 2,
    term: term as Term,
    index: index as LogIndex,
    logTerm: 1 as Term,
    commit: commit as LogIndex,
    entries,
  });
}

function heartbeat(readSequence: number, term = 1): Message {
  return createMessage('MsgHeartbeat', { to: 2, term: term as Term, readSequence });
}

/** Calls that end when the test says so. */
class Calls {
  readonly sent: Message[] = [];
  readonly #ends: (() => void)[] = [];

  readonly call = (message: Message): Promise<void> => {
    this.sent.push(message);
    return new Promise((resolve) => {
      this.#ends.push(resolve);
    });
  };

  /** The oldest one ends. */
  async end(): Promise<void> {
    this.#ends.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
  }

  get open(): number {
    return this.#ends.length;
  }
}

function create(calls: Calls, { patienceMs = 60_000, callsMax = 8 } = {}): RaftOutbox {
  return new RaftOutbox({ call: calls.call, timers: nodeTimers, patienceMs, callsMax });
}

describe('joining messages', () => {
  test('appends that follow each other become one, with the younger commit index', () => {
    const joined = joinMessages(append(3, 2, { commit: 1 }), append(5, 1, { commit: 4 }));
    assert.deepEqual(joined, append(3, 3, { commit: 4 }));
    assert.deepEqual(joinMessages(append(5, 0), append(5, 2)), append(5, 2));
    assert.deepEqual(joinMessages(append(5, 2), append(7, 0, { commit: 6 })), append(5, 2, { commit: 6 }));
  });

  test('what does not follow, is of another term or kind, or too large, stays apart', () => {
    assert.equal(joinMessages(append(3, 2), append(4, 1)), undefined);
    assert.equal(joinMessages(append(3, 2), append(3, 2)), undefined);
    assert.equal(joinMessages(append(3, 2), append(5, 1, { term: 2 })), undefined);
    assert.equal(joinMessages(append(3, 2), heartbeat(1)), undefined);
    assert.equal(joinMessages(append(3, 1, { bytes: 700_000 }), append(4, 1, { bytes: 700_000 })), undefined);
  });

  test('a younger heartbeat says all that an older one said', () => {
    assert.equal(joinMessages(heartbeat(1), heartbeat(7))?.readSequence, 7);
    assert.equal(joinMessages(heartbeat(1), heartbeat(7, 2)), undefined);
  });
});

describe('the outbox of Raft messages', () => {
  test('what comes while calls are under way leaves as one', async () => {
    const calls = new Calls();
    using stack = new DisposableStack();
    const outbox = create(calls);
    stack.defer(() => outbox.close());
    for (let index = 0; index < 100; index++) assert.ok(outbox.send(append(index, 1)));
    assert.equal(calls.open, 2);
    await calls.end();
    await calls.end();
    assert.deepEqual(
      calls.sent.map(({ index, entries }) => [index, entries.length]),
      [
        [0, 1],
        [1, 1],
        [2, 98],
      ],
    );
    await calls.end();
    assert.equal(calls.open, 0);
  });

  test('a call without an answer holds up the next one for a while only', async () => {
    const calls = new Calls();
    const outbox = create(calls, { patienceMs: 5, callsMax: 4 });
    for (let sequence = 1; sequence <= 3; sequence++) outbox.send(heartbeat(sequence));
    assert.equal(calls.open, 2);
    while (calls.open < 3) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(calls.sent[2]?.readSequence, 3);
    outbox.close();
    while (calls.open > 0) await calls.end();
  });

  test('is bounded, and drops what waits when it is closed', async () => {
    const calls = new Calls();
    const outbox = create(calls);
    const sent = Array.from({ length: 40 }, () => outbox.send(append(3, 1)));
    assert.equal(sent.filter((isTaken) => isTaken).length, 2 + 16);
    outbox.close();
    await calls.end();
    await calls.end();
    assert.equal(calls.sent.length, 2);
  });

  test('whatever joins, the entries arrive whole and in order', async () => {
    const steps = fc.array(fc.oneof(fc.nat(3), fc.constant('end' as const)), { maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(steps, async (history) => {
        const calls = new Calls();
        const outbox = create(calls);
        let index = 0;
        for (const step of history) {
          if (step === 'end') await calls.end();
          else outbox.send(append(index, step, { commit: index }));
          if (step !== 'end') index += step;
        }
        while (calls.open > 0) await calls.end();
        const arrived = calls.sent.flatMap(({ entries }) => entries.map((each) => each.index as number));
        assert.deepEqual(
          arrived,
          Array.from({ length: index }, (_, position) => position + 1),
        );
        for (const message of calls.sent) assert.ok(message.commit <= message.index + message.entries.length);
      }),
      { numRuns: 100 },
    );
  });
});
