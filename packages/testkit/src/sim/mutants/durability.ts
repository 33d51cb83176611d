/** Planted bugs of a node's disk: what is written, synced, checked and kept. */
import { DiskRaftStorage, HardStateFiles, RaftWal, SnapshotFiles } from '@fleetmq/controller/sim';
import { emptyConfState } from '@fleetmq/raft';
import { liar, type Mutant, method, patch, together, twist } from './mutant.ts';

/** Records of this kind are not written to the log. */
function forgetRecords(forgotten: 'reset' | 'commit'): () => void {
  return patch(
    RaftWal.prototype,
    'append',
    (real) =>
      async function append(this: RaftWal, records) {
        const kept = records.filter(({ kind }) => kind !== forgotten);
        if (kept.length > 0) await (real.call(this as never, kept as never) as Promise<void>);
      },
  );
}

export const durabilityMutants: readonly Mutant[] = [
  {
    name: 'vote-not-written',
    about: 'term and vote are answered but never written',
    plant: () => patch(HardStateFiles.prototype, 'save', () => async () => undefined),
  },
  {
    name: 'ballot-not-synced',
    about: 'term and vote are written but not synced',
    twists: liar(/hard-state/),
  },
  {
    name: 'log-not-synced',
    about: 'entries are acknowledged before they are durable',
    twists: liar(/\.wal$/),
  },
  {
    name: 'new-segment-not-synced',
    about: 'the folder is not synced when a segment begins',
    twists: liar(/^raft\/wal$/),
  },
  {
    name: 'checksum-ignored',
    about: 'torn records of the log are taken for whole',
    fixed: {
      operationEveryMs: 100,
      faults: ['slow-disk', 'slow-disk', 'power-loss', 'power-loss-of-all'],
      faultEveryMs: 300,
      faultLastsMs: 1_000,
      keptOnPowerLoss: 0.5,
    },
    twists: twist(() => ({ checksum: { crc32: () => 0 } })),
  },
  {
    name: 'snapshot-not-written',
    about: 'the log is cut for a snapshot that is nowhere',
    plant: () => patch(SnapshotFiles.prototype, 'save', () => async (snapshot) => snapshot.index),
  },
  {
    name: 'snapshot-without-members',
    about: 'a snapshot lacks the configuration',
    plant: () =>
      method(SnapshotFiles.prototype, 'save').withArguments(([snapshot]) => [
        { ...snapshot, confState: emptyConfState },
      ]),
  },
  {
    name: 'old-log-behind-snapshot',
    about: 'the log is not emptied when a snapshot is installed',
    plant: () => forgetRecords('reset'),
  },
  {
    name: 'answered-before-durable',
    about: 'a write is called durable while it is still under way',
    plant: () =>
      patch(
        HardStateFiles.prototype,
        'save',
        (real) =>
          async function save(this: HardStateFiles, ballot) {
            void (real.call(this as never, ballot as never) as Promise<void>).catch(() => undefined);
          },
      ),
  },
  {
    name: 'commit-not-noted',
    about: 'what is committed is not noted on disk: a restart may go by a configuration that is two changes old',
    plant: () =>
      together(
        patch(DiskRaftStorage.prototype, 'noteCommit', () => async () => undefined),
        forgetRecords('commit'),
      ),
  },
  {
    name: 'committed-before-noted',
    about: 'a change of the members takes effect before it is noted that it is committed',
    fixed: {
      operators: 'change',
      controllers: 1,
      spares: 1,
      memberChangeEveryMs: 300,
      faults: ['crash-in-change'],
      faultEveryMs: 500,
      brokers: 1,
      clients: 1,
      operationEveryMs: 2_000,
    },
    plant: () => patch(DiskRaftStorage.prototype, 'noteCommit', () => async () => undefined),
  },
];
