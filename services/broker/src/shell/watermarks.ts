/**
 * High watermarks that outlive the process. They are knowledge, not state: a watermark that was true once is true for ever,
 * so an old file, or none, only costs a new leader the time to ask its followers. The file is replaced whole, and a damaged
 * one counts as absent.
 */
import { type Checksum, type Disk, isDomainError, type Logger, viewOf, WireReader, WireWriter } from '@fleetmq/shared';

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

export interface WatermarkFileOptions {
  readonly disk: Disk;
  readonly checksum: Checksum;
  readonly logger: Logger;
  readonly watermarks: () => Iterable<Watermark>;
}

/** Writes the file; one write at a time is the caller's part. */
export class WatermarkFile {
  readonly #options: WatermarkFileOptions;
  #written: Uint8Array | undefined;

  constructor(options: WatermarkFileOptions) {
    this.#options = options;
  }

  /** Nothing is written while nothing has moved. */
  async save(): Promise<void> {
    const { disk, logger } = this.#options;
    const bytes = this.#encode();
    if (this.#written !== undefined && isSame(bytes, this.#written)) return;
    try {
      await disk.writeFileAtomic(fileName, bytes);
      this.#written = bytes;
    } catch (error) {
      if (!isDomainError(error)) throw error;
      // They are only knowledge that saves time: the old ones stay true.
      logger.warn({ code: error.code, reason: error.message }, 'the high watermarks could not be written down');
    }
  }

  #encode(): Uint8Array {
    const { checksum, watermarks } = this.#options;
    const writer = new WireWriter(1024).varint(fileVersion);
    for (const { topicId, partition, highWatermark } of watermarks()) {
      const id = encoder.encode(topicId);
      writer.varint(id.length).raw(id).varint(partition).varint(highWatermark);
    }
    return writer.fixed32(checksum.crc32(writer.finish())).finish();
  }
}

function isSame(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, position) => byte === right[position]);
}
