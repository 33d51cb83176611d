/**
 * Makes uncompressed frames of compressed ones, for a reader that does not take the codec. The result is another
 * representation of the same records at the same offsets: it has checksums of its own, and it is never stored.
 *
 * Nothing is inflated beyond the output cap and the ratio cap, and inflated bytes pass the same structure check as those of
 * an uncompressed producer, so a compressed batch cannot smuggle in what validate.ts would have refused.
 */
import { type Checksum, concatBytes } from '@fleetmq/shared';
import { type Codecs, inflateRecords, requireCodec } from './compression.ts';
import { checkInflated } from './decode.ts';
import { encodeHeader } from './encode.ts';
import { FrameCursor, nextValidFrame } from './frames.ts';
import { readBatchHeader } from './header.ts';
import { codecId } from './layout.ts';
import { corruptBatch, defaultInflationLimits, type InflationLimits } from './limits.ts';
import { joinFrame, sealFrame } from './seal.ts';

export interface InflateOptions {
  readonly codecs: Codecs;
  readonly checksum: Checksum;
  readonly limits?: InflationLimits;
}

export interface InflateFramesOptions extends InflateOptions {
  /** Ids of the codecs that the reader takes. */
  readonly accepted: ReadonlySet<number>;
  /** Bytes of the whole answer; frames beyond it are left out, but never the first. Default 8 MiB. */
  readonly answerBytesMax?: number;
}

/**
 * The uncompressed twin of one stored frame; the frame itself when it is not compressed.
 * Errors: CORRUPT_BATCH, UNSUPPORTED_CODEC, RECORD_TOO_LARGE (over the inflation limits).
 */
export function inflateFrame(frame: Uint8Array, options: InflateOptions): Uint8Array {
  const cursor = new FrameCursor(frame);
  if (!nextValidFrame(cursor, options.checksum)) throw corruptBatch('no frame');
  return inflateCurrent(cursor, options);
}

/**
 * A stretch of frames for a reader that takes only `accepted` codecs: frames that it takes go through as they are.
 * Returns the input itself when nothing had to be inflated. `frames` is how many are in the answer.
 */
export function inflateFrames(
  bytes: Uint8Array,
  options: InflateFramesOptions,
): { readonly bytes: Uint8Array; readonly frames: number } {
  const answerBytesMax = options.answerBytesMax ?? 8 * 1024 * 1024;
  const pieces: Uint8Array[] = [];
  let total = 0;
  let changed = false;
  const cursor = new FrameCursor(bytes);
  while (nextValidFrame(cursor, options.checksum)) {
    const codec = readBatchHeader(bytes, cursor.batchStart, cursor.end).compressionType;
    const taken = codec === codecId.none || options.accepted.has(codec);
    const piece = taken ? bytes.subarray(cursor.start, cursor.end) : inflateCurrent(cursor, options);
    if (pieces.length > 0 && total + piece.length > answerBytesMax) {
      changed = true;
      break;
    }
    changed ||= !taken;
    pieces.push(piece);
    total += piece.length;
  }
  return { bytes: changed ? concatBytes(pieces) : bytes, frames: pieces.length };
}

function inflateCurrent(cursor: FrameCursor, options: InflateOptions): Uint8Array {
  const { bytes, start, batchStart, end, trailer } = cursor;
  const limits = options.limits ?? defaultInflationLimits;
  const header = readBatchHeader(bytes, batchStart, end);
  if (header.compressedEntries === 0) return bytes.subarray(start, end);
  const carried = bytes.subarray(header.compressedStart, header.compressedEnd);
  const records = inflateRecords(requireCodec(options.codecs, header.compressionType), carried, limits);
  const count = checkInflated(records, limits);
  if (count !== trailer.recordCount)
    throw corruptBatch(`record_count is ${trailer.recordCount}, ${count} were inflated`);
  const head = encodeHeader({ ...header, compressionType: codecId.none, crc: options.checksum.crc32(records) });
  const batch = concatBytes([head, records]);
  return joinFrame(
    sealFrame(
      { bytes: batch, recordCount: count, lastOffsetDelta: trailer.lastOffsetDelta },
      trailer,
      options.checksum,
    ),
  );
}
