/**
 * The segments of a log, oldest first, and the files that are open. It rolls, cuts and removes; when is decided elsewhere.
 *
 * Invariants: each segment ends where the next one begins; only the last one, the active, grows; how many files of sealed ones
 * are open is bounded by `OpenSegments`. Before a segment is rolled its file is synced, before anything counts in the new one
 * the folder is.
 */
import type { FrameCursor } from '@fleetmq/record';
import { assert, type DiskFile, type Offset } from '@fleetmq/shared';
import type { LogConfig } from './config.ts';
import { corruptLog } from './files.ts';
import type { OpenSegments } from './open-segments.ts';
import { scanFrames } from './scan.ts';
import { type LogFolder, Segment, syncOrFail } from './segment.ts';
import { SparseIndex } from './sparse-index.ts';

export class Segments {
  readonly folder: LogFolder;
  #list: Segment[];
  /** Those of other logs may be among them. */
  readonly #held: OpenSegments;
  #config: LogConfig;

  constructor(folder: LogFolder, config: LogConfig, list: readonly Segment[], held: OpenSegments) {
    this.folder = folder;
    this.#held = held;
    this.#config = config;
    this.#list = [...list];
  }

  configure(config: LogConfig): void {
    this.#config = config;
    this.folder.durableWrites = config.flushPolicy === 'fsync';
  }

  get list(): readonly Segment[] {
    return this.#list;
  }

  get active(): Segment | undefined {
    return this.#list.at(-1);
  }

  get sizeBytes(): number {
    let total = 0;
    for (const segment of this.#list) total += segment.size;
    return total;
  }

  /** The segment that holds `offset`; undefined when none does. */
  find(offset: number): Segment | undefined {
    let low = 0;
    let high = this.#list.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#list[middle] as Segment).baseOffset <= offset) low = middle + 1;
      else high = middle;
    }
    const segment = this.#list[low - 1];
    return segment !== undefined && offset < segment.endOffset ? segment : undefined;
  }

  /**
   * Walks the frames from the one that holds `from` up to offset `upTo`, all verified. CORRUPT_LOG at a bad one. The cursor
   * is the visitor's only for the call.
   */
  async scan(from: number, upTo: number, visit: (cursor: FrameCursor) => void): Promise<void> {
    for (const segment of [...this.#list]) {
      if (segment.endOffset <= from || segment.baseOffset >= upTo) continue;
      await this.with(segment, async (file, index) => {
        const place = index.placeOf(Math.max(from, segment.baseOffset));
        const range = { ...place, end: segment.size };
        const scanned = await scanFrames(file, range, this.folder.checksum, (cursor) => {
          if (cursor.trailer.baseOffset >= upTo) return false;
          if (cursor.trailer.endOffset > from) visit(cursor);
          return true;
        });
        if (scanned.fault !== undefined) throw corruptLog(segment.path, scanned.position, scanned.fault);
      });
    }
  }

  /** Runs `use` with the segment's file open and its index loaded. CORRUPT_LOG when the index cannot be made. */
  async with<Result>(segment: Segment, use: (file: DiskFile, index: SparseIndex) => Promise<Result>): Promise<Result> {
    segment.users++;
    try {
      const index = await segment.loadIndex(this.#config.indexIntervalBytes);
      return await use(await segment.file(), index);
    } finally {
      segment.users--;
      await this.#noteUse(segment);
    }
  }

  /** Makes a new active segment at `baseOffset`, the end of the old one. DISK_FULL leaves the old one active. */
  async roll(baseOffset: Offset): Promise<Segment> {
    const old = this.active;
    assert(old === undefined || (old.endOffset === baseOffset && old.size > 0), `roll at ${baseOffset}`);
    await old?.sync();
    const segment = new Segment(this.folder, { baseOffset, size: 0, endOffset: baseOffset });
    segment.index = new SparseIndex(baseOffset);
    segment.indexIsProven = true;
    await this.#create(segment);
    this.#list.push(segment);
    if (old !== undefined) await this.#noteUse(old);
    return segment;
  }

  /** An empty file must not stay behind when this fails: the old segment may grow beyond where it would begin. */
  async #create(segment: Segment): Promise<void> {
    const { disk, path } = this.folder;
    try {
      await segment.file('create');
      // A crash may have brought back the index of a removed segment of this name.
      await disk.remove(segment.indexPath);
      await syncOrFail(() => disk.syncFolder(path), path);
    } catch (error) {
      await segment.close();
      await disk.remove(segment.path);
      await disk.syncFolder(path);
      throw error;
    }
  }

  /** Forgets the first `count` segments; the caller removes their files with `removeFiles` once no read is under way. */
  dropFirst(count: number): Segment[] {
    const dropped = this.#list.splice(0, count);
    for (const segment of dropped) segment.isRemoved = true;
    return dropped;
  }

  /** Closes the files of sealed segments; whoever needs one opens it anew. */
  async closeFiles(segments: readonly Segment[]): Promise<void> {
    for (const segment of segments) {
      this.#held.forget(segment);
      await segment.close();
    }
  }

  /** `segment` takes the place of sealed ones that follow one another. Their files are the caller's business. */
  replace(sources: readonly Segment[], segment: Segment): void {
    const at = this.#list.indexOf(sources[0] as Segment);
    assert(at >= 0 && sources.every((source, i) => this.#list[at + i] === source), 'the segments follow one another');
    this.#list.splice(at, sources.length, segment);
    for (const source of sources) source.isRemoved = true;
  }

  /** Removes the files of segments that are no longer in the list. */
  async removeFiles(segments: readonly Segment[]): Promise<void> {
    for (const segment of segments) {
      this.#held.forget(segment);
      await segment.close();
      await this.folder.disk.remove(segment.indexPath);
      await this.folder.disk.remove(segment.path);
    }
    if (segments.length > 0) await this.folder.disk.syncFolder(this.folder.path);
  }

  /** Removes the newest segments down to `segment` and cuts that one at `size`; each step is durable before the next. */
  async truncate(segment: Segment, size: number, endOffset: Offset): Promise<void> {
    while (this.active !== segment) {
      const newest = this.#list.pop();
      assert(newest !== undefined, 'the segment to cut is in the list');
      newest.isRemoved = true;
      await this.removeFiles([newest]);
    }
    this.#held.forget(segment);
    const index = await this.#indexUpTo(segment, size);
    await this.folder.disk.remove(segment.indexPath);
    // A power cut must not bring the old index back: the segment may grow to the same size with other frames.
    await syncOrFail(() => this.folder.disk.syncFolder(this.folder.path), this.folder.path);
    await (await segment.file()).truncate(size);
    await segment.sync();
    segment.index = index;
    segment.size = size;
    segment.endOffset = endOffset;
  }

  /** Writes the index of a sealed segment to its file, for the next life. */
  async saveIndex(segment: Segment): Promise<void> {
    const { disk, checksum } = this.folder;
    await this.with(segment, (_, index) => disk.writeFileAtomic(segment.indexPath, index.encode(checksum)));
  }

  async close(): Promise<void> {
    for (const segment of this.#list) {
      this.#held.forget(segment);
      await segment.close();
    }
  }

  async #indexUpTo(segment: Segment, size: number): Promise<SparseIndex> {
    const index = await segment.loadIndex(this.#config.indexIntervalBytes);
    index.rewind(size);
    await segment.extendIndex(index, size, this.#config.indexIntervalBytes);
    return index;
  }

  async #noteUse(segment: Segment): Promise<void> {
    if (segment.isRemoved || segment === this.active) this.#held.forget(segment);
    else await this.#held.noteUse(segment);
  }
}
