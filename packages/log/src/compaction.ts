/**
 * Key compaction of one log: of the records of one key below the high watermark the newest stays, the others go; a tombstone goes
 * after its grace period. Two steps: read what is new since the last pass into a bounded map of the newest offset of each key, then
 * write every segment below it anew without what that map makes void. What the map cannot take is left to the next pass.
 *
 * It reads beside appends and reads, in chunks, and takes the log for itself only to swap finished files for old ones (swap.ts).
 * Never touches the active segment, a record at or above the high watermark, an offset, a leader epoch, or what the log needs to
 * know its producers by. What it cannot look into (a codec that is missing, records that are no records, batches of transactions)
 * stays as it is, and so do records without a key.
 */
import { type BatchHeader, emptiedFrame, FrameCursor, noCodecs, readBatchHeader } from '@fleetmq/record';
import { DomainError, type Offset, toOffset } from '@fleetmq/shared';
import { CleanedFile } from './cleaned-file.ts';
import { afterPass, tombstonesEnd } from './compaction-state.ts';
import { KeyMap } from './key-map.ts';
import type { CompactionReport, CompactionRequest } from './partition-log.ts';
import { readSegment } from './reader.ts';
import type { Segment } from './segment.ts';
import type { LogState } from './state.ts';
import { swapSegments } from './swap.ts';
import { Thinning } from './thinning.ts';

/** What a compaction may do with the log. */
export interface CompactionAccess {
  readonly state: LogState;
  /** Runs a change of the log, alone. When it fails the log is dead, unless the disk is full. */
  change<Result>(change: () => Promise<Result>): Promise<Result>;
  /** Makes the active segment that of the recovery point. */
  checkpoint(): Promise<void>;
}

/** Between two chunks others have their turn. */
const chunkBytes = 128 * 1024;
const keyBytesMin = 16 * 1024 * 1024;

export class Compaction {
  readonly #access: CompactionAccess;
  readonly #request: CompactionRequest;
  readonly #keys: KeyMap;
  readonly #thinning: Thinning;
  /** Below it tombstones go. */
  readonly #tombstonesEnd: Offset;
  #mapEnd = toOffset(0);
  #readBytes = 0;
  #removedBytes = 0;

  constructor(access: CompactionAccess, request: CompactionRequest) {
    this.#access = access;
    this.#request = request;
    this.#keys = new KeyMap(Math.max(request.keyBytesMax ?? keyBytesMin, keyBytesMin));
    const { parts, config } = access.state;
    const { cleanedTo } = parts.books.compaction;
    this.#tombstonesEnd = toOffset(Math.min(cleanedTo, tombstonesEnd(parts.books.compaction, request)));
    this.#thinning = new Thinning({
      keys: this.#keys,
      codecs: request.codecs ?? noCodecs,
      checksum: parts.segments.folder.checksum,
      nowMs: request.nowMs,
      idempotencyWindowMs: config.idempotencyWindowMs,
      maxFrameBytes: config.maxFrameBytes,
      identities: parts.producers.table.baseOffsets(),
      tombstonesEnd: this.#tombstonesEnd,
    });
  }

  /** One pass. NOT_AVAILABLE when the log was cut meanwhile; what was swapped before stays so. */
  async run(): Promise<CompactionReport> {
    const { state, checkpoint } = this.#access;
    const { books } = state.parts;
    const { cleanedTo } = books.compaction;
    const cleanable = await this.#cleanable();
    if (!this.#isTombstoneDue && !this.#isWorthwhile(cleanable)) return this.#report(cleanedTo, false);
    await checkpoint();
    const end = await this.#mapKeys(cleanable);
    if (this.#mapEnd <= cleanedTo && !this.#isTombstoneDue) return this.#report(cleanedTo, false);
    await this.#rewrite(cleanable.filter(({ baseOffset }) => baseOffset < this.#mapEnd));
    const pass = {
      cleanedTo: toOffset(Math.max(cleanedTo, this.#mapEnd)),
      nowMs: this.#request.nowMs,
      isComplete: this.#thinning.isComplete,
      hasTombstones: this.#thinning.hasTombstones,
      droppedTo: this.#tombstonesEnd,
    };
    await this.#access.change(() => books.saveCompaction(afterPass(books.compaction, pass)));
    return this.#report(pass.cleanedTo, this.#mapEnd < end);
  }

  /** Sealed segments below the high watermark, those that are new and still too young excepted, oldest first. */
  async #cleanable(): Promise<Segment[]> {
    const { parts, durable } = this.#access.state;
    const { nowMs, minLagMs, highWatermark } = this.#request;
    const { cleanedTo } = parts.books.compaction;
    const cleanable: Segment[] = [];
    for (const segment of parts.segments.list.slice(0, -1)) {
      if (segment.endOffset > Math.min(highWatermark, durable)) break;
      if (segment.endOffset > cleanedTo) {
        const lastAppendMs = await this.#reading(segment, () =>
          parts.segments.with(segment, async (_, index) => index.lastAppendMs),
        );
        if (nowMs - lastAppendMs < minLagMs) break;
      }
      cleanable.push(segment);
    }
    return cleanable;
  }

  get #isTombstoneDue(): boolean {
    const { hasTombstones, droppedTo } = this.#access.state.parts.books.compaction;
    return hasTombstones && this.#tombstonesEnd > droppedTo;
  }

  #isWorthwhile(cleanable: readonly Segment[]): boolean {
    const { cleanedTo } = this.#access.state.parts.books.compaction;
    let total = 0;
    let dirty = 0;
    for (const { size, endOffset } of cleanable) {
      total += size;
      if (endOffset > cleanedTo) dirty += size;
    }
    return dirty > 0 && dirty >= total * (this.#request.dirtyRatioMin ?? 0.5);
  }

  /** Fills the map; sets `#mapEnd`, up to which it holds every key. Returns the end of what may be compacted. */
  async #mapKeys(cleanable: readonly Segment[]): Promise<Offset> {
    const { cleanedTo } = this.#access.state.parts.books.compaction;
    this.#mapEnd = toOffset(Math.min(cleanedTo, cleanable.at(-1)?.endOffset ?? 0));
    for (const segment of cleanable) {
      if (segment.endOffset <= cleanedTo) continue;
      let isOpen = true;
      await this.#eachFrame(segment, toOffset(Math.max(cleanedTo, segment.baseOffset)), async (cursor, header) => {
        isOpen &&= !this.#keys.isFull && !this.#thinning.isKeyed(header, cursor.trailer);
        if (!isOpen) return false;
        await this.#thinning.mapFrame(cursor, header);
        this.#mapEnd = toOffset(cursor.trailer.endOffset);
        return true;
      });
      if (isOpen) continue;
      // A batch whose key is still remembered stays as it is, and so does what comes after it.
      return this.#keys.isFull ? (cleanable.at(-1) as Segment).endOffset : this.#mapEnd;
    }
    return this.#mapEnd;
  }

  /** Writes the segments anew, several small ones as one, and swaps each file as soon as it is whole. */
  async #rewrite(sources: readonly Segment[]): Promise<void> {
    const { config } = this.#access.state;
    let group: Segment[] = [];
    let bytes = 0;
    for (const source of sources) {
      // As many as fit if nothing can be removed.
      if (group.length > 0 && bytes + source.size > config.segmentBytes) {
        await this.#rewriteGroup(group);
        group = [];
        bytes = 0;
      }
      group.push(source);
      bytes += source.size;
    }
    if (group.length > 0) await this.#rewriteGroup(group);
  }

  async #rewriteGroup(group: readonly Segment[]): Promise<void> {
    const { state } = this.#access;
    const { segments } = state.parts;
    const first = group[0] as Segment;
    const { endOffset } = group.at(-1) as Segment;
    const sizes = group.map(({ size }) => size);
    const cleaned = await CleanedFile.create(segments.folder, first.baseOffset, state.config.indexIntervalBytes);
    const droppedBefore = this.#thinning.droppedRecords;
    let isSwapped: boolean | undefined;
    try {
      for (const source of group) await this.#rewriteSegment(source, cleaned);
      await cleaned.finish(endOffset);
      const before = sizes.reduce((total, size) => total + size, 0);
      const isSame = cleaned.size === before && this.#thinning.droppedRecords === droppedBefore;
      if (group.length === 1 && isSame) return;
      isSwapped = await this.#access.change(async () => {
        if (!group.every((source) => isUnchanged(source, segments.active))) return false;
        await swapSegments(state.parts, group, cleaned);
        return true;
      });
      if (!isSwapped) throw cutMeanwhile();
      this.#removedBytes += before - cleaned.size;
    } finally {
      if (isSwapped !== true) await cleaned.discard();
    }
  }

  async #rewriteSegment(source: Segment, cleaned: CleanedFile): Promise<void> {
    const { folder } = this.#access.state.parts.segments;
    const copy = async (cursor: FrameCursor, header: BatchHeader): Promise<boolean> => {
      const { trailer, bytes, start, end } = cursor;
      const { baseOffset, endOffset, leaderEpoch, appendTimeMs } = trailer;
      const left = await this.#thinning.whatIsLeft(cursor, header);
      if (left === 'all') cleaned.add(bytes.subarray(start, end));
      else if (left === 'nothing') cleaned.addGap({ baseOffset, endOffset, leaderEpoch, appendTimeMs });
      else cleaned.add(left === 'identity' ? emptiedFrame(header, trailer, folder.checksum) : left);
      return true;
    };
    await this.#eachFrame(source, source.baseOffset, copy, () => cleaned.flush());
  }

  /** Visits the frames of a sealed segment from `from` on, verified, until `visit` says false; `chunkDone` before their memory goes. */
  async #eachFrame(
    segment: Segment,
    from: Offset,
    visit: (cursor: FrameCursor, header: BatchHeader) => Promise<boolean>,
    chunkDone: () => Promise<void> = async () => undefined,
  ): Promise<void> {
    for (let at = from; at < segment.endOffset; ) {
      const { bytes, nextOffset, lease } = await this.#readChunk(segment, at);
      const cursor = new FrameCursor(bytes);
      while (cursor.next() === 'frame') {
        if (!(await visit(cursor, readBatchHeader(bytes, cursor.batchStart, cursor.end)))) return;
      }
      await chunkDone();
      lease?.release();
      this.#readBytes += bytes.length;
      await this.#request.pace?.(bytes.length);
      at = nextOffset;
    }
  }

  #readChunk(segment: Segment, from: Offset) {
    const { parts, config, options } = this.#access.state;
    const means = { intervalBytes: config.indexIntervalBytes, buffers: options.buffers };
    const request = { from, upTo: segment.endOffset, maxBytes: chunkBytes };
    return this.#reading(segment, () => readSegment(parts.segments, segment, request, means));
  }

  /** As a reader: no change of the log takes place meanwhile. */
  #reading<Result>(segment: Segment, read: () => Promise<Result>): Promise<Result> {
    const { state } = this.#access;
    return state.parts.gate.read(() => {
      state.checkOpen();
      if (!isUnchanged(segment, state.parts.segments.active)) throw cutMeanwhile();
      return read();
    });
  }

  #report(cleanedTo: Offset, hasMore: boolean): CompactionReport {
    const { start } = this.#access.state;
    return {
      cleanedTo: toOffset(Math.max(cleanedTo, start)),
      hasMore,
      readBytes: this.#readBytes,
      removedRecords: this.#thinning.droppedRecords,
      removedBytes: this.#removedBytes,
    };
  }
}

/** A sealed segment changes only when the log is cut. */
function isUnchanged(segment: Segment, active: Segment | undefined): boolean {
  return !segment.isRemoved && segment !== active;
}

function cutMeanwhile(): DomainError {
  return new DomainError('NOT_AVAILABLE', 'the log was cut while it was compacted');
}
