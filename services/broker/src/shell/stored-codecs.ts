/** What a reader has to know of the codecs in a stretch of log before any of it is inflated. Checksums were checked by the log. */
import { codecId, FrameCursor, readBatchHeader } from '@fleetmq/record';
import { type Offset, toOffset } from '@fleetmq/shared';

/** Whether there is a batch in a codec that the reader does not take. */
export function needsInflation(bytes: Uint8Array, accepted: ReadonlySet<number>): boolean {
  if (takesAll(accepted)) return false;
  const cursor = new FrameCursor(bytes);
  while (cursor.next() === 'frame') {
    const codec = readBatchHeader(bytes, cursor.batchStart, cursor.end).compressionType;
    if (codec !== codecId.none && !accepted.has(codec)) return true;
  }
  return false;
}

function takesAll(accepted: ReadonlySet<number>): boolean {
  return accepted.has(codecId.lz4) && accepted.has(codecId.zstd) && accepted.has(codecId.snappy);
}

/** The offset after the first `count` frames. */
export function endOfFrames(bytes: Uint8Array, count: number): Offset {
  const cursor = new FrameCursor(bytes);
  for (let i = 0; i < count; i++) cursor.next();
  return toOffset(cursor.trailer.endOffset);
}
