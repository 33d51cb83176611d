/**
 * The cursor of Subscribe and FetchBatch: where the reader is in each partition. Opaque to clients, and therefore checked
 * when it comes back: a version byte, then entries of topic, partition and next offset, then a checksum.
 */
import { type Checksum, DomainError, type TopicPartitionName, viewOf, WireReader, WireWriter } from '@fleetmq/shared';

export interface CursorEntry {
  readonly target: TopicPartitionName;
  readonly nextOffset: number;
}

const cursorVersion = 1;
const checksumBytes = 4;
const encoder = new TextEncoder();
const utf8 = new TextDecoder('utf-8', { fatal: true });

export function encodeCursor(entries: Iterable<CursorEntry>, checksum: Checksum): Uint8Array {
  const writer = new WireWriter(256);
  writer.varint(cursorVersion);
  for (const { target, nextOffset } of entries) {
    const topic = encoder.encode(target.topic);
    writer.varint(topic.length).raw(topic).varint(target.partition).varint(nextOffset);
  }
  return writer.fixed32(checksum.crc32(writer.finish())).finish();
}

/** INVALID_REQUEST for what no server of ours has made. */
export function decodeCursor(cursor: Uint8Array, checksum: Checksum): CursorEntry[] {
  const end = cursor.length - checksumBytes;
  if (end < 1 || viewOf(cursor).getUint32(end, true) !== checksum.crc32(cursor.subarray(0, end))) throw damaged();
  const reader = new WireReader(cursor, 0, end);
  if (reader.varint() !== cursorVersion) throw damaged();
  const entries: CursorEntry[] = [];
  while (!reader.done) {
    const topic = utf8.decode(reader.view());
    entries.push({ target: { topic, partition: reader.varint() }, nextOffset: reader.varint() });
  }
  return entries;
}

function damaged(): DomainError {
  return new DomainError('INVALID_REQUEST', 'the cursor is damaged, or from another version: begin without one');
}
