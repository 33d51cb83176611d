/**
 * Reads frames of one segment. Every frame is verified before a byte of it is returned: checksum, and offsets that follow
 * one another from the asked one. The result is one stretch of the file, not copied again.
 */
import { clipGap, FrameCursor, isGap } from '@fleetmq/record';
import {
  type BufferPool,
  type Checksum,
  type DiskFile,
  isDomainError,
  type Lease,
  type Offset,
  toOffset,
} from '@fleetmq/shared';
import { corruptLog } from './files.ts';
import type { Segment } from './segment.ts';
import type { Segments } from './segments.ts';
import type { FramePlace, SparseIndex } from './sparse-index.ts';

export interface ReadRequest {
  /** The first frame of the answer contains this offset. */
  readonly from: Offset;
  /** No frame of the answer ends above this offset. */
  readonly upTo: Offset;
  /** The answer is not longer, unless its first frame alone is. */
  readonly maxBytes: number;
}

export interface ReadAnswer {
  /** Whole frames: the body of a fetch answer. Owned by the caller. */
  readonly bytes: Uint8Array;
  /** Offset of the first record in `bytes`; `from` when there is none. */
  readonly baseOffset: Offset;
  /** Offset after the last record in `bytes`; `from` when there is none. */
  readonly nextOffset: Offset;
  /** The caller's use of the memory of `bytes`, to be let go when they are no longer needed; it may be dropped instead. */
  readonly lease?: Lease | undefined;
}

export function emptyAnswer(offset: Offset): ReadAnswer {
  return { bytes: new Uint8Array(0), baseOffset: offset, nextOffset: offset };
}

export interface ReadMeans {
  /** Of the index. */
  readonly intervalBytes: number;
  readonly buffers: BufferPool | undefined;
}

/** The frames of `segment`, which holds `from`. CORRUPT_LOG when one of them is damaged. */
export function readSegment(
  segments: Segments,
  segment: Segment,
  request: ReadRequest,
  { intervalBytes, buffers }: ReadMeans,
): Promise<ReadAnswer> {
  const { checksum } = segments.folder;
  return segments.with(segment, async (file, index) => {
    try {
      return await readFrames({ file, segment, checksum, index, intervalBytes, buffers }, request);
    } catch (error) {
      if (segment.indexIsProven || !isDomainError(error) || error.code !== 'CORRUPT_LOG') throw error;
      // Either the log is damaged or the index from disk has misled: an index made from the frames tells which.
      const rebuilt = await segment.rebuildIndex(intervalBytes);
      return await readFrames({ file, segment, checksum, index: rebuilt, intervalBytes, buffers }, request);
    }
  });
}

interface Source extends ReadMeans {
  readonly file: DiskFile;
  readonly segment: Segment;
  readonly checksum: Checksum;
  readonly index: SparseIndex;
}

async function readFrames(source: Source, request: ReadRequest): Promise<ReadAnswer> {
  const place = source.index.placeOf(request.from);
  let wanted = Math.min(request.maxBytes + source.intervalBytes, source.segment.size - place.position);
  for (;;) {
    const lease = source.buffers?.take(wanted);
    const bytes = await source.file.read(place.position, wanted, lease?.bytes);
    const collected = collect(bytes, place, source, request);
    if (typeof collected !== 'number') return { ...collected, lease };
    lease?.release();
    const available = source.segment.size - place.position;
    if (wanted >= available || collected > available)
      throw corruptLog(source.segment.path, place.position, 'a frame is cut');
    wanted = Math.min(available, Math.max(collected, wanted * 2));
  }
}

/** The answer, or the number of bytes that must be read because the first frame is longer than what was. */
function collect(bytes: Uint8Array, place: FramePlace, source: Source, request: ReadRequest): ReadAnswer | number {
  const cursor = new FrameCursor(bytes);
  const { trailer } = cursor;
  let expected = place.offset;
  let start = -1;
  let end = 0;
  let baseOffset: Offset = request.from;
  let nextOffset: Offset = request.from;
  for (;;) {
    const status = cursor.next();
    if (status === 'end' || status === 'partial') {
      if (start >= 0) break;
      // Nothing found yet: more has to be read, up to the end of a frame whose length is known.
      return status === 'partial' ? cursor.end : bytes.length;
    }
    if (status === 'bad' || !cursor.hasValidChecksum(source.checksum) || trailer.baseOffset !== expected) {
      if (start >= 0) break;
      throw corruptLog(source.segment.path, place.position + cursor.position, `no frame of offset ${expected}`);
    }
    expected = trailer.endOffset;
    if (expected <= request.from) continue;
    if (expected > request.upTo || (start >= 0 && cursor.end - start > request.maxBytes)) break;
    if (start < 0) {
      start = cursor.start;
      baseOffset = toOffset(trailer.baseOffset);
      // The border at `from` may have gone with the batches there; a replica that ends there goes on there.
      if (trailer.recordCount === 0 && baseOffset < request.from && isGap(cursor)) {
        clipGap(bytes, cursor.end, request.from, source.checksum);
        baseOffset = request.from;
      }
    }
    end = cursor.end;
    nextOffset = toOffset(expected);
  }
  return start < 0 ? emptyAnswer(request.from) : { bytes: bytes.subarray(start, end), baseOffset, nextOffset };
}
