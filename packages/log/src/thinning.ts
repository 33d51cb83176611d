/**
 * What one pass of a compaction leaves of each frame (record/src/compact.ts has the forms): the keys that were read decide which
 * records are void, the producers which batches stay known. What it cannot look into stays whole, and is noted: then nothing
 * may be concluded from the absence of records (compaction-state.ts).
 */
import {
  attribute,
  type BatchHeader,
  type Codecs,
  corruptBatch,
  type FrameCursor,
  isGap,
  type OpenBatch,
  openBatchInBackground,
  type RecordView,
  type Trailer,
  thinnedFrame,
  viewRecords,
} from '@fleetmq/record';
import { type Checksum, isDomainError } from '@fleetmq/shared';
import type { KeyMap } from './key-map.ts';
import { noProducer } from './producers.ts';

export interface ThinningRules {
  readonly keys: KeyMap;
  readonly codecs: Codecs;
  readonly checksum: Checksum;
  readonly nowMs: number;
  readonly idempotencyWindowMs: number;
  readonly maxFrameBytes: number;
  /** Base offsets of the batches that the producers are known by. */
  readonly identities: ReadonlySet<number>;
  /** Below it tombstones go. */
  readonly tombstonesEnd: number;
}

/** The frame as it is, who sent it, nothing, or another frame. */
export type Left = 'all' | 'identity' | 'nothing' | Uint8Array;

export class Thinning {
  readonly #rules: ThinningRules;
  droppedRecords = 0;
  /** Every record could be looked at. */
  isComplete = true;
  hasTombstones = false;

  constructor(rules: ThinningRules) {
    this.#rules = rules;
  }

  /** Notes the keys of the frame under the cursor. */
  async mapFrame(cursor: FrameCursor, header: BatchHeader): Promise<void> {
    const batch = await this.#open(cursor, header);
    if (batch === undefined) return;
    for (const { key, offset } of viewRecords(batch)) if (key !== undefined) this.#rules.keys.note(key, offset);
  }

  /** What is left of the frame under the cursor. */
  async whatIsLeft(cursor: FrameCursor, header: BatchHeader): Promise<Left> {
    const { trailer } = cursor;
    if (isGap(cursor)) return 'nothing';
    const isIdentity = header.producerId !== noProducer && this.#rules.identities.has(trailer.baseOffset);
    if (trailer.recordCount === 0) return isIdentity ? 'all' : 'nothing';
    if (this.isKeyed(header, trailer)) return this.#leftAlone();
    const batch = await this.#open(cursor, header);
    if (batch === undefined) return 'all';
    const kept = this.#countKept(batch);
    if (kept === batch.recordCount) return 'all';
    if (kept > 0) return this.#thinned(cursor, header, batch, kept);
    this.droppedRecords += batch.recordCount;
    return isIdentity ? 'identity' : 'nothing';
  }

  async #thinned(
    { trailer, start, end }: FrameCursor,
    header: BatchHeader,
    batch: OpenBatch,
    kept: number,
  ): Promise<'all' | Uint8Array> {
    const codec = header.compressedEntries > 0 ? this.#rules.codecs.get(header.compressionType) : undefined;
    const { checksum, maxFrameBytes } = this.#rules;
    try {
      const thinned = await thinnedFrame(batch, trailer, (record) => this.#keeps(record), { codec, checksum });
      if (thinned.length > Math.max(end - start, maxFrameBytes)) return this.#leftAlone();
      this.droppedRecords += batch.recordCount - kept;
      return thinned;
    } catch (error) {
      // A codec that can only inflate.
      if (isDomainError(error) && error.code === 'UNSUPPORTED_CODEC') return this.#leftAlone();
      throw error;
    }
  }

  /** It may hold records that are void, so nothing may rely on their absence. */
  #leftAlone(): 'all' {
    this.isComplete = false;
    return 'all';
  }

  #countKept(batch: OpenBatch): number {
    let kept = 0;
    for (const record of viewRecords(batch)) {
      if (!this.#keeps(record)) continue;
      kept++;
      this.hasTombstones ||= record.value === undefined;
    }
    return kept;
  }

  #keeps({ key, value, offset }: RecordView): boolean {
    if (key === undefined) return true;
    const newest = this.#rules.keys.newest(key);
    if (newest !== undefined && newest > offset) return false;
    return value !== undefined || offset >= this.#rules.tombstonesEnd;
  }

  /** Its idempotency key may still be asked for, with all of its records. */
  isKeyed({ idempotencyKey }: BatchHeader, { appendTimeMs }: Trailer): boolean {
    return idempotencyKey !== '' && appendTimeMs + this.#rules.idempotencyWindowMs > this.#rules.nowMs;
  }

  /** The batch under the cursor; undefined when it has no records, or its records cannot be looked at. */
  async #open(cursor: FrameCursor, header: BatchHeader): Promise<OpenBatch | undefined> {
    if (cursor.trailer.recordCount === 0 || (header.attributes & attribute.control) !== 0) return;
    try {
      if ((header.attributes & attribute.transactional) !== 0)
        throw corruptBatch('whether it counts is not known here');
      const batch = await openBatchInBackground(cursor.bytes.subarray(cursor.batchStart, cursor.end), {
        codecs: this.#rules.codecs,
      });
      if (batch.recordCount === cursor.trailer.recordCount && isWellFormed(batch)) return batch;
    } catch (error) {
      if (!isDomainError(error)) throw error;
    }
    this.isComplete = false;
    return;
  }
}

/** Whether all records of a batch with gaps can be walked: offsets that a producer claims inside of a compressed batch may make no sense. */
function isWellFormed(batch: OpenBatch): boolean {
  if (batch.endOffset - batch.baseOffset === batch.recordCount) return true;
  let count = 0;
  for (const record of viewRecords(batch)) if (record.offset < batch.endOffset) count++;
  return count === batch.recordCount;
}
