/**
 * Takes apart what a leader sent to be stored: whole frames, in order, each verified before any of them is queued. The bytes
 * stay as they came; what is made per frame is one small object.
 */
import { corruptBatch, FrameCursor, gapFrame, isGap, readBatchHeader } from '@fleetmq/record';
import { type Checksum, DomainError, type LeaderEpoch, type Lease, toOffset } from '@fleetmq/shared';
import type { PendingFrame } from './pending.ts';
import { type IdentifiedBatch, identify } from './producer-snapshot.ts';
import { frameTime } from './scan.ts';

export interface ReceivedFrame {
  readonly frame: PendingFrame;
  /** Undefined when it has neither a producer id nor an idempotency key. */
  readonly batch: IdentifiedBatch | undefined;
}

export interface FollowerEnd {
  /** The offset that the first frame must have. */
  readonly offset: number;
  /** The epoch that no frame may be below. */
  readonly leaderEpoch: number;
  readonly maxFrameBytes: number;
}

/** Every frame of `bytes`, whose memory is that of `lease`. CORRUPT_BATCH, OFFSET_OUT_OF_RANGE, STALE_EPOCH or RECORD_TOO_LARGE at the first that does not fit. */
export function takeFrames(bytes: Uint8Array, end: FollowerEnd, checksum: Checksum, lease?: Lease): ReceivedFrame[] {
  const received: ReceivedFrame[] = [];
  const cursor = new FrameCursor(bytes);
  let { offset, leaderEpoch } = end;
  for (let status = cursor.next(); status !== 'end'; status = cursor.next()) {
    if (status !== 'frame') throw corruptBatch(`no whole frame at byte ${cursor.position} of ${bytes.length}`);
    if (!cursor.hasValidChecksum(checksum)) throw corruptBatch(`the frame at byte ${cursor.start} fails its checksum`);
    const gap = clippedGap(cursor, offset, checksum);
    if (gap === undefined) checkPlace(cursor, { ...end, offset, leaderEpoch });
    received.push(gap ?? takeFrame(cursor, checksum, lease));
    offset = cursor.trailer.endOffset;
    leaderEpoch = cursor.trailer.leaderEpoch;
  }
  return received;
}

/** The part at and above `offset` of a gap that begins below: this log has what the leader has compacted away. */
function clippedGap(cursor: FrameCursor, offset: number, checksum: Checksum): ReceivedFrame | undefined {
  const { trailer } = cursor;
  if (trailer.recordCount > 0 || trailer.baseOffset >= offset || trailer.endOffset <= offset || !isGap(cursor)) return;
  const { leaderEpoch, appendTimeMs, endOffset } = trailer;
  const part = new FrameCursor(gapFrame({ baseOffset: offset, endOffset, leaderEpoch, appendTimeMs }, checksum));
  part.next();
  return takeFrame(part, checksum, undefined);
}

function checkPlace(cursor: FrameCursor, end: FollowerEnd): void {
  const { baseOffset, leaderEpoch } = cursor.trailer;
  if (baseOffset !== end.offset) {
    throw new DomainError('OFFSET_OUT_OF_RANGE', `the log ends at ${end.offset}, the frame begins at ${baseOffset}`);
  }
  if (leaderEpoch < end.leaderEpoch) {
    throw new DomainError('STALE_EPOCH', `the log has leader epoch ${end.leaderEpoch}, the frame ${leaderEpoch}`);
  }
  if (cursor.end - cursor.start > end.maxFrameBytes) {
    throw new DomainError(
      'RECORD_TOO_LARGE',
      `a frame of ${cursor.end - cursor.start} bytes is over ${end.maxFrameBytes}`,
    );
  }
}

function takeFrame(cursor: FrameCursor, checksum: Checksum, lease: Lease | undefined): ReceivedFrame {
  const { bytes, trailer } = cursor;
  const header = readBatchHeader(bytes, cursor.batchStart, cursor.end);
  const frame: PendingFrame = {
    baseOffset: toOffset(trailer.baseOffset),
    endOffset: toOffset(trailer.endOffset),
    leaderEpoch: trailer.leaderEpoch as LeaderEpoch,
    appendTimeMs: trailer.appendTimeMs,
    timeMs: frameTime(header.maxTimestampMs, trailer.appendTimeMs),
    byteLength: cursor.end - cursor.start,
    pieces: [bytes.subarray(cursor.start, cursor.end)],
    lease,
  };
  return { frame, batch: identify(bytes, header, trailer, checksum) };
}
