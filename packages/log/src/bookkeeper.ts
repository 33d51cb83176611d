/**
 * Writes what a restart needs besides the segments: checkpoint, epochs, producer snapshots; and computes the producers anew
 * from snapshot and log. When to do it is log.ts's and maintain.ts's business; callers run one
 * call at a time, but for `record`.
 *
 * Order that matters: epochs and snapshots are durable before a checkpoint that makes the scan skip what they stand for.
 */
import { assert, type Offset } from '@fleetmq/shared';
import { type Checkpoint, encodeCheckpoint, type RecoveryPoint } from './checkpoint.ts';
import { type CompactionState, cutState, encodeCompaction, nothingCompacted } from './compaction-state.ts';
import { type EpochCache, encodeEpochs } from './epochs.ts';
import { checkpointName, compactionName, epochsName, fileName, seedName } from './files.ts';
import { Serial } from './gate.ts';
import { decodeProducers, encodeProducers, noteFrame, type ProducerMemory } from './producer-snapshot.ts';
import type { LogFolder } from './segment.ts';
import type { Segments } from './segments.ts';

const snapshotsKept = 3;

export class Bookkeeper {
  readonly #folder: LogFolder;
  readonly #segments: Segments;
  readonly #epochs: EpochCache;
  readonly #records = new Serial();
  #recorded: Checkpoint;
  #compaction: CompactionState;
  /** Offsets of the producer snapshots on disk, rising. */
  #snapshots: Offset[];
  /** Size of the newest snapshot: large ones are written less often. */
  snapshotBytes = 0;

  constructor(
    parts: { readonly folder: LogFolder; readonly segments: Segments; readonly epochs: EpochCache },
    recorded: { readonly checkpoint: Checkpoint; readonly compaction: CompactionState },
    snapshots: readonly Offset[],
  ) {
    this.#folder = parts.folder;
    this.#segments = parts.segments;
    this.#epochs = parts.epochs;
    this.#recorded = recorded.checkpoint;
    this.#compaction = recorded.compaction;
    this.#snapshots = [...snapshots];
  }

  /** As it is on disk. */
  get recorded(): Checkpoint {
    return this.#recorded;
  }

  get compaction(): CompactionState {
    return this.#compaction;
  }

  get hasSnapshots(): boolean {
    return this.#snapshots.length > 0;
  }

  hasSnapshotAt(offset: Offset): boolean {
    return this.#snapshots.includes(offset);
  }

  /** The durable end as a recovery point. Only right where all that segments call their size was synced. */
  durablePoint(): RecoveryPoint {
    const { active } = this.#segments;
    if (active === undefined) return this.#recorded.recovery;
    return { segment: active.baseOffset, position: active.size, offset: active.endOffset };
  }

  /** Writes the checkpoint with these changes, after the epochs if they changed. Calls may overlap: they follow one another. */
  record(changes: Partial<Checkpoint>): Promise<void> {
    return this.#records.run(async () => {
      await this.#saveEpochs();
      const next: Checkpoint = { ...this.#recorded, clean: false, discard: false, failed: false, ...changes };
      assert(next.startOffset >= this.#recorded.startOffset || next.discard, 'the log start only grows');
      const bytes = encodeCheckpoint(next, this.#folder.checksum);
      await this.#folder.disk.writeFileAtomic(`${this.#folder.path}/${checkpointName}`, bytes);
      this.#recorded = next;
    });
  }

  /** Writes a snapshot that was encoded at `offset`, and removes those that are no longer needed. The log is durable up to there. */
  async saveProducers(offset: Offset, bytes: Uint8Array): Promise<void> {
    await this.#folder.disk.writeFileAtomic(this.#snapshotPath(offset), bytes);
    this.snapshotBytes = bytes.length;
    if (!this.hasSnapshotAt(offset)) this.#snapshots = [...this.#snapshots, offset].sort((a, b) => a - b);
    const needed = this.#neededSnapshots();
    const unneeded = this.#snapshots.filter((snapshot) => !needed.has(snapshot));
    this.#snapshots = this.#snapshots.filter((snapshot) => needed.has(snapshot));
    await this.#removeSnapshots(unneeded);
  }

  async saveCompaction(state: CompactionState): Promise<void> {
    const bytes = encodeCompaction(state, this.#folder.checksum);
    await this.#folder.disk.writeFileAtomic(`${this.#folder.path}/${compactionName}`, bytes);
    this.#compaction = state;
  }

  /** To be called before the log is cut at `offset`. */
  async cutCompaction(offset: Offset): Promise<void> {
    if (this.#compaction.cleanedTo > offset) await this.saveCompaction(cutState(this.#compaction, offset));
  }

  /** What was compacted is gone. Durable with the next change of the folder. */
  async forgetCompaction(): Promise<void> {
    await this.#folder.disk.remove(`${this.#folder.path}/${compactionName}`);
    this.#compaction = nothingCompacted;
  }

  /** Writes down with what a reset is to begin, or that it begins with nothing. Durable when it resolves. */
  async saveSeed(bytes: Uint8Array | undefined): Promise<void> {
    const path = `${this.#folder.path}/${seedName}`;
    if (bytes !== undefined) return this.#folder.disk.writeFileAtomic(path, bytes);
    await this.#folder.disk.remove(path);
    await this.#folder.disk.syncFolder(this.#folder.path);
  }

  encodeProducers(memory: ProducerMemory, offset: Offset): Uint8Array {
    return encodeProducers(memory, offset, this.#folder.checksum);
  }

  /** The newest ones, and of each segment the last one before it: what the producers were there can be computed for ever. */
  #neededSnapshots(): Set<Offset> {
    const needed = new Set(this.#snapshots.slice(-snapshotsKept));
    let next = 0;
    for (const { baseOffset } of this.#segments.list) {
      while ((this.#snapshots[next] ?? Number.POSITIVE_INFINITY) <= baseOffset) next++;
      const last = this.#snapshots[next - 1];
      if (last !== undefined) needed.add(last);
    }
    return needed;
  }

  /** Removes the snapshots above `offset`, durably: the log will grow over their place with other content. */
  async dropSnapshotsAbove(offset: number): Promise<void> {
    const kept = this.#snapshots.filter((snapshot) => snapshot <= offset).length;
    await this.#removeSnapshots(this.#snapshots.splice(kept));
  }

  /** Fills `memory` with what the log knows of producers below `upTo`. CORRUPT_LOG when frames that it needs are damaged. */
  async rebuildProducers(memory: ProducerMemory, upTo: Offset): Promise<void> {
    const first = this.#segments.list[0]?.baseOffset ?? upTo;
    let from: Offset = first;
    memory.clear();
    for (const offset of [...this.#snapshots].reverse()) {
      if (offset > upTo || offset < first) continue;
      const bytes = await this.#folder.disk.readFile(this.#snapshotPath(offset));
      if (!decodeProducers(bytes, offset, memory, this.#folder.checksum)) continue;
      from = offset;
      break;
    }
    await this.#segments.scan(from, upTo, (cursor) => noteFrame(memory, cursor, this.#folder.checksum));
  }

  async #saveEpochs(): Promise<void> {
    if (!this.#epochs.dirty) return;
    const bytes = encodeEpochs(this.#epochs.entries, this.#folder.checksum);
    this.#epochs.dirty = false;
    try {
      await this.#folder.disk.writeFileAtomic(`${this.#folder.path}/${epochsName}`, bytes);
    } catch (error) {
      this.#epochs.dirty = true;
      throw error;
    }
  }

  async #removeSnapshots(offsets: readonly Offset[]): Promise<void> {
    for (const offset of offsets) await this.#folder.disk.remove(this.#snapshotPath(offset));
    if (offsets.length > 0) await this.#folder.disk.syncFolder(this.#folder.path);
  }

  #snapshotPath(offset: Offset): string {
    return `${this.#folder.path}/${fileName(offset, 'producers')}`;
  }
}
