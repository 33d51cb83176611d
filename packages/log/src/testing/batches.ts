/** Batches, and the reading back of records, for the tests of this package. Nothing here is part of the product. */
import {
  BatchBuilder,
  type BuildOptions,
  batchOfFrame,
  decodeRecords,
  defaultBatchLimits,
  openBatch,
  splitFrames,
  type ValidatedBatch,
  validateProduced,
} from '@fleetmq/record';
import { type LeaderEpoch, type Offset, tableChecksum, toOffset } from '@fleetmq/shared';
import type { LogConfig } from '../config.ts';
import { openLog } from '../open.ts';
import type { LogOptions, PartitionLog } from '../partition-log.ts';
import type { MemoryDisk } from './memory-disk.ts';

const text = new TextEncoder();

/** A batch of these values; `timestampMs` is the time of every record. */
export function batch(
  values: readonly string[],
  options: BuildOptions & { timestampMs?: number } = {},
): ValidatedBatch {
  const builder = new BatchBuilder();
  const { timestampMs, ...build } = options;
  for (const value of values) builder.append(undefined, text.encode(value), [], timestampMs);
  return validateProduced(builder.build(build, tableChecksum).bytes, defaultBatchLimits, tableChecksum);
}

export function epoch(number: number): LeaderEpoch {
  return number as LeaderEpoch;
}

export const folder = 'topics/t-0';

export function openTestLog(
  disk: MemoryDisk,
  config: Partial<LogConfig> = {},
  options: Partial<LogOptions> = {},
): Promise<PartitionLog> {
  return openLog({ disk, folder, checksum: tableChecksum, config, ...options });
}

/** `offset:value` of every record in frames. */
export function recordsOf(frames: Uint8Array): string[] {
  const decoder = new TextDecoder();
  return splitFrames(frames, tableChecksum)
    .flatMap((frame) => decodeRecords(openBatch(batchOfFrame(frame, tableChecksum))))
    .map(({ offset, value }) => `${offset}:${decoder.decode(value)}`);
}

/** All frames from `from` to `upTo`, read in pieces of `maxBytes`. */
export async function readAll(
  log: PartitionLog,
  from: Offset = log.startOffset,
  upTo: Offset = log.endOffset,
  maxBytes = 10_000,
): Promise<Uint8Array> {
  const pieces: number[] = [];
  for (let at = from; at < upTo; ) {
    const { bytes, nextOffset } = await log.read({ from: at, upTo, maxBytes });
    if (nextOffset === at) break;
    for (const byte of bytes) pieces.push(byte);
    at = toOffset(nextOffset);
  }
  return Uint8Array.from(pieces);
}

/** `offset:value` of every record of a log. */
export async function contentOf(log: PartitionLog): Promise<string[]> {
  return recordsOf(await readAll(log));
}
