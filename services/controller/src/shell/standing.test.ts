import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emptyConfState } from '@fleetmq/raft';
import { DomainError, type LogIndex, silentLogger } from '@fleetmq/shared';
import { noMembership } from '../domain/membership.ts';
import { type QuorumNews, Standing } from './standing.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Learner 4 of 1 to 3 at index 26, which has heard nobody for a while; what it is after it has asked. */
async function standingAfter(news: Readonly<Record<number, QuorumNews>>): Promise<string> {
  let look = (): void => undefined;
  await using standing = new Standing({
    controllerId: 4,
    diskId: 'disk',
    confState: () => ({ ...emptyConfState, voters: [1, 2, 3], learners: [4] }),
    membership: () => noMembership,
    appliedIndex: () => 26 as LogIndex,
    addresses: () => [1, 2, 3, 4].map((controllerId) => ({ controllerId, host: 'c', port: controllerId })),
    ask: async ({ port }) => {
      const answer = news[port];
      if (answer === undefined) throw new DomainError('NOT_AVAILABLE', 'nobody is there');
      return answer;
    },
    silenceMs: () => 10_000,
    onRemoved: () => undefined,
    timers: {
      after: () => ({ cancel: () => undefined }),
      every: (_periodMs, callback) => {
        look = callback;
        return { cancel: () => undefined };
      },
    },
    logger: silentLogger,
    askAfterMs: 3_000,
  });
  look();
  await turn();
  return standing.state;
}

test('a silent learner believes a member that no longer counts it, whoever else still does', async () => {
  const removedBefore = { appliedIndex: 34, memberIds: [2, 3, 4] };
  const member = { appliedIndex: 80, memberIds: [2, 3] };
  assert.equal(await standingAfter({ 1: removedBefore, 2: member }), 'removed');
  assert.equal(await standingAfter({ 3: member }), 'removed');
  assert.equal(await standingAfter({ 1: removedBefore }), 'member');
  assert.equal(await standingAfter({}), 'member');
});

test('nobody who knows less, or waits to be added itself, is believed', async () => {
  const lagging = { appliedIndex: 25, memberIds: [1, 2, 3] };
  const joining = { appliedIndex: 26, memberIds: [] };
  assert.equal(await standingAfter({ 1: lagging, 2: joining }), 'member');
});
