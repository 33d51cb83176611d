import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Entry, emptyConfState, MemoryStorage } from '@fleetmq/raft';
import type { LogIndex, Term } from '@fleetmq/shared';
import { Counts } from '../../counts.ts';
import type { World } from '../world.ts';
import { Durability } from './durability.ts';
import type { Observed, Storage } from './observed.ts';

/** A log whose entries 1, 2, ... have these terms. */
function logOf(...terms: readonly number[]): Storage {
  const storage = new MemoryStorage();
  storage.append(entriesOf(1, terms));
  const snapshot = { index: 0, term: 0, confState: emptyConfState, data: new Uint8Array(0) };
  return Object.assign(storage, { currentSnapshot: () => snapshot }) as unknown as Storage;
}

function entriesOf(from: number, terms: readonly number[]): Entry[] {
  return terms.map((term, position) => ({
    index: (from + position) as LogIndex,
    term: term as Term,
    type: 'EntryNormal',
    data: new Uint8Array(0),
  }));
}

function verdict(before: Storage, write: readonly Entry[], after: Storage): string | undefined {
  const failed: string[] = [];
  const fail: World['fail'] = (_kind, name) => failed.push(name);
  const world = { counts: new Counts(), fail } as unknown as World;
  const reference = { appliedIndex: 0, termAt: () => 0 };
  const writing = [
    { term: 3, vote: 0, commit: 0, entries: write, snapshot: undefined },
  ] as unknown as Observed['writing'];
  const seen = { id: 1, diskId: 'disk', spokenTerm: 0 } as Observed;
  new Durability(world, reference as never).recovered(seen, { storage: before, writing }, after);
  return failed[0];
}

test('after a crash in a write the log is as before, or has all of the write', () => {
  const lost = 'what was durable survives a crash';
  const cases: readonly [string, Storage, readonly Entry[], Storage, string | undefined][] = [
    ['nothing was written', logOf(1, 1, 2), [], logOf(1, 1, 2), undefined],
    ['nothing was written, and an entry is lost', logOf(1, 1, 2), [], logOf(1, 1), lost],
    ['the write is lost', logOf(1, 1, 2), entriesOf(4, [2, 2]), logOf(1, 1, 2), undefined],
    ['the write is there', logOf(1, 1, 2), entriesOf(4, [2, 2]), logOf(1, 1, 2, 2, 2), undefined],
    ['a part of the write is there', logOf(1, 1, 2), entriesOf(4, [2, 2]), logOf(1, 1, 2, 2), lost],
    ['a conflict was being cut', logOf(1, 1, 2), entriesOf(3, [3]), logOf(1, 1, 3), undefined],
    ['a longer conflict was being cut', logOf(1, 1, 2, 2), entriesOf(3, [3]), logOf(1, 1, 3), undefined],
    ['the cut is there, what takes its place is not', logOf(1, 1, 2, 2), entriesOf(3, [3]), logOf(1, 1), lost],
  ];
  for (const [name, before, write, after, expected] of cases)
    assert.equal(verdict(before, write, after), expected, name);
});
