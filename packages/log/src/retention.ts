/**
 * Which segments have to go. A pure function of sizes and times; nothing is deleted here.
 *
 * The age of a segment is that of its newest record, but a record is never newer than its append: a producer that claims a
 * time in the future cannot keep a segment for ever. The records' times come from producers and `nowMs` from the caller;
 * neither decides more than when old data goes.
 */
import type { LogConfig } from './config.ts';

export interface SegmentAge {
  readonly size: number;
  readonly endOffset: number;
  /** Highest frame time and last append time of the segment. Asked only where an age matters. */
  times(): Promise<{ readonly maxTimeMs: number; readonly lastAppendMs: number }>;
}

/**
 * How many of `segments`, oldest first, are to be deleted: those below the log start, those over `retentionBytes`, those older
 * than `retentionMs`, as long as all their records are below the high watermark.
 */
export async function countExpired(
  segments: readonly SegmentAge[],
  at: { readonly nowMs: number; readonly highWatermark: number; readonly startOffset: number },
  config: Pick<LogConfig, 'retentionBytes' | 'retentionMs'>,
): Promise<number> {
  let excess = segments.reduce((total, { size }) => total + size, 0) - config.retentionBytes;
  let count = 0;
  for (const segment of segments) {
    if (segment.endOffset > at.highWatermark || segment.size === 0) break;
    const tooMuch = config.retentionBytes >= 0 && excess >= segment.size;
    const isBelowStart = segment.endOffset <= at.startOffset;
    if (!isBelowStart && !tooMuch && !(await isOld(segment, at.nowMs, config.retentionMs))) break;
    excess -= segment.size;
    count++;
  }
  return count;
}

async function isOld(segment: SegmentAge, nowMs: number, retentionMs: number): Promise<boolean> {
  if (retentionMs < 0) return false;
  const { maxTimeMs, lastAppendMs } = await segment.times();
  return nowMs - Math.min(maxTimeMs, lastAppendMs) > retentionMs;
}
