/**
 * Walks the frames of a file in order, verifying each: checksum, offset that follows the frame before, epoch that does not
 * fall. It reads in chunks, keeps one in memory, and decides nothing about what it finds: tail.ts and open.ts do.
 */
import { FrameCursor, readBatchHeader } from '@fleetmq/record';
import type { Checksum, DiskFile } from '@fleetmq/shared';
import type { IndexedFrame } from './sparse-index.ts';

export interface ScanRange {
  /** Byte to begin at: the start of a frame. */
  readonly position: number;
  /** Byte to end at: the file is not read beyond it. */
  readonly end: number;
  /** Offset of the first frame. */
  readonly offset: number;
  /** No frame may have a lower leader epoch. Default 0. */
  readonly leaderEpoch?: number;
}

export interface ScanEnd {
  /** The first byte behind the last good frame; `end` of the range when all was good. */
  readonly position: number;
  /** The offset after the last good frame. */
  readonly offset: number;
  readonly leaderEpoch: number;
  /** Why the scan stopped before the end of its range; undefined when it did not. */
  readonly fault: string | undefined;
}

/** Called for each good frame, with the cursor on it and its position in the file. False ends the scan before that frame. */
export type FrameVisitor = (cursor: FrameCursor, position: number) => boolean;

const chunkBytes = 1024 * 1024;

/** Walks the frames of `range`. Errors are those of the disk alone: what is wrong with the bytes is in the result. */
export async function scanFrames(
  file: DiskFile,
  range: ScanRange,
  checksum: Checksum,
  visit: FrameVisitor,
): Promise<ScanEnd> {
  const walk = new Walk(range, checksum, visit);
  let wanted = chunkBytes;
  while (walk.position < range.end && !walk.stopped) {
    const bytes = await file.read(walk.position, Math.min(wanted, range.end - walk.position));
    if (bytes.length === 0) return { ...walk.place, fault: 'the file is shorter than it was' };
    const outcome = walk.through(bytes);
    if (outcome.fault !== undefined) return { ...walk.place, fault: outcome.fault };
    if (outcome.partialBytes > 0 && walk.position + outcome.partialBytes === range.end) {
      return { ...walk.place, fault: 'a frame is cut' };
    }
    wanted = Math.max(chunkBytes, outcome.frameBytes);
  }
  return { ...walk.place, fault: undefined };
}

/** What is left at the end of a chunk. */
interface ChunkEnd {
  readonly fault: string | undefined;
  /** Bytes of a frame that the chunk holds only in part. */
  readonly partialBytes: number;
  /** The length that this frame claims; 0 when unknown. */
  readonly frameBytes: number;
}

const wholeChunk: ChunkEnd = { fault: undefined, partialBytes: 0, frameBytes: 0 };

class Walk {
  readonly #checksum: Checksum;
  readonly #visit: FrameVisitor;
  position: number;
  stopped = false;
  #offset: number;
  #leaderEpoch: number;

  constructor(range: ScanRange, checksum: Checksum, visit: FrameVisitor) {
    this.#checksum = checksum;
    this.#visit = visit;
    this.position = range.position;
    this.#offset = range.offset;
    this.#leaderEpoch = range.leaderEpoch ?? 0;
  }

  get place(): Omit<ScanEnd, 'fault'> {
    return { position: this.position, offset: this.#offset, leaderEpoch: this.#leaderEpoch };
  }

  /** Takes the frames of a chunk that begins at `position`, and moves `position` behind the last whole one. */
  through(bytes: Uint8Array): ChunkEnd {
    const cursor = new FrameCursor(bytes);
    const base = this.position;
    for (;;) {
      const status = cursor.next();
      if (status === 'end') return wholeChunk;
      if (status === 'bad') return { ...wholeChunk, fault: 'no frame' };
      if (status === 'partial') {
        return { fault: undefined, partialBytes: bytes.length - cursor.start, frameBytes: cursor.end - cursor.start };
      }
      const fault = frameFault(cursor, { offset: this.#offset, leaderEpoch: this.#leaderEpoch }, this.#checksum);
      if (fault !== undefined) return { ...wholeChunk, fault };
      if (!this.#visit(cursor, base + cursor.start)) {
        this.stopped = true;
        return wholeChunk;
      }
      this.position = base + cursor.end;
      this.#offset = cursor.trailer.endOffset;
      this.#leaderEpoch = cursor.trailer.leaderEpoch;
    }
  }
}

/** Why the frame under the cursor is not the one that follows `expected`; undefined when it is. */
function frameFault(
  cursor: FrameCursor,
  expected: { readonly offset: number; readonly leaderEpoch: number },
  checksum: Checksum,
): string | undefined {
  const { baseOffset, leaderEpoch } = cursor.trailer;
  if (!cursor.hasValidChecksum(checksum)) return 'a frame fails its checksum';
  if (baseOffset !== expected.offset) return `a frame has offset ${baseOffset}, expected is ${expected.offset}`;
  if (leaderEpoch < expected.leaderEpoch) return `epoch ${leaderEpoch} comes after epoch ${expected.leaderEpoch}`;
  return undefined;
}

/** The index entry of the frame under the cursor. */
export function indexedFrame(cursor: FrameCursor): IndexedFrame {
  const { trailer, start, end } = cursor;
  const { maxTimestampMs } = readBatchHeader(cursor.bytes, cursor.batchStart, end);
  return {
    baseOffset: trailer.baseOffset,
    endOffset: trailer.endOffset,
    byteLength: end - start,
    timeMs: frameTime(maxTimestampMs, trailer.appendTimeMs),
    appendTimeMs: trailer.appendTimeMs,
  };
}

/** The time of a frame for the time index: of its records where they say one, else when it was appended. */
export function frameTime(maxTimestampMs: number, appendTimeMs: number): number {
  return maxTimestampMs > 0 ? maxTimestampMs : appendTimeMs;
}
