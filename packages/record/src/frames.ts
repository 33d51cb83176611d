/**
 * Walks the frames of a stretch of log: a file, a fetch answer, a replication message. One cursor serves a whole walk, so
 * that no object is made per frame.
 *
 * A frame counts only when its tag, the shortest form of its length, its trailer and (in `checkFrame`) its checksum are all
 * right. The cursor never reads outside its range and never trusts a length beyond `frameBytesMax`.
 */
import { type Checksum, varintSize } from '@fleetmq/shared';
import { Trailer } from './header.ts';
import { checksumBytes, frameBytesMax, frameBytesMin, frameTag } from './layout.ts';
import { corruptBatch } from './limits.ts';

/**
 * `frame`: there is one, the fields of the cursor describe it. `end`: the range is used up. `partial`: the range ends
 * inside of what may be a frame. `bad`: what lies at the position is no frame.
 */
export type FrameStatus = 'frame' | 'end' | 'partial' | 'bad';

const lengthBytesMax = 4;

export class FrameCursor {
  readonly bytes: Uint8Array;
  /** Where the next call of `next` looks: the end of the current frame. */
  position: number;
  readonly limit: number;
  /**
   * The current frame is `bytes[start, end)`, its batch `bytes[batchStart, end)`. After `partial`, `end - start` is the
   * length that the frame claims, or 0 when even that is cut.
   */
  start = 0;
  batchStart = 0;
  end = 0;
  readonly trailer: Trailer = new Trailer();

  constructor(bytes: Uint8Array, position = 0, limit: number = bytes.length) {
    this.bytes = bytes;
    this.position = position;
    this.limit = limit;
  }

  /** Steps to the next frame. Anything but `frame` leaves `position` where it was. The checksum is not checked here. */
  next(): FrameStatus {
    const { bytes, limit } = this;
    const start = this.position;
    if (start >= limit) return 'end';
    if (bytes[start] !== frameTag) return 'bad';
    const length = readLength(bytes, start + 1, limit);
    this.start = start;
    this.end = start;
    if (length < 0) return length === incomplete ? 'partial' : 'bad';
    const batchStart = start + 1 + varintSize(length);
    const end = batchStart + length;
    if (end - start > frameBytesMax || end - start < frameBytesMin) return 'bad';
    this.end = end;
    if (end > limit) return 'partial';
    if (!this.trailer.read(bytes, end)) return 'bad';
    this.batchStart = batchStart;
    this.position = end;
    return 'frame';
  }

  /** Whether the checksum of the current frame matches its bytes. */
  hasValidChecksum(checksum: Checksum): boolean {
    return (
      checksum.crc32(this.bytes.subarray(this.batchStart, this.end - checksumBytes)) === this.trailer.batchChecksum
    );
  }
}

const incomplete = -1;
const malformed = -2;

function readLength(bytes: Uint8Array, position: number, limit: number): number {
  let value = 0;
  for (let i = 0; i < lengthBytesMax; i++) {
    if (position + i >= limit) return incomplete;
    const byte = bytes[position + i] as number;
    value += (byte & 0x7f) * 128 ** i;
    if (byte < 0x80) return i > 0 && byte === 0 ? malformed : value;
  }
  return malformed;
}

/** The next whole and valid frame, or false at the end. CORRUPT_BATCH for anything else. */
export function nextValidFrame(cursor: FrameCursor, checksum: Checksum): boolean {
  const status = cursor.next();
  if (status === 'end') return false;
  if (status !== 'frame') throw corruptBatch(`no whole frame at byte ${cursor.position} of ${cursor.limit}`);
  if (!cursor.hasValidChecksum(checksum)) throw corruptBatch(`the frame at byte ${cursor.start} fails its checksum`);
  return true;
}

/** Every frame of `bytes` as a view of the same memory, verified. For tests and tools: the data path uses the cursor. */
export function splitFrames(bytes: Uint8Array, checksum: Checksum): Uint8Array[] {
  const frames: Uint8Array[] = [];
  const cursor = new FrameCursor(bytes);
  while (nextValidFrame(cursor, checksum)) frames.push(bytes.subarray(cursor.start, cursor.end));
  return frames;
}

/** The batch inside a frame, head taken off. CORRUPT_BATCH when `frame` is not exactly one valid frame. */
export function batchOfFrame(frame: Uint8Array, checksum: Checksum): Uint8Array {
  const cursor = new FrameCursor(frame);
  if (!nextValidFrame(cursor, checksum) || cursor.end !== frame.length) throw corruptBatch('not exactly one frame');
  return frame.subarray(cursor.batchStart);
}
