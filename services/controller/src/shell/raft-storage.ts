/**
 * What the Raft core needs on disk: ballot (term and vote), log, snapshots. Implements the core's `RaftStorage` from memory
 * and makes every write durable before it counts.
 *
 * Order of one write: snapshot, ballot, log. So the log never holds an entry of a term that the ballot does not know, and
 * a snapshot that was installed is there before the log is emptied for it. `persist` resolves only when all of it is durable;
 * answers that rest on it leave after that. After the first failure every further write is refused, and the node stops.
 * A new node starts from a snapshot that holds the first configuration; the file `format`, written last, says that the
 * folder is complete. One caller at a time; calls that overlap are put in a row, but for files of own snapshots, which are
 * written beside.
 */
import {
  type ConfState,
  type Entry,
  type HardState,
  MemoryStorage,
  type RaftStorage,
  type Snapshot,
} from '@fleetmq/raft';
import { type Checksum, type Disk, DomainError, type Logger, type LogIndex, type Term } from '@fleetmq/shared';
import { HardStateFiles, hardStateWith } from './hard-state.ts';
import { entryRecord, RaftWal } from './raft-wal.ts';
import { SnapshotFiles } from './snapshot-files.ts';
import type { RecoveredWal, WalRecord } from './wal-format.ts';

export interface RaftStorageOptions {
  readonly disk: Disk;
  readonly folder: string;
  readonly checksum: Checksum;
  readonly logger: Logger;
  /**
   * What a new node begins with. Every first voter of a quorum is given the same, at index 1 of term 1; a node that is to be
   * added has an empty configuration at index 0 of term 0.
   */
  readonly first: Snapshot;
  /** Bytes of a segment of the log. Default 16 MiB. */
  readonly segmentBytes?: number;
}

/** What one MsgStorageAppend asks for. A term of 0 means that ballot and commit are as before. */
export interface StorageWrite extends HardState {
  readonly entries: readonly Entry[];
  readonly snapshot: Snapshot | undefined;
}

const firstTerm = 1 as Term;
const formatText = 'fleetmq raft 1\n';

export class DiskRaftStorage implements RaftStorage {
  readonly #memory = new MemoryStorage();
  readonly #hardState: HardStateFiles;
  readonly #wal: RaftWal;
  readonly #snapshots: SnapshotFiles;
  /** Entries up to here may leave the log on disk: a snapshot behind the newest one holds them. */
  #keptFrom: LogIndex;
  #commit: LogIndex;
  /** The commit index that the log on disk has. */
  #notedCommit: LogIndex;
  #last: Promise<void> = Promise.resolve();

  private constructor(parts: {
    hardState: HardStateFiles;
    wal: RaftWal;
    snapshots: SnapshotFiles;
    snapshot: Snapshot;
    oldestSnapshot: Snapshot;
    entries: readonly Entry[];
    commit: LogIndex;
  }) {
    this.#hardState = parts.hardState;
    this.#wal = parts.wal;
    this.#snapshots = parts.snapshots;
    this.#memory.applySnapshot(parts.snapshot);
    this.#memory.append(parts.entries);
    this.#memory.setHardState(hardStateWith(parts.hardState.ballot, parts.commit));
    this.#keptFrom = parts.oldestSnapshot.index;
    this.#commit = parts.commit;
    this.#notedCommit = parts.commit;
  }

  /** Recovers the folder, or makes it. CORRUPT_LOG when something that was durable is damaged: the node must not vote. */
  static async open(options: RaftStorageOptions): Promise<DiskRaftStorage> {
    const { disk, folder, checksum, logger } = options;
    const walOptions = {
      disk,
      folder: `${folder}/wal`,
      checksum,
      logger,
      segmentBytes: options.segmentBytes ?? 16 * 1024 * 1024,
    };
    const snapshots = new SnapshotFiles({ disk, folder: `${folder}/snapshots`, checksum, logger });
    if ((await disk.readFile(`${folder}/format`)) === undefined) {
      await refuseIfUsed(disk, folder, checksum);
      await disk.remove(`${folder}/wal`);
      await disk.remove(`${folder}/snapshots`);
      await disk.makeFolder(folder);
      await snapshots.save(options.first);
      await HardStateFiles.create(disk, folder, checksum, { term: options.first.term, vote: 0 });
      await RaftWal.create(walOptions);
      await disk.writeFileAtomic(`${folder}/format`, new TextEncoder().encode(formatText));
    }
    // A process that was killed may have left names that the disk does not have yet: what follows rests on them.
    for (const path of [folder, `${folder}/snapshots`]) await disk.syncFolder(path);
    const hardState = await HardStateFiles.open(disk, folder, checksum);
    const { wal, recovered } = await RaftWal.open(walOptions);
    const readable = await snapshots.load();
    const { snapshot, entries, isCutOff } = joinSnapshotAndLog(readable, recovered);
    // What the log holds is not what follows the snapshot: from here on it is empty on disk, too.
    if (isCutOff) await wal.append([{ kind: 'reset', index: snapshot.index, term: snapshot.term }]);
    const lastEntry = entries[entries.length - 1];
    if (lastEntry !== undefined && lastEntry.term > hardState.ballot.term) {
      throw new DomainError(
        'CORRUPT_LOG',
        `the log has an entry of term ${lastEntry.term}, but the vote file knows term ${hardState.ballot.term} only: ` +
          'the files are of different times, and this node must not vote with them',
      );
    }
    const lastIndex = lastEntry?.index ?? snapshot.index;
    const commit = Math.max(snapshot.index, Math.min(recovered.commit, lastIndex)) as LogIndex;
    const oldestSnapshot = readable[readable.length - 1] ?? snapshot;
    return new DiskRaftStorage({ hardState, wal, snapshots, snapshot, oldestSnapshot, entries, commit });
  }

  initialState(): { hardState: HardState; confState: ConfState } {
    return this.#memory.initialState();
  }

  entries(low: LogIndex, high: LogIndex, maxBytes: number): readonly Entry[] | undefined {
    return this.#memory.entries(low, high, maxBytes);
  }

  term(index: LogIndex): Term | undefined {
    return this.#memory.term(index);
  }

  lastIndex(): LogIndex {
    return this.#memory.lastIndex();
  }

  firstIndex(): LogIndex {
    return this.#memory.firstIndex();
  }

  snapshot(): Snapshot | undefined {
    return this.#memory.snapshot();
  }

  /** The newest snapshot; there always is one. */
  currentSnapshot(): Snapshot {
    return this.#memory.snapshot() as Snapshot;
  }

  /**
   * Durable when it resolves. Several writes are made durable together, in their order; at most the last of them may install
   * a snapshot. Not empty.
   */
  persist(writes: readonly StorageWrite[]): Promise<void> {
    return this.#inRow(async () => {
      const snapshot = writes[writes.length - 1]?.snapshot;
      if (snapshot !== undefined) this.#keptFrom = await this.#snapshots.save(snapshot);
      const newest = writes.findLast(({ term }) => term !== 0);
      await this.#saveBallot(newest);

      const records = writes.flatMap(recordsOf);
      const commit = newest?.commit ?? this.#commit;
      // Whoever finds a change of members in its log after a crash must find, too, that the change before it is committed, or
      // it would ask for votes in a configuration that is two changes old.
      if (records.length > 0 && commit > this.#notedCommit) records.push({ kind: 'commit', index: commit });
      if (records.length > 0) {
        await this.#wal.append(records);
        this.#notedCommit = commit;
      }

      for (const write of writes) {
        if (write.snapshot !== undefined) this.#memory.applySnapshot(write.snapshot);
        this.#memory.append(write.entries);
      }
      if (newest === undefined) return;
      const { term, vote } = newest;
      this.#commit = commit;
      this.#memory.setHardState({ term, vote, commit });
    });
  }

  /** Durable when it resolves: the next start knows that everything up to `index` is committed. */
  noteCommit(index: LogIndex): Promise<void> {
    return this.#inRow(async () => {
      if (index <= this.#notedCommit) return;
      await this.#wal.append([{ kind: 'commit', index }]);
      this.#notedCommit = index;
    });
  }

  /**
   * Makes the state after `index` the newest snapshot, and drops the entries that it makes superfluous, but for the last
   * `entriesKept`, which spare followers that lag a little a whole snapshot. Does nothing when there is a newer one. Its file
   * is written beside the log: entries do not wait for it.
   */
  async saveSnapshot(snapshot: Omit<Snapshot, 'term'>, entriesKept: number): Promise<void> {
    const { index, confState, data } = snapshot;
    // Of an applied entry, which keeps its place.
    const term = this.#memory.term(index);
    if (index <= this.currentSnapshot().index || term === undefined) return;
    const keptFrom = await this.#snapshots.save({ index, term, confState, data });
    await this.#inRow(async () => {
      // One that came from the leader meanwhile has emptied the log already.
      if (index <= this.currentSnapshot().index) return;
      this.#keptFrom = keptFrom;
      this.#memory.createSnapshot(index, confState, data);
      const compactTo = (index - entriesKept) as LogIndex;
      if (compactTo >= this.#memory.firstIndex()) this.#memory.compact(compactTo);
      await this.#wal.compact(Math.min(this.#keptFrom, compactTo));
    });
  }

  /** Notes the commit index, so that the next start need not wait for a leader to learn it, and closes the files. */
  close(): Promise<void> {
    return this.#inRow(async () => {
      try {
        if (!this.#wal.hasFailed) await this.#wal.append([{ kind: 'commit', index: this.#commit }]);
      } finally {
        await this.#wal.close();
        await this.#hardState.close();
      }
    });
  }

  async #saveBallot(newest: StorageWrite | undefined): Promise<void> {
    const { ballot } = this.#hardState;
    if (newest === undefined || (newest.term === ballot.term && newest.vote === ballot.vote)) return;
    await this.#hardState.save(newest);
  }

  #inRow(work: () => Promise<void>): Promise<void> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }
}

/** A snapshot empties the log; entries follow it. */
function recordsOf({ snapshot, entries }: StorageWrite): WalRecord[] {
  const reset: WalRecord[] =
    snapshot === undefined ? [] : [{ kind: 'reset', index: snapshot.index, term: snapshot.term }];
  return [...reset, ...entries.map(entryRecord)];
}

/**
 * The newest readable snapshot and the entries behind it. Where the log has another entry at the snapshot's place, or ends
 * before it, the node died between installing the snapshot and emptying its log: the log's rest is not the leader's.
 */
function joinSnapshotAndLog(
  snapshots: readonly Snapshot[],
  recovered: RecoveredWal,
): { snapshot: Snapshot; entries: readonly Entry[]; isCutOff: boolean } {
  const snapshot = snapshots[0];
  if (snapshot === undefined) {
    throw new DomainError(
      'CORRUPT_LOG',
      'no snapshot of the metadata is readable: bring one back, or replace the node',
    );
  }
  const { entries, base } = recovered;
  const first = entries[0]?.index ?? base + 1;
  if (first > snapshot.index + 1) {
    throw new DomainError(
      'CORRUPT_LOG',
      `the newest readable snapshot ends at ${snapshot.index} and the log begins at ${first}: a snapshot is damaged or ` +
        'missing; bring it back, or replace the node',
    );
  }
  const same = entries[snapshot.index - first];
  const isOurs = snapshot.index + 1 === first || same?.term === snapshot.term;
  if (!isOurs) return { snapshot, entries: [], isCutOff: entries.length > 0 };
  return { snapshot, entries: entries.slice(snapshot.index + 1 - first), isCutOff: false };
}

/** A folder that is not complete may be made anew only if this node cannot have promised anything. */
async function refuseIfUsed(disk: Disk, folder: string, checksum: Checksum): Promise<void> {
  let isBallotThere = false;
  for (const path of HardStateFiles.copyPaths(folder)) {
    if ((await disk.readFile(path)) === undefined) continue;
    isBallotThere = true;
    // What is there was written whole: if it cannot be read it is damaged, and may have held a vote.
    const files = await HardStateFiles.open(disk, folder, checksum);
    const { ballot } = files;
    await files.close();
    if (ballot.term <= firstTerm && ballot.vote === 0) continue;
    throw new DomainError(
      'CORRUPT_LOG',
      `${folder}/format is missing, but this node has voted in term ${ballot.term}: bring the file back`,
    );
  }
  // The log is made after the ballot.
  if (isBallotThere || (await disk.list(`${folder}/wal`)).length === 0) return;
  throw new DomainError(
    'CORRUPT_LOG',
    `${folder}/format and the vote files are missing, but there is a log: bring them back, or replace the node`,
  );
}
