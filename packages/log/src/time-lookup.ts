/**
 * Finds the first record at or after a time. The index narrows it to a stretch of frames; inside a frame the records say
 * it, unless they are compressed: then the answer is the frame's first offset, so that a reader starts early, never late.
 */
import { openBatch, readBatchHeader, viewRecords } from '@fleetmq/record';
import { type Offset, toOffset } from '@fleetmq/shared';
import { corruptLog } from './files.ts';
import type { TimeAnswer } from './partition-log.ts';
import { indexedFrame, scanFrames } from './scan.ts';
import type { Segment } from './segment.ts';
import type { Segments } from './segments.ts';

export interface TimeQuery {
  readonly timestampMs: number;
  /** Records below it are not looked at. */
  readonly from: Offset;
  /** Frames that end above it are not looked at. */
  readonly upTo: Offset;
}

/** Undefined when there is none on disk. CORRUPT_LOG when a frame on the way is damaged. */
export async function findByTime(segments: Segments, query: TimeQuery): Promise<TimeAnswer | undefined> {
  for (const segment of [...segments.list]) {
    if (segment.endOffset <= query.from || segment.size === 0) continue;
    if (segment.baseOffset >= query.upTo) return undefined;
    const found = await findInSegment(segments, segment, query);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The first record of a batch at or after the time, and at or above `from`. */
export function findInBatch(
  batch: Uint8Array,
  frame: { readonly baseOffset: number; readonly timeMs: number },
  query: TimeQuery,
): TimeAnswer | undefined {
  if (frame.timeMs < query.timestampMs) return undefined;
  if (readBatchHeader(batch).compressedEntries > 0) {
    return { offset: toOffset(Math.max(frame.baseOffset, query.from)), timestampMs: frame.timeMs };
  }
  for (const record of viewRecords(openBatch(batch))) {
    if (record.offset >= query.from && record.timestampMs >= query.timestampMs) {
      return { offset: record.offset, timestampMs: record.timestampMs };
    }
  }
  return undefined;
}

async function findInSegment(segments: Segments, segment: Segment, query: TimeQuery): Promise<TimeAnswer | undefined> {
  return segments.with(segment, async (file, index) => {
    if (index.maxTimeMs < query.timestampMs) return undefined;
    const byTime = index.placeOfTime(query.timestampMs);
    const byOffset = index.placeOf(Math.max(query.from, segment.baseOffset));
    const place = byTime.position > byOffset.position ? byTime : byOffset;
    let found: TimeAnswer | undefined;
    const range = { ...place, end: segment.size };
    const scanned = await scanFrames(file, range, segments.folder.checksum, (cursor) => {
      if (cursor.trailer.endOffset > query.upTo) return false;
      if (cursor.trailer.endOffset <= query.from) return true;
      found = findInBatch(cursor.bytes.subarray(cursor.batchStart, cursor.end), indexedFrame(cursor), query);
      return found === undefined;
    });
    if (scanned.fault !== undefined) throw corruptLog(segment.path, scanned.position, scanned.fault);
    return found;
  });
}
