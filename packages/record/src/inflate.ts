/**
 * Makes uncompressed frames of compressed ones, for a reader that does not take the codec. The result is another
 * representation of the same records at the same offsets: it has checksums of its own, and it is never stored.
 *
 * One such reader must not hold up everybody else: long batches are inflated on another thread where the codec has one, and
 * of short ones only so many in a row on this one.
 *
 * Nothing is inflated beyond the output cap and the ratio cap, and inflated bytes pass the same structure check as those of
 * an uncompressed producer, so a compressed batch cannot smuggle in what validate.ts would have refused.
 */
import { type Checksum, concatBytes } from '@fleetmq/shared';
import {
  type Codec,
  type Codecs,
  inflateRecords,
  inflateRecordsInBackground,
  inflatesInBackground,
  requireCodec,
} from './compression.ts';
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
  /** Runs what is inflated on another thread, now or later: bounds how much of it there is. Default: at once. */
  readonly inTurn?: (job: () => Promise<Uint8Array>) => Promise<Uint8Array>;
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
export async function inflateFrame(frame: Uint8Array, options: InflateOptions): Promise<Uint8Array> {
  const cursor = new FrameCursor(frame);
  if (!nextValidFrame(cursor, options.checksum)) throw corruptBatch('no frame');
  return await inflateCurrent(cursor, new Turns(), options);
}

/**
 * A stretch of frames for a reader that takes only `accepted` codecs: frames that it takes go through as they are.
 * Resolves with the input itself when nothing had to be inflated. `frames` is how many are in the answer. The input must not
 * change meanwhile.
 */
export async function inflateFrames(
  bytes: Uint8Array,
  options: InflateFramesOptions,
): Promise<{ readonly bytes: Uint8Array; readonly frames: number }> {
  const answerBytesMax = options.answerBytesMax ?? 8 * 1024 * 1024;
  const pieces: Uint8Array[] = [];
  let total = 0;
  let changed = false;
  const cursor = new FrameCursor(bytes);
  const turns = new Turns();
  while (nextValidFrame(cursor, options.checksum)) {
    const codec = readBatchHeader(bytes, cursor.batchStart, cursor.end).compressionType;
    const taken = codec === codecId.none || options.accepted.has(codec);
    const piece = taken ? bytes.subarray(cursor.start, cursor.end) : await inflateCurrent(cursor, turns, options);
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

/** Where the batches of one stretch are inflated: many short ones take this thread as long as a long one. */
class Turns {
  /** Carried bytes that were inflated on this thread since it last had a rest. */
  #bytesHere = 0;

  async inflate(codec: Codec, carried: Uint8Array, options: InflateOptions): Promise<Uint8Array> {
    const { limits = defaultInflationLimits, inTurn = atOnce } = options;
    this.#bytesHere += carried.length;
    if (!inflatesInBackground(codec, this.#bytesHere)) return inflateRecords(codec, carried, limits);
    this.#bytesHere = 0;
    return await inTurn(() => inflateRecordsInBackground(codec, carried, limits));
  }
}

function atOnce<Result>(job: () => Promise<Result>): Promise<Result> {
  return job();
}

async function inflateCurrent(cursor: FrameCursor, turns: Turns, options: InflateOptions): Promise<Uint8Array> {
  const { bytes, start, batchStart, end, trailer } = cursor;
  const header = readBatchHeader(bytes, batchStart, end);
  if (header.compressedEntries === 0) return bytes.subarray(start, end);
  const carried = bytes.subarray(header.compressedStart, header.compressedEnd);
  const records = await turns.inflate(requireCodec(options.codecs, header.compressionType), carried, options);
  const count = checkInflated(records, options.limits ?? defaultInflationLimits);
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
