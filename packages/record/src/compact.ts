/**
 * What compaction makes of a frame. Offsets never move: a frame that lost records keeps its base offset and its extent, and each
 * record that is left says by `offset_delta` where it was, unless that is its position anyway. Three forms:
 *
 *  - thinned: some records are left; header fields as they were, compressed with the same codec;
 *  - emptied: no record is left, but the batch is still known by its producer id, epoch and sequence; its extent says how many
 *    records it had, and so which sequence comes next;
 *  - gap: nothing is left. It may stand for many frames of one leader epoch, and every border inside of it is gone.
 *
 * The idempotency key goes with the first record that goes: its content can no longer be compared.
 */
import { type Checksum, concatBytes, WireReader, WireWriter, wireVarint, writePaddedVarint } from '@fleetmq/shared';
import type { Codec } from './compression.ts';
import { type OpenBatch, type RecordView, viewRecords } from './decode.ts';
import { encodeHeader } from './encode.ts';
import type { FrameCursor } from './frames.ts';
import { type BatchHeader, readTrailer, type Trailer } from './header.ts';
import { batchField, batchMagic, checksumBytes, codecId, frameBytesMin, recordField, trailerBytes } from './layout.ts';
import { joinFrame, type LeaderFields, sealFrame } from './seal.ts';

/** A run of offsets without records, all of one leader epoch. */
export interface Gap extends LeaderFields {
  readonly endOffset: number;
}

/** Length of the frame of a gap. Nothing else is so short. */
export const gapBytes: number = frameBytesMin;

/** Whether the frame under the cursor is that of a gap. */
export function isGap({ trailer, start, end }: FrameCursor): boolean {
  return trailer.recordCount === 0 && end - start === gapBytes;
}

export function gapFrame(gap: Gap, checksum: Checksum): Uint8Array {
  const bytes = Uint8Array.of(batchField.magic * 8 + wireVarint, batchMagic);
  const batch = { bytes, recordCount: 0, lastOffsetDelta: gap.endOffset - gap.baseOffset - 1 };
  return joinFrame(sealFrame(batch, gap, checksum));
}

/** Lets the gap whose frame ends at `end` of `bytes` begin at `baseOffset`, which lies inside of it. In place: its length stays. */
export function clipGap(bytes: Uint8Array, end: number, baseOffset: number, checksum: Checksum): void {
  const { endOffset } = readTrailer(bytes, end);
  const at = end - trailerBytes;
  writePaddedVarint(bytes, at + 1, baseOffset, 8);
  writePaddedVarint(bytes, at + 10, endOffset - baseOffset - 1, 5);
  const crc = checksum.crc32(bytes.subarray(end - gapBytes + 2, end - checksumBytes));
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(end - checksumBytes, crc, true);
}

/** The batch without its records: who sent it, and where it was. */
export function emptiedFrame(header: BatchHeader, trailer: Trailer, checksum: Checksum): Uint8Array {
  const { lastOffsetDelta } = trailer;
  const { producerId, producerEpoch, baseSequence, attributes } = header;
  const bytes = encodeHeader({
    ...{ producerId, producerEpoch, baseSequence, attributes, lastOffsetDelta },
    compressionType: codecId.none,
    recordCount: 0,
    firstTimestampMs: 0,
    maxTimestampMs: 0,
    crc: 0,
    idempotencyKey: '',
  });
  return joinFrame(sealFrame({ bytes, recordCount: 0, lastOffsetDelta }, trailer, checksum));
}

/** The batch with those records alone that `keep` takes, at least one. `codec`: that of the batch, undefined for none. */
export async function thinnedFrame(
  batch: OpenBatch,
  trailer: Trailer,
  keep: (record: RecordView) => boolean,
  { codec, checksum }: { readonly codec: Codec | undefined; readonly checksum: Checksum },
): Promise<Uint8Array> {
  const { lastOffsetDelta } = trailer;
  const leader = { ...trailer };
  const kept = collect(batch, keep);
  const carried = codec === undefined ? kept.bytes : await compress(codec, kept.bytes);
  const header = encodeHeader({
    ...batch.header,
    ...kept.facts,
    lastOffsetDelta,
    crc: checksum.crc32(carried),
    idempotencyKey: '',
  });
  const pieces = codec === undefined ? [header, carried] : [header, compressedField(carried), carried];
  const { recordCount } = kept.facts;
  return joinFrame(sealFrame({ bytes: concatBytes(pieces), recordCount, lastOffsetDelta }, leader, checksum));
}

function collect(batch: OpenBatch, keep: (record: RecordView) => boolean) {
  const writer = new WireWriter(batch.end - batch.start);
  let recordCount = 0;
  let firstTimestampMs = 0;
  let maxTimestampMs = 0;
  for (const record of viewRecords(batch)) {
    if (!keep(record)) continue;
    writeRecord(writer, record, record.offset - batch.baseOffset, recordCount);
    recordCount++;
    if (batch.header.maxTimestampMs === 0) continue;
    const { timestampMs } = record;
    if (firstTimestampMs === 0) firstTimestampMs = timestampMs;
    maxTimestampMs = Math.max(maxTimestampMs, timestampMs);
  }
  return { bytes: writer.finish(), facts: { recordCount, firstTimestampMs, maxTimestampMs } };
}

/** A delta that is in the record already is written anew: what a producer has claimed there inside of a compressed batch counts for nothing. */
function writeRecord(writer: WireWriter, { bytes }: RecordView, delta: number, position: number): void {
  const own = new WireWriter(bytes.length + 8);
  const reader = new WireReader(bytes);
  while (!reader.done) {
    const start = reader.position;
    const field = reader.next();
    reader.skip(reader.wireType);
    if (field !== recordField.offsetDelta) own.raw(bytes.subarray(start, reader.position));
  }
  if (delta !== position) own.varintField(recordField.offsetDelta, delta);
  writer.bytesField(batchField.records, own.finish());
}

function compressedField(carried: Uint8Array): Uint8Array {
  return new WireWriter(16).bytesHeader(batchField.compressedRecords, carried.length).finish();
}

function compress(codec: Codec, bytes: Uint8Array): Uint8Array | Promise<Uint8Array> {
  const { background } = codec;
  return background !== undefined && bytes.length >= background.compressFrom
    ? background.compress(bytes)
    : codec.compress(bytes);
}
