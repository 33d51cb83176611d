/**
 * One segment: its extent, its file while that is open, its index while that is in memory. `size` and `endOffset` describe
 * what may be read: whole, written frames, durable ones under the `fsync` policy. Bytes of the file beyond `size` are
 * nobody's business but the writer's.
 */
import { type Checksum, type Disk, type DiskFile, DomainError, isDomainError, type Offset } from '@fleetmq/shared';
import { corruptLog, fileName } from './files.ts';
import { indexedFrame, scanFrames } from './scan.ts';
import { SparseIndex } from './sparse-index.ts';

/** What every part of a log works with. */
export interface LogFolder {
  readonly disk: Disk;
  /** Path of the folder on the disk. */
  readonly path: string;
  readonly checksum: Checksum;
  /** Files that are opened from now on make each write durable, where the disk can. */
  durableWrites: boolean;
}

export interface SegmentExtent {
  readonly baseOffset: Offset;
  readonly size: number;
  readonly endOffset: Offset;
}

export class Segment {
  readonly baseOffset: Offset;
  readonly path: string;
  readonly indexPath: string;
  size: number;
  endOffset: Offset;
  /** In memory; kept up to date for the active segment. */
  index: SparseIndex | undefined;
  /** The index was computed from the frames in this life, so a misleading entry is not its fault. */
  indexIsProven = false;
  /** Reads under way: the file stays open. */
  users = 0;
  /** No longer part of the log. */
  isRemoved = false;
  readonly #folder: LogFolder;
  #file: Promise<DiskFile> | undefined;

  constructor(folder: LogFolder, extent: SegmentExtent) {
    this.#folder = folder;
    this.baseOffset = extent.baseOffset;
    this.size = extent.size;
    this.endOffset = extent.endOffset;
    this.path = `${folder.path}/${fileName(extent.baseOffset, 'log')}`;
    this.indexPath = `${folder.path}/${fileName(extent.baseOffset, 'index')}`;
  }

  /** The file, opened if it is not. `create` makes it; its name is not durable yet. */
  file(mode: 'read-write' | 'create' = 'read-write'): Promise<DiskFile> {
    this.#file ??= this.#open(mode);
    return this.#file;
  }

  /** Makes the file durable. Every failure is STORAGE_FAILED, a full disk too: after a failed sync nothing is known (P21). */
  async sync(): Promise<void> {
    await syncOrFail(async () => (await this.file()).sync(), this.path);
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await (await file)?.close();
  }

  /** The index, from memory, from its file, or computed anew. CORRUPT_LOG when it has to be computed and a frame is bad. */
  async loadIndex(intervalBytes: number): Promise<SparseIndex> {
    if (this.index !== undefined) return this.index;
    const { disk, checksum } = this.#folder;
    const stored = SparseIndex.decode(await disk.readFile(this.indexPath), this.baseOffset, checksum);
    const completed = stored === undefined ? undefined : await this.#complete(stored, intervalBytes);
    if (completed === undefined) return this.rebuildIndex(intervalBytes);
    this.index ??= completed;
    return this.index;
  }

  /** An index from disk with what came after it; undefined when it does not belong to these frames. */
  async #complete(stored: SparseIndex, intervalBytes: number): Promise<SparseIndex | undefined> {
    if (stored.coveredPosition > this.size) return undefined;
    try {
      await this.extendIndex(stored, this.size, intervalBytes);
    } catch (error) {
      if (isDomainError(error) && error.code === 'CORRUPT_LOG') return undefined;
      throw error;
    }
    return stored.coveredOffset === this.endOffset ? stored : undefined;
  }

  /** Computes the index from the frames. CORRUPT_LOG at the first bad one; the index in memory is then the old one. */
  async rebuildIndex(intervalBytes: number): Promise<SparseIndex> {
    this.indexIsProven = true;
    const index = new SparseIndex(this.baseOffset);
    await this.extendIndex(index, this.size, intervalBytes);
    this.index = index;
    return index;
  }

  /** Notes the frames between what `index` covers and `end`. CORRUPT_LOG at a bad one. */
  async extendIndex(index: SparseIndex, end: number, intervalBytes: number): Promise<void> {
    const range = { position: index.coveredPosition, end, offset: index.coveredOffset };
    const scanned = await scanFrames(await this.file(), range, this.#folder.checksum, (cursor) => {
      index.note(indexedFrame(cursor), intervalBytes);
      return true;
    });
    if (scanned.fault !== undefined) throw corruptLog(this.path, scanned.position, scanned.fault);
  }

  async #open(mode: 'read-write' | 'create'): Promise<DiskFile> {
    try {
      const { disk, durableWrites } = this.#folder;
      return await disk.open(this.path, mode, { durableWrites });
    } catch (error) {
      this.#file = undefined;
      throw error;
    }
  }
}

/** Runs a sync of `path`, whose failures all mean the same. */
export async function syncOrFail(sync: () => Promise<void>, path: string): Promise<void> {
  try {
    await sync();
  } catch (error) {
    throw new DomainError('STORAGE_FAILED', `sync of ${path} failed`, { cause: error });
  }
}
