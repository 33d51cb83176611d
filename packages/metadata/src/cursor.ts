/**
 * The cursor of Subscribe and FetchBatch: the next offset of each partition that a reader has come to know. Opaque to
 * clients, and therefore checked when it comes back: version, topics with their partitions, CRC-32 of all that.
 *
 *   byte 2 | number of topics | per topic: 16 bytes of topic id, number of partitions, per partition: number, next offset | crc32
 *
 * Numbers are varints, the checksum is little-endian. It names topics by id: for a topic that was deleted and made anew the
 * old offsets mean nothing. Any gateway or broker of the cluster can read what another has written.
 */
import { type Checksum, DomainError, type TopicId, viewOf, WireReader, WireWriter } from '@fleetmq/shared';

export interface CursorEntry {
  readonly topicId: TopicId;
  readonly partition: number;
  readonly nextOffset: number;
}

const cursorVersion = 2;
const topicIdBytes = 16;
const checksumBytes = 4;

/** Entries of a cursor, above which it is refused. */
export const cursorEntriesMax = 100_000;

/** The bytes of a cursor; no entries give a cursor that knows no partition. */
export function encodeCursor(entries: Iterable<CursorEntry>, checksum: Checksum): Uint8Array {
  const byTopic = Map.groupBy(entries, (entry) => entry.topicId);
  const writer = new WireWriter(64).varint(cursorVersion).varint(byTopic.size);
  for (const [topicId, partitions] of byTopic) {
    writer.raw(bytesOfHex(topicId)).varint(partitions.length);
    for (const { partition, nextOffset } of partitions) writer.varint(partition).varint(nextOffset);
  }
  return writer.fixed32(checksum.crc32(writer.finish())).finish();
}

/** The reverse of `encodeCursor`, entries grouped by topic. INVALID_REQUEST for what no server of ours has made. */
export function decodeCursor(cursor: Uint8Array, checksum: Checksum): CursorEntry[] {
  const end = cursor.length - checksumBytes;
  if (end < 1 || viewOf(cursor).getUint32(end, true) !== checksum.crc32(cursor.subarray(0, end))) throw damaged();
  const reader = new WireReader(cursor, 0, end);
  if (reader.varint() !== cursorVersion) throw damaged();
  const entries: CursorEntry[] = [];
  for (let topics = reader.varint(); topics > 0; topics--) {
    const topicId = readTopicId(reader);
    for (let partitions = reader.varint(); partitions > 0; partitions--) {
      if (entries.length === cursorEntriesMax) throw damaged();
      entries.push({ topicId, partition: reader.varint(), nextOffset: reader.varint() });
    }
  }
  if (!reader.done) throw damaged();
  return entries;
}

function readTopicId(reader: WireReader): TopicId {
  const start = reader.position;
  if (reader.end - start < topicIdBytes) throw damaged();
  reader.position = start + topicIdBytes;
  return hexOfBytes(reader.bytes.subarray(start, reader.position)) as TopicId;
}

function bytesOfHex(hex: string): Uint8Array {
  const bytes = new Uint8Array(hex.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

function hexOfBytes(bytes: Uint8Array): string {
  let hex = '';
  for (const byte of bytes) hex += byte.toString(16).padStart(2, '0');
  return hex;
}

function damaged(): DomainError {
  return new DomainError('INVALID_REQUEST', 'the cursor is damaged, or of another version: begin without one');
}
