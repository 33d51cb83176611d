/** A log in memory for the replication properties: real frames, no files, no time. */
import { BatchBuilder, FrameCursor, joinFrame, sealFrame } from '@fleetmq/record';
import { concatBytes, tableChecksum } from '@fleetmq/shared';

export interface ModelBatch {
  readonly baseOffset: number;
  readonly endOffset: number;
  readonly epoch: number;
  readonly frame: Uint8Array;
}

export class ModelLog {
  startOffset = 0;
  batches: ModelBatch[] = [];

  get endOffset(): number {
    return this.batches.at(-1)?.endOffset ?? this.startOffset;
  }

  /** Where the first batch begins that is still there; the log may start inside of it. */
  get firstBatchOffset(): number {
    return this.batches[0]?.baseOffset ?? this.startOffset;
  }

  get sendableEnd(): number {
    return this.endOffset;
  }

  get lastEpoch(): number {
    return this.batches.at(-1)?.epoch ?? 0;
  }

  append(epoch: number, records: number, text: string): void {
    const builder = new BatchBuilder();
    for (let i = 0; i < records; i++) builder.append(undefined, new TextEncoder().encode(`${text}-${i}`));
    const bytes = builder.build({}, tableChecksum).bytes;
    const fields = { baseOffset: this.endOffset, leaderEpoch: epoch, appendTimeMs: 1 };
    this.appendFrames(joinFrame(sealFrame({ bytes, recordCount: records }, fields, tableChecksum)));
  }

  appendFrames(frames: Uint8Array): void {
    const cursor = new FrameCursor(frames);
    while (cursor.next() === 'frame') {
      const { baseOffset, endOffset, leaderEpoch } = cursor.trailer;
      if (baseOffset !== this.endOffset) throw new Error(`batch at ${baseOffset}, the log ends at ${this.endOffset}`);
      if (leaderEpoch < this.lastEpoch) throw new Error(`epoch ${leaderEpoch} after ${this.lastEpoch}`);
      const frame = frames.subarray(cursor.start, cursor.end);
      this.batches.push({ baseOffset, endOffset, epoch: leaderEpoch, frame });
    }
  }

  truncateTo(offset: number): void {
    if (!this.batches.some((batch) => batch.baseOffset === offset)) throw new Error(`no batch begins at ${offset}`);
    this.batches = this.batches.filter((batch) => batch.baseOffset < offset);
  }

  resetTo(offset: number): void {
    this.batches = [];
    this.startOffset = offset;
  }

  deleteBefore(offset: number): void {
    this.startOffset = Math.max(this.startOffset, offset);
    this.batches = this.batches.filter((batch) => batch.endOffset > this.startOffset);
  }

  epochAt(offset: number): number {
    return this.batches.find((batch) => offset >= batch.baseOffset && offset < batch.endOffset)?.epoch ?? 0;
  }

  endOffsetForEpoch(epoch: number): { epoch: number; endOffset: number } {
    const last = this.batches.findLast((batch) => batch.epoch <= epoch);
    return last === undefined
      ? { epoch: 0, endOffset: this.startOffset }
      : { epoch: last.epoch, endOffset: last.endOffset };
  }

  /** Whole frames from `offset`, at least one if there is any. */
  read(offset: number, maxBytes: number): { bytes: Uint8Array; endOffset: number } {
    let end = offset;
    const pieces: Uint8Array[] = [];
    let total = 0;
    for (const batch of this.batches) {
      if (batch.baseOffset < offset) continue;
      if (total > 0 && total + batch.frame.length > maxBytes) break;
      pieces.push(batch.frame);
      total += batch.frame.length;
      end = batch.endOffset;
    }
    return { bytes: concatBytes(pieces), endOffset: end };
  }

  clone(): ModelLog {
    const copy = new ModelLog();
    copy.startOffset = this.startOffset;
    copy.batches = [...this.batches];
    return copy;
  }
}
