import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ControllerNode } from '@fleetmq/controller/sim';
import { type ConfChange, type Entry, emptyConfState, MemoryStorage } from '@fleetmq/raft';
import type { LogIndex, Term } from '@fleetmq/shared';
import { Counts } from '../../counts.ts';
import type { World } from '../world.ts';
import { Members } from './members.ts';
import type { Observed, Storage } from './observed.ts';

/** A log whose entries 1, 2, ... have these terms. */
function logOf(...terms: readonly number[]): Storage {
  const storage = new MemoryStorage();
  storage.append(terms.map((term, position) => entryOf(position + 1, term)));
  return Object.assign(storage, { currentSnapshot: () => ({ index: 0 }) }) as unknown as Storage;
}

function entryOf(index: number, term: number): Entry {
  return { index: index as LogIndex, term: term as Term, type: 'EntryNormal', data: new Uint8Array(0) };
}

/** All that is committed was so for long when the leader of `term` promotes the learner. */
function verdict(committed: readonly number[], term: number, leader: Storage, learner: Storage): string | undefined {
  const failed: string[] = [];
  const fail: World['fail'] = (_kind, name) => failed.push(name);
  const scheduler = { time: { nowMs: 0 } };
  const seed = { electionMs: 300, heartbeatMs: 30, clockDrift: 0 };
  const world = { counts: new Counts(), fail, scheduler, seed } as unknown as World;
  const reference = { termAt: (index: number) => committed[index - 1] };
  const disks = { holderOf: () => ({ storage: learner }) };
  const members = new Members(world, { reference, disks, history: {} } as never);
  for (const [position, each] of committed.entries()) members.committed(entryOf(position + 1, each));
  scheduler.time.nowMs = 10_000;
  const driver = { confState: emptyConfState, status: () => ({ term }) };
  const seen = { id: 1, diskId: 'disk', storage: leader } as Observed;
  const change: ConfChange = { kind: 'one-step', type: 'ConfChangeAddNode', nodeId: 4, context: new Uint8Array(0) };
  members.asked(seen, { driver, stateMachine: {} } as unknown as ControllerNode, change);
  return failed[0];
}

test('a learner that is promoted has what is committed and in the log of the leader that asks', () => {
  const lags = 'who is promoted has caught up';
  const cases: readonly [string, readonly number[], number, Storage, Storage, string | undefined][] = [
    ['it has all', [1, 1, 2], 2, logOf(1, 1, 2), logOf(1, 1, 2), undefined],
    ['it lacks one', [1, 1, 2], 2, logOf(1, 1, 2), logOf(1, 1), lags],
    ['it lacks one that is not durable on the leader yet', [1, 1, 2], 2, logOf(1, 1), logOf(1, 1), lags],
    ['it lacks one of a successor', [1, 2, 3], 2, logOf(1, 2, 2), logOf(1, 2, 2), undefined],
    ['it lacks an older one that a successor committed', [1, 2, 4], 3, logOf(1, 3), logOf(1, 3), undefined],
    ['it lacks one of a deposed leader', [1, 2, 3], 2, logOf(1, 2, 2), logOf(1), lags],
    ['it has gone on with a successor', [1, 2, 3], 2, logOf(1, 2, 2), logOf(1, 2, 3), undefined],
  ];
  for (const [name, committed, term, leader, learner, expected] of cases)
    assert.equal(verdict(committed, term, leader, learner), expected, name);
});
