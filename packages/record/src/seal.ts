/**
 * Makes a frame of a validated batch: a head before it and the leader's trailer behind it (layout.ts). The batch itself is
 * neither changed nor copied; the three pieces are written one behind the other with one vectored write.
 *
 * Invariant: what `sealFrame` makes, `FrameCursor` accepts, and `checkFrame` finds its checksum right.
 */
import { assert, type Checksum, varintSize, writePaddedVarint, writeVarint } from '@fleetmq/shared';
import { checksumBytes, frameBytesMax, frameTag, trailerBytes } from './layout.ts';

/** What the leader of a partition adds to a batch. */
export interface LeaderFields {
  readonly baseOffset: number;
  /** 0 to 2^32-1. */
  readonly leaderEpoch: number;
  /** Milliseconds since 1970-01-01 UTC, by the leader's clock. */
  readonly appendTimeMs: number;
}

/** A batch that becomes a frame. */
export interface SealableBatch {
  readonly bytes: Uint8Array;
  /** 0 only for what compaction leaves. */
  readonly recordCount: number;
  /** Default: `recordCount - 1`, as it is unless offsets have gaps. */
  readonly lastOffsetDelta?: number;
  /** CRC-32 of `bytes`, where it is known already. */
  readonly bytesCrc?: number | undefined;
}

export interface SealedFrame {
  /** Tag and length. */
  readonly head: Uint8Array;
  /** The very bytes of the batch. */
  readonly body: Uint8Array;
  readonly trailer: Uint8Array;
  /** Length of the three together. */
  readonly byteLength: number;
}

/** Length of the frame that a batch of `batchBytes` becomes. */
export function frameSize(batchBytes: number): number {
  const content = batchBytes + trailerBytes;
  return 1 + varintSize(content) + content;
}

/** The frame of `batch` at its place in the log. */
export function sealFrame(batch: SealableBatch, fields: LeaderFields, checksum: Checksum): SealedFrame {
  const { bytes: body, recordCount } = batch;
  const lastOffsetDelta = batch.lastOffsetDelta ?? recordCount - 1;
  assert(
    recordCount >= 0 && lastOffsetDelta >= Math.max(0, recordCount - 1),
    `no extent: ${recordCount} records, ${lastOffsetDelta}`,
  );
  assert(fields.leaderEpoch >= 0 && fields.leaderEpoch <= 0xffff_ffff, `leader epoch ${fields.leaderEpoch}`);
  assert(Number.isSafeInteger(fields.appendTimeMs) && fields.appendTimeMs >= 0, `append time ${fields.appendTimeMs}`);
  const content = body.length + trailerBytes;
  const headBytes = 1 + varintSize(content);
  assert(headBytes + content <= frameBytesMax, `a frame of ${content} bytes is over ${frameBytesMax}`);

  const ends = new Uint8Array(headBytes + trailerBytes);
  ends[0] = frameTag;
  writeVarint(ends, 1, content);
  const trailer = ends.subarray(headBytes);
  writeTrailer(trailer, fields, recordCount, lastOffsetDelta);
  const crc = checksum.crc32(trailer.subarray(0, trailerBytes - checksumBytes), batch.bytesCrc ?? checksum.crc32(body));
  writeUint32(trailer, trailerBytes - checksumBytes, crc);
  return { head: ends.subarray(0, headBytes), body, trailer, byteLength: headBytes + content };
}

/** The frame as one piece of memory: for tests, and for what is made anew anyway. */
export function joinFrame(frame: SealedFrame): Uint8Array {
  const bytes = new Uint8Array(frame.byteLength);
  bytes.set(frame.head);
  bytes.set(frame.body, frame.head.length);
  bytes.set(frame.trailer, frame.head.length + frame.body.length);
  return bytes;
}

/** Everything but the value of the checksum. */
function writeTrailer(target: Uint8Array, fields: LeaderFields, recordCount: number, lastOffsetDelta: number): void {
  target[0] = 0x18;
  writePaddedVarint(target, 1, fields.baseOffset, 8);
  target[9] = 0x20;
  writePaddedVarint(target, 10, lastOffsetDelta, 5);
  target[15] = 0x50;
  writePaddedVarint(target, 16, recordCount, 5);
  target[21] = 0x85;
  target[22] = 0x01;
  writeUint32(target, 23, fields.leaderEpoch);
  target[27] = 0x89;
  target[28] = 0x01;
  writeUint32(target, 29, fields.appendTimeMs % 2 ** 32);
  writeUint32(target, 33, Math.floor(fields.appendTimeMs / 2 ** 32));
  target[37] = 0x95;
  target[38] = 0x01;
}

function writeUint32(target: Uint8Array, at: number, value: number): void {
  target[at] = value & 0xff;
  target[at + 1] = (value >>> 8) & 0xff;
  target[at + 2] = (value >>> 16) & 0xff;
  target[at + 3] = (value >>> 24) & 0xff;
}
