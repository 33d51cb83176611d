import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Entry, emptyConfState, type Snapshot } from '@fleetmq/raft';
import { DomainError, isDomainError, type LogIndex, silentLogger, type Term, tableChecksum } from '@fleetmq/shared';
import { type DiskStep, durableFilesAfter, filesAfter, MemoryDisk } from '../testing/memory-disk.ts';
import { DiskRaftStorage, type StorageWrite } from './raft-storage.ts';

const confState = { ...emptyConfState, voters: [1, 2, 3] };

function openStorage(disk: MemoryDisk, segmentBytes = 256): Promise<DiskRaftStorage> {
  const first = { index: 1 as LogIndex, term: 1 as Term, confState, data: new Uint8Array(0) };
  return DiskRaftStorage.open({
    disk,
    folder: 'raft',
    checksum: tableChecksum,
    logger: silentLogger,
    first,
    segmentBytes,
  });
}

function entry(index: number, term: number, size = 20): Entry {
  const data = new Uint8Array(size).fill(index * 7 + term);
  return { index: index as LogIndex, term: term as Term, type: 'EntryNormal', data };
}

interface WriteFields {
  readonly term?: number;
  readonly vote?: number;
  readonly commit?: number;
  readonly entries?: readonly Entry[];
  readonly snapshot?: Snapshot;
}

function write(fields: WriteFields): readonly StorageWrite[] {
  return [{ term: 0, vote: 0, commit: 0, entries: [], snapshot: undefined, ...fields } as StorageWrite];
}

function snapshotAt(index: number, term: number): Snapshot {
  return {
    index: index as LogIndex,
    term: term as Term,
    confState,
    data: new Uint8Array(50).fill(index),
  };
}

/** Everything that a storage promises, as comparable text. */
function contentOf(storage: DiskRaftStorage): string {
  const snapshot = storage.currentSnapshot();
  const entries: string[] = [];
  for (let index = snapshot.index + 1; index <= storage.lastIndex(); index++) {
    entries.push(`${index}/${storage.term(index as LogIndex)}`);
  }
  const { term, vote } = storage.initialState().hardState;
  return `${term}:${vote} snapshot ${snapshot.index}/${snapshot.term} ${entries.join(' ')}`;
}

/** Elections, appends, overwritten tails, an own snapshot with compaction, an installed snapshot. */
const script: readonly ((storage: DiskRaftStorage) => Promise<void>)[] = [
  (storage) => storage.persist(write({ term: 2, vote: 1, commit: 1 })),
  (storage) => storage.persist(write({ entries: [entry(2, 2), entry(3, 2)] })),
  (storage) => storage.persist(write({ term: 2, vote: 1, commit: 3, entries: [entry(4, 2, 300), entry(5, 2)] })),
  (storage) => storage.persist(write({ entries: [entry(6, 2), entry(7, 2)] })),
  (storage) => storage.persist(write({ term: 4, vote: 0, commit: 4, entries: [entry(5, 4), entry(6, 4)] })),
  (storage) => storage.saveSnapshot(snapshotAt(4, 2), 0),
  (storage) => storage.persist(write({ term: 4, vote: 0, commit: 6, entries: [entry(7, 4, 300)] })),
  (storage) => storage.saveSnapshot(snapshotAt(6, 4), 0),
  (storage) => storage.persist(write({ entries: [entry(8, 4), entry(9, 4)] })),
  (storage) => storage.persist(write({ term: 6, vote: 3, commit: 6 })),
  (storage) => storage.persist(write({ term: 6, vote: 3, commit: 20, snapshot: snapshotAt(20, 5) })),
  (storage) => storage.persist(write({ term: 6, vote: 3, commit: 20, entries: [entry(21, 6), entry(22, 6)] })),
];

async function runScript(): Promise<{ journal: readonly DiskStep[]; contents: readonly string[] }> {
  const disk = new MemoryDisk();
  const storage = await openStorage(disk);
  const contents = [contentOf(storage)];
  disk.mark(0);
  for (const [position, step] of script.entries()) {
    await step(storage);
    contents.push(contentOf(storage));
    disk.mark(position + 1);
  }
  return { journal: disk.journal, contents };
}

describe('Raft storage', () => {
  test('what was persisted is there after a restart', async () => {
    const { journal, contents } = await runScript();
    const reopened = await openStorage(new MemoryDisk(filesAfter(journal)));
    assert.equal(contentOf(reopened), contents.at(-1));
    assert.deepEqual(reopened.initialState().confState, confState);
    assert.deepEqual(reopened.entries(21 as LogIndex, 23 as LogIndex, 1e6), [entry(21, 6), entry(22, 6)]);
  });

  test('P24: a crash at every byte of every write leaves what was promised, or one step more', {
    timeout: 60_000,
  }, async () => {
    const { journal, contents } = await runScript();
    let promised = -1;
    let cuts = 0;
    for (const [position, step] of journal.entries()) {
      if (step.kind === 'mark') promised = step.value as number;
      // Before the first promise the folder may be made anew from nothing.
      const allowed = promised < 0 ? [contents[0]] : [contents[promised], contents[promised + 1]];
      const before = journal.slice(0, position);
      for (const steps of cutsOf(step).map((cut) => [...before, ...cut])) {
        for (const files of [filesAfter(steps), durableFilesAfter(steps)]) {
          cuts++;
          const storage = await openStorage(new MemoryDisk(files));
          const content = contentOf(storage);
          assert.ok(
            allowed.some((each) => each !== undefined && isBetween(content, allowed as string[])),
            `after step ${position} of ${step.kind}: ${content} is none of\n${allowed.join('\n')}`,
          );
        }
      }
    }
    assert.ok(cuts > 2_000, `only ${cuts} cuts`);
  });

  test('a recovered log takes further writes, and they survive in turn', async () => {
    const { journal } = await runScript();
    for (let position = 0; position < journal.length; position += 3) {
      const disk = new MemoryDisk(filesAfter(journal.slice(0, position)));
      const storage = await openStorage(disk);
      const next = storage.lastIndex() + 1;
      const { term } = storage.initialState().hardState;
      await storage.persist(write({ term: term + 1, vote: 2, commit: 1, entries: [entry(next, term + 1)] }));
      const content = contentOf(storage);
      await storage.close();
      assert.equal(contentOf(await openStorage(new MemoryDisk(disk.files))), content);
    }
  });

  test('P20: a flipped bit in the log, the vote or the snapshot is found, or does not matter', {
    timeout: 60_000,
  }, async () => {
    const { journal, contents } = await runScript();
    const good = filesAfter(journal);
    let refused = 0;
    for (const [path, bytes] of good) {
      for (let position = 0; position < bytes.length; position++) {
        const damaged = new MemoryDisk(good);
        (damaged.files.get(path) as Uint8Array)[position]! ^= 0x10;
        try {
          const storage = await openStorage(damaged);
          assert.equal(contentOf(storage), contents.at(-1), `byte ${position} of ${path}`);
        } catch (error) {
          assert.ok(error instanceof DomainError, String(error));
          assert.equal(error.code, 'CORRUPT_LOG');
          refused++;
        }
      }
    }
    assert.ok(refused > 500, `only ${refused} were refused`);
  });

  test('with both vote files damaged the node refuses to start, and says why', async () => {
    const { journal } = await runScript();
    const disk = new MemoryDisk(filesAfter(journal));
    for (const copy of ['raft/hard-state.0', 'raft/hard-state.1']) (disk.files.get(copy) as Uint8Array)[20]! ^= 1;
    await assert.rejects(openStorage(disk), /whom it voted for/);
    disk.files.delete('raft/hard-state.0');
    disk.files.delete('raft/hard-state.1');
    await assert.rejects(openStorage(disk), /whom it voted for/);
  });

  test('P20: a folder that lacks its mark is made anew only if nothing was promised in it', async () => {
    const { journal } = await runScript();
    const copies = ['raft/hard-state.0', 'raft/hard-state.1'];
    const damages: readonly ((disk: MemoryDisk) => void)[] = [
      () => undefined,
      (disk) => {
        for (const copy of copies) (disk.files.get(copy) as Uint8Array)[20]! ^= 1;
      },
      (disk) => {
        for (const copy of copies) disk.files.delete(copy);
      },
    ];
    for (const damage of damages) {
      const disk = new MemoryDisk(filesAfter(journal));
      disk.files.delete('raft/format');
      damage(disk);
      await assert.rejects(openStorage(disk), { code: 'CORRUPT_LOG' });
    }
    const fresh = new MemoryDisk();
    await (await openStorage(fresh)).close();
    fresh.files.delete('raft/format');
    await (await openStorage(fresh)).close();
  });

  test('P20: segments of the log that are lost are missed, whenever the node stopped, or hold nothing that is needed', async () => {
    const { journal } = await runScript();
    let refused = 0;
    for (let position = 1; position <= journal.length; position++) {
      const files = filesAfter(journal.slice(0, position));
      const segments = [...files.keys()].filter((path) => path.endsWith('.wal')).sort();
      if (segments.length < 2) continue;
      const whole = contentOf(await openStorage(new MemoryDisk(filesAfter(journal.slice(0, position)))));
      for (let lost = 1; lost < segments.length; lost++) {
        const left = new MemoryDisk(filesAfter(journal.slice(0, position)));
        for (const path of segments.slice(0, lost)) left.files.delete(path);
        try {
          assert.equal(contentOf(await openStorage(left)), whole, `after step ${position}, ${lost} lost`);
        } catch (error) {
          if (!isDomainError(error)) throw error;
          assert.equal(error.code, 'CORRUPT_LOG');
          refused++;
        }
      }
    }
    assert.ok(refused > 10, `${refused} were refused`);
  });

  test('P21: after a failed fsync nothing is accepted any more', async () => {
    const disk = new MemoryDisk();
    const storage = await openStorage(disk);
    disk.syncFailure = new DomainError('STORAGE_FAILED', 'EIO');
    await assert.rejects(storage.persist(write({ entries: [entry(2, 1)] })), /EIO/);
    disk.syncFailure = undefined;
    await assert.rejects(storage.persist(write({ entries: [entry(2, 1)] })), /closed after an error/);
    assert.equal(storage.lastIndex(), 1);
  });

  test('what a killed process left in the page cache is durable before it counts', async () => {
    const disk = new MemoryDisk();
    await (await openStorage(disk)).persist(write({ term: 2, vote: 1, commit: 1, entries: [entry(2, 2)] }));
    // The process dies before any sync of the log or of a folder; the next one finds all that was written.
    const isLog = (step: DiskStep): boolean => 'path' in step && step.path.startsWith('raft/wal/');
    const journal = disk.journal.filter((step) => {
      return step.kind !== 'sync-folder' && !(step.kind === 'sync' && isLog(step));
    });
    const next = new MemoryDisk();
    next.journal.push(...journal);
    for (const [path, bytes] of filesAfter(journal)) next.files.set(path, bytes);
    const recovered = contentOf(await openStorage(next));
    assert.match(recovered, /2\/2/);
    // Then the power goes.
    const left = new MemoryDisk(durableFilesAfter(next.journal));
    assert.equal(contentOf(await openStorage(left)), recovered);
  });

  test('a commit index that came alone is noted with the entries that follow it', async () => {
    const disk = new MemoryDisk();
    const storage = await openStorage(disk);
    await storage.persist(write({ term: 2, vote: 1, commit: 1, entries: [entry(2, 2)] }));
    await storage.persist(write({ term: 2, vote: 1, commit: 2 }));
    await storage.persist(write({ entries: [entry(3, 2)] }));
    const crashed = await openStorage(new MemoryDisk(durableFilesAfter(disk.journal)));
    assert.equal(crashed.initialState().hardState.commit, 2);
    await crashed.noteCommit(3 as LogIndex);
    await crashed.close();
  });

  test('compaction removes segments, and keeps what the older snapshot needs', async () => {
    const disk = new MemoryDisk();
    const storage = await openStorage(disk);
    const segments = async (): Promise<number> =>
      (await disk.list('raft/wal')).filter((name) => name.endsWith('.wal')).length;
    for (let index = 2; index <= 60; index++) await storage.persist(write({ entries: [entry(index, 1)] }));
    const before = await segments();
    await storage.saveSnapshot(snapshotAt(30, 1), 5);
    assert.equal(storage.firstIndex(), 26);
    await storage.saveSnapshot(snapshotAt(50, 1), 5);
    assert.equal(storage.firstIndex(), 46);
    const after = await segments();
    assert.ok(after < before, `${after} of ${before} segments are left`);
    // One damaged snapshot is no loss.
    const damaged = new MemoryDisk(disk.files);
    (damaged.files.get('raft/snapshots/00000000000000000050.snapshot') as Uint8Array)[60]! ^= 1;
    const reopened = await openStorage(damaged);
    assert.equal(reopened.currentSnapshot().index, 30);
    assert.equal(reopened.lastIndex(), 60);
  });
});

describe('snapshots beside the log', () => {
  /** Atomic writes wait until the test lets them go. */
  class SlowDisk extends MemoryDisk {
    readonly held: (() => void)[] = [];
    isSlow = false;

    override async writeFileAtomic(path: string, bytes: Uint8Array): Promise<void> {
      if (this.isSlow) await new Promise<void>((resolve) => this.held.push(resolve));
      await super.writeFileAtomic(path, bytes);
    }
  }

  async function storageWithLog(): Promise<{ disk: SlowDisk; storage: DiskRaftStorage }> {
    const disk = new SlowDisk();
    const storage = await openStorage(disk);
    for (let index = 2; index <= 20; index++) await storage.persist(write({ entries: [entry(index, 1)] }));
    disk.isSlow = true;
    return { disk, storage };
  }

  test('entries do not wait for the file of a snapshot', async () => {
    const { disk, storage } = await storageWithLog();
    const saving = storage.saveSnapshot(snapshotAt(15, 1), 5);
    await storage.persist(write({ entries: [entry(21, 1)] }));
    assert.equal(storage.currentSnapshot().index, 1);
    assert.equal(disk.held.length, 1);
    disk.held[0]?.();
    await saving;
    assert.equal(storage.currentSnapshot().index, 15);
    assert.equal(storage.firstIndex(), 11);
    assert.match(contentOf(await openStorage(new MemoryDisk(disk.files))), /21\/1/);
  });

  test('one that the leader sends meanwhile wins, whichever file is there first', async () => {
    for (const ownIsFirst of [true, false]) {
      const { disk, storage } = await storageWithLog();
      const own = storage.saveSnapshot(snapshotAt(15, 1), 5);
      const installed = storage.persist(write({ term: 2, snapshot: snapshotAt(40, 2) }));
      while (disk.held.length < 2) await new Promise((resolve) => setImmediate(resolve));
      disk.isSlow = false;
      const [first, second] = ownIsFirst ? [0, 1] : [1, 0];
      disk.held[first]?.();
      await (ownIsFirst ? new Promise((resolve) => setImmediate(resolve)) : installed);
      disk.held[second]?.();
      await Promise.all([own, installed]);
      assert.equal(storage.currentSnapshot().index, 40);
      assert.equal(storage.lastIndex(), 40);
      const reopened = await openStorage(new MemoryDisk(disk.files));
      assert.deepEqual([reopened.currentSnapshot().index, reopened.lastIndex()], [40, 40]);
    }
  });
});

/** The step torn at every byte, if it is a write; else not done at all. */
function cutsOf(step: DiskStep): readonly (readonly DiskStep[])[] {
  if (step.kind !== 'write') return [[]];
  return Array.from({ length: step.bytes.length }, (_, length) => [{ ...step, bytes: step.bytes.slice(0, length) }]);
}

/** A step writes snapshot, ballot and log one after the other: each part is as before or as after. */
function isBetween(content: string, allowed: readonly (string | undefined)[]): boolean {
  const parts = (text: string): readonly string[] => {
    const [, ballot = '', snapshot = '', entries = ''] = /^(\S+) snapshot (\S+) (.*)$/.exec(text) ?? [];
    return [ballot, snapshot, entries];
  };
  const [ballot, snapshot, entries] = parts(content) as [string, string, string];
  const ends = allowed.filter((each) => each !== undefined).map(parts);
  const first = ends[0] as readonly string[];
  const last = ends[ends.length - 1] as readonly string[];
  if (![first[0], last[0]].includes(ballot) || ![first[1], last[1]].includes(snapshot)) return false;
  if ([first[2], last[2]].includes(entries)) return true;
  // The new snapshot with the old log behind it.
  const index = Number(snapshot.split('/')[0]);
  const behind = (first[2] ?? '').split(' ').filter((each) => Number(each.split('/')[0]) > index);
  return entries === behind.join(' ') || entries === '';
}
