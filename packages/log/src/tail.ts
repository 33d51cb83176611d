/**
 * Tells a torn tail from corruption: a pure function of the bytes behind the last good frame (format.md, "Recovery").
 *
 * At most one write is ever unsynced, so what a crash leaves is a piece of one write, in which later parts may have arrived
 * and earlier ones not. Whoever cuts a tail throws bytes away: every doubt is decided against cutting.
 */
import { FrameCursor, frameTag, gapBytes } from '@fleetmq/record';
import type { Checksum } from '@fleetmq/shared';

/** The unit that a disk writes or loses as a whole. */
export const sectorBytes = 512;
/** So many candidates are verified; a tail that holds more was made to be slow, and is not cut. */
const candidatesMax = 1000;

export interface TailPlace {
  /** Position in the file of the first of the bytes. */
  readonly position: number;
  /** The offset that the next frame would have. */
  readonly offset: number;
  /** The epoch of the last good frame. */
  readonly leaderEpoch: number;
}

/** Whether the bytes from the first bad frame to the end of the file are a write that did not arrive whole. */
export function isTornTail(bytes: Uint8Array, place: TailPlace, checksum: Checksum): boolean {
  let candidates = 0;
  for (let at = bytes.indexOf(frameTag); at >= 0; at = bytes.indexOf(frameTag, at + 1)) {
    const cursor = new FrameCursor(bytes, at);
    if (cursor.next() !== 'frame') continue;
    if (at > 0 && !couldFollow(cursor, place)) continue;
    if (++candidates > candidatesMax) return false;
    if (cursor.hasValidChecksum(checksum)) return hasLostSector(bytes.subarray(0, at), place.position);
  }
  return true;
}

/**
 * Between the last good frame and this one lie only so many bytes, and a record takes at least two of them; but where there is room
 * for a frame, it may have been a gap of any length.
 */
function couldFollow(cursor: FrameCursor, place: TailPlace): boolean {
  const { baseOffset, leaderEpoch } = cursor.trailer;
  const missed = baseOffset - place.offset;
  const mayBe = missed <= cursor.start || cursor.start >= gapBytes;
  return missed > 0 && mayBe && leaderEpoch >= place.leaderEpoch;
}

/**
 * Whether an aligned sector of zeros lies in the bytes, which begin at `position` of the file. Of the first sector only the
 * part behind the last good frame counts: what was there before the lost write is still there.
 */
function hasLostSector(bytes: Uint8Array, position: number): boolean {
  const first = (sectorBytes - (position % sectorBytes)) % sectorBytes;
  if (first > 0 && first <= bytes.length && isZero(bytes.subarray(0, first))) return true;
  for (let at = first; at + sectorBytes <= bytes.length; at += sectorBytes) {
    if (isZero(bytes.subarray(at, at + sectorBytes))) return true;
  }
  return false;
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}
