/**
 * High watermarks that outlive the process. They are knowledge, not state: a watermark that was true once is true for ever,
 * so an old file, or none, only costs a new leader the time to ask its followers. The file is replaced whole, and a damaged
 * one counts as absent.
 */
import { type Checksum, type Disk, viewOf, WireReader, WireWriter } from '@fleetmq/shared';

const fileName = 'watermarks';
const fileVersion = 1;
const checksumBytes = 4;
const decoder = new TextDecoder();
const encoder = new TextEncoder();

export interface Watermark {
  readonly topicId: string;
  readonly partition: number;
  readonly highWatermark: number;
}

/** Key of a watermark in what `loadWatermarks` returns. */
export function watermarkKey(topicId: string, partition: number): string {
  return `${topicId}:${partition}`;
}

export async function loadWatermarks(disk: Disk, checksum: Checksum): Promise<Map<string, number>> {
  const watermarks = new Map<string, number>();
  const bytes = await disk.readFile(fileName);
  const end = (bytes?.length ?? 0) - checksumBytes;
  if (bytes === undefined || end < 1) return watermarks;
  if (viewOf(bytes).getUint32(end, true) !== checksum.crc32(bytes.subarray(0, end))) return watermarks;
  const reader = new WireReader(bytes, 0, end);
  if (reader.varint() !== fileVersion) return watermarks;
  while (!reader.done) {
    const topicId = decoder.decode(reader.view());
    const key = watermarkKey(topicId, reader.varint());
    watermarks.set(key, reader.varint());
  }
  return watermarks;
}

export async function saveWatermarks(disk: Disk, checksum: Checksum, watermarks: Iterable<Watermark>): Promise<void> {
  const writer = new WireWriter(1024).varint(fileVersion);
  for (const { topicId, partition, highWatermark } of watermarks) {
    const id = encoder.encode(topicId);
    writer.varint(id.length).raw(id).varint(partition).varint(highWatermark);
  }
  await disk.writeFileAtomic(fileName, writer.fixed32(checksum.crc32(writer.finish())).finish());
}
