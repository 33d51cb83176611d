/** Records with keys, written as texts: `key=value`, `key=` for a tombstone, `=value` for a record without a key. */
import {
  BatchBuilder,
  type BuildOptions,
  batchOfFrame,
  defaultBatchLimits,
  openBatch,
  splitFrames,
  type ValidatedBatch,
  validateProduced,
  viewRecords,
} from '@fleetmq/record';
import { nodeCodecs } from '@fleetmq/record/codecs/node';
import { tableChecksum, toOffset } from '@fleetmq/shared';
import type { CompactionReport, CompactionRequest, PartitionLog } from '../partition-log.ts';

export interface KeyedRecord {
  readonly offset: number;
  readonly text: string;
}

type KeyedOptions = Omit<BuildOptions, 'codec'> & {
  readonly codec?: BuildOptions['codec'] | undefined;
  readonly timestampMs?: number | undefined;
};

export function keyedBatch(texts: readonly string[], options: KeyedOptions = {}): ValidatedBatch {
  const builder = new BatchBuilder();
  const { timestampMs, codec, ...build } = options;
  for (const text of texts) {
    const at = text.indexOf('=');
    const [key, value] = [text.slice(0, at), text.slice(at + 1)].map((part) => new TextEncoder().encode(part));
    builder.append(at === 0 ? undefined : key, at > 0 && value!.length === 0 ? undefined : value, [], timestampMs);
  }
  const { bytes } = builder.build(codec === undefined ? build : { ...build, codec }, tableChecksum);
  return validateProduced(bytes, defaultBatchLimits, tableChecksum);
}

export function recordsIn(frames: Uint8Array): KeyedRecord[] {
  const decoder = new TextDecoder();
  const records: KeyedRecord[] = [];
  for (const frame of splitFrames(frames, tableChecksum)) {
    const batch = openBatch(batchOfFrame(frame, tableChecksum), { codecs: nodeCodecs, checksum: tableChecksum });
    for (const { offset, key, value } of viewRecords(batch)) {
      records.push({ offset, text: `${decoder.decode(key)}=${decoder.decode(value)}` });
    }
  }
  return records;
}

export const compactRequest: Omit<CompactionRequest, 'highWatermark'> = {
  nowMs: 1_000_000,
  deleteRetentionMs: 1_000_000,
  minLagMs: 0,
  codecs: nodeCodecs,
};

/** One pass over all that is durable, unless `request` says otherwise. */
export function compact(log: PartitionLog, request: Partial<CompactionRequest> = {}): Promise<CompactionReport> {
  return log.compact({ highWatermark: toOffset(log.durableEndOffset), ...compactRequest, ...request });
}
