/** The log against a model: one array for what it must hold, and the promises of its marks after every step. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LogIndex, Term } from '@fleetmq/shared';
import fc from 'fast-check';
import { entriesSize, entrySize, limitEntries } from './entry-size.ts';
import { RaftLog } from './log.ts';
import { silentRaftLogger } from './logger.ts';
import { MemoryStorage } from './memory-storage.ts';
import { type Entry, type EntryId, emptyConfState, higherIndex, type Snapshot } from './messages.ts';

const anyLimit = Number.POSITIVE_INFINITY;

function entry(term: number, index: number): Entry {
  return { term: term as Term, index: index as LogIndex, type: 'EntryNormal', data: Uint8Array.of(term, index) };
}

function snapshotAt({ index, term }: EntryId): Snapshot {
  return { index, term, confState: emptyConfState, data: Uint8Array.of(1) };
}

/** A host that writes in order but late, and reads whatever it has written so far. */
class Model {
  readonly storage = new MemoryStorage();
  readonly log = new RaftLog(this.storage, silentRaftLogger, 60);
  /** Entries behind `base`. */
  entries: Entry[] = [];
  base: EntryId = { index: 0 as LogIndex, term: 0 as Term };
  term = 1;
  committed = 0;
  readonly writes: { entries: readonly Entry[]; snapshot: Snapshot | undefined; term: number; last: EntryId }[] = [];
  readonly applies: { readonly entries: readonly Entry[] }[] = [];
  appliedSoFar: number[] = [];

  get last(): EntryId {
    return this.entries.at(-1) ?? this.base;
  }

  termAt(index: number): number | undefined {
    return index === this.base.index ? this.base.term : this.entries[index - this.base.index - 1]?.term;
  }

  /** A new leader overwrites from some uncommitted index on. */
  appendFrom(back: number, count: number, isNewTerm: boolean): void {
    if (isNewTerm) this.term++;
    const previous = Math.max(this.committed, this.last.index - (isNewTerm ? back : 0));
    const fresh = Array.from({ length: count }, (_, i) => entry(this.term, previous + 1 + i));
    const previousId = { index: previous as LogIndex, term: this.termAt(previous) as Term };
    const last = this.log.maybeAppend({ previous: previousId, entries: fresh }, 0 as LogIndex);
    assert.equal(last, previous + count);
    if (count > 0) this.entries = [...this.entries.slice(0, previous - this.base.index), ...fresh];
  }

  commit(index: number): void {
    const target = Math.min(index, this.last.index);
    this.committed = Math.max(this.committed, target);
    this.log.commitTo(target as LogIndex);
  }

  restore(ahead: number): void {
    const snapshot = snapshotAt({ index: (this.last.index + ahead) as LogIndex, term: this.term as Term });
    this.log.restore(snapshot);
    this.base = snapshot;
    this.entries = [];
    this.committed = snapshot.index;
  }

  takeReady(): void {
    const { unstable } = this.log;
    const entries = unstable.nextEntries();
    const snapshot = unstable.nextSnapshot();
    const committed = this.log.nextCommitted(false);
    if (entries.length > 0 || snapshot !== undefined) {
      this.writes.push({ entries, snapshot, term: this.term, last: this.log.lastEntryId() });
    }
    unstable.acceptInProgress();
    const final = committed.at(-1);
    if (final === undefined) return;
    this.log.acceptApplying(final.index, entriesSize(committed), false);
    this.applies.push({ entries: committed });
  }

  finishWrite(): void {
    const write = this.writes.shift();
    if (write === undefined) return;
    if (write.snapshot !== undefined) this.storage.applySnapshot(write.snapshot);
    this.storage.append(write.entries);
    // The rule of step.ts: an answer of an older term marks no entries.
    if (write.term === this.term && write.entries.length > 0) this.log.unstable.stableTo(write.last);
    if (write.snapshot === undefined) return;
    this.log.unstable.stableSnapshotTo(write.snapshot.index);
    if (write.snapshot.index > this.log.applied) this.log.appliedTo(write.snapshot.index, 0);
  }

  finishApply(): void {
    const apply = this.applies.shift();
    if (apply === undefined) return;
    this.appliedSoFar.push(...apply.entries.map(({ index }) => index));
    const index = apply.entries.at(-1)?.index as LogIndex;
    this.log.appliedTo(higherIndex(index, this.log.applied), entriesSize(apply.entries));
  }

  compact(): void {
    const { applied } = this.log;
    if (applied > this.storage.lastIndex() || applied < this.storage.firstIndex()) return;
    // Only what is neither unstable nor about to be replaced.
    if (applied >= this.log.unstable.offset || this.log.unstable.snapshot !== undefined) return;
    this.storage.compact(applied);
    this.base = { index: applied, term: this.termAt(applied) as Term };
    this.entries = this.entries.filter(({ index }) => index > applied);
  }

  check(): void {
    const { log } = this;
    assert.equal(log.lastIndex(), this.last.index);
    assert.deepEqual(log.lastEntryId(), { index: this.last.index, term: this.last.term });
    assert.equal(log.firstIndex(), this.base.index + 1);
    for (let index = this.base.index as number; index <= this.last.index + 1; index++) {
      assert.equal(log.term(index as LogIndex), this.termAt(index), `term of ${index}`);
    }
    if (this.entries.length > 0) assert.deepEqual(log.entries(log.firstIndex(), anyLimit), this.entries);
    assert.ok(log.applied <= log.committed && log.committed === this.committed && log.committed <= log.lastIndex());
    const { offset, offsetInProgress, length } = log.unstable;
    assert.ok(offset <= offsetInProgress && offsetInProgress <= offset + length);
    // Nothing is applied twice or out of order.
    assert.ok(this.appliedSoFar.every((index, i) => i === 0 || index > (this.appliedSoFar[i - 1] as number)));
  }
}

test('the log reads as one, whatever is on disk, under way or compacted', () => {
  const op = fc.oneof(
    { weight: 5, arbitrary: fc.tuple(fc.constant('append'), fc.nat(4), fc.nat(3), fc.nat(9)) },
    { weight: 3, arbitrary: fc.tuple(fc.constant('commit'), fc.nat(3), fc.nat(0), fc.nat(0)) },
    { weight: 4, arbitrary: fc.tuple(fc.constant('ready'), fc.nat(0), fc.nat(0), fc.nat(0)) },
    { weight: 4, arbitrary: fc.tuple(fc.constant('write'), fc.nat(0), fc.nat(0), fc.nat(0)) },
    { weight: 3, arbitrary: fc.tuple(fc.constant('apply'), fc.nat(0), fc.nat(0), fc.nat(0)) },
    { weight: 1, arbitrary: fc.tuple(fc.constant('compact'), fc.nat(0), fc.nat(0), fc.nat(0)) },
    { weight: 1, arbitrary: fc.tuple(fc.constant('restore'), fc.nat(2), fc.nat(0), fc.nat(0)) },
  );
  fc.assert(
    fc.property(fc.array(op, { maxLength: 60 }), (ops) => {
      const model = new Model();
      for (const [kind, a, b, c] of ops) {
        if (kind === 'append') model.appendFrom(a, b, c < 3);
        else if (kind === 'commit') model.commit(model.committed + a);
        else if (kind === 'ready') model.takeReady();
        else if (kind === 'write') model.finishWrite();
        else if (kind === 'apply') model.finishApply();
        else if (kind === 'compact') model.compact();
        else model.restore(a + 1);
        model.check();
      }
    }),
    { numRuns: 400 },
  );
});

test('slices end where the limit says, but have one entry', () => {
  fc.assert(
    fc.property(fc.nat(12), fc.nat(12), fc.nat(120), (stored, unstable, maxBytes) => {
      const storage = new MemoryStorage();
      storage.append(Array.from({ length: stored }, (_, i) => entry(1, i + 1)));
      const log = new RaftLog(storage, silentRaftLogger, anyLimit);
      log.append(Array.from({ length: unstable }, (_, i) => entry(1, stored + i + 1)));
      const all = Array.from({ length: stored + unstable }, (_, i) => entry(1, i + 1));
      assert.deepEqual(log.entries(1 as LogIndex, maxBytes), limitEntries(all, maxBytes));
      const some = limitEntries(all, maxBytes);
      assert.ok(entriesSize(some) <= maxBytes || some.length <= 1);
      assert.ok(some.length === all.length || entriesSize(all.slice(0, some.length + 1)) > maxBytes);
    }),
  );
});

test('committed entries are never overwritten', () => {
  const model = new Model();
  model.appendFrom(0, 3, false);
  model.commit(2);
  const conflicting = { previous: { index: 1 as LogIndex, term: 1 as Term }, entries: [entry(2, 2)] };
  assert.throws(() => model.log.maybeAppend(conflicting, 0 as LogIndex), /conflict with committed entry/);
  assert.throws(() => model.log.commitTo(9 as LogIndex), /out of range/);
});

test('the hint skips every entry of a higher term', () => {
  const storage = new MemoryStorage();
  storage.append([1, 3, 3, 3, 5, 5].map((term, i) => entry(term, i + 1)));
  const log = new RaftLog(storage, silentRaftLogger, anyLimit);
  const guess = (index: number, term: number): number[] => {
    const id = log.findConflictByTerm(index as LogIndex, term as Term);
    return [id.index, id.term];
  };
  assert.deepEqual(guess(6, 2), [1, 1]);
  assert.deepEqual(guess(6, 3), [4, 3]);
  assert.deepEqual(guess(5, 9), [5, 5]);
  assert.deepEqual(guess(9, 3), [9, 0], 'an index that is not there may match');
  assert.deepEqual(guess(3, 0), [0, 0]);
});

test('sizes are those of the protobuf encoding', () => {
  assert.equal(entrySize({ ...entry(1, 1), data: new Uint8Array(0) }), 6);
  assert.equal(entrySize(entry(1, 1)), 10);
  assert.equal(entrySize(entry(300, 70_000)), 4 + 2 + 3 + 4);
});
