/**
 * Checks that the entries of `records` are Records that every reader of the contract can decode. Without it a single
 * malformed entry would make each fetch answer that holds it unreadable for plain protobuf clients, for ever.
 *
 * It looks at structure alone (field types, lengths, UTF-8 of header keys, range of timestamps), allocates nothing for a
 * record, and never decodes keys or values. `offset_delta` belongs to compaction, so a producer may not set it.
 */
import { WireReader, wireBytes, wireVarint } from '@fleetmq/shared';
import { asCorruptBatch, decodeText } from './header.ts';
import { recordField, recordTag } from './layout.ts';
import { type BatchLimits, corruptBatch } from './limits.ts';
import { readTimestampMs } from './timestamp.ts';

export interface RecordRules extends Pick<BatchLimits, 'headersMax' | 'unknownFieldsMax'> {
  /** Whether records may carry `offset_delta`. */
  readonly offsetDeltaAllowed: boolean;
  /** Whether anything but `records` entries may stand between them: in a batch yes, in inflated records no. */
  readonly otherFieldsAllowed: boolean;
}

/**
 * Checks each `records` entry in `bytes[start, end)` and returns their number; other fields are stepped over.
 * Throws CORRUPT_BATCH with the position of what is wrong.
 */
export function checkRecords(bytes: Uint8Array, start: number, end: number, rules: RecordRules): number {
  const reader = new WireReader(bytes, start, end);
  let count = 0;
  try {
    while (reader.position < end) {
      const tag = reader.varint();
      if (tag !== recordTag) {
        if (!rules.otherFieldsAllowed) throw corruptBatch(`field of tag ${tag} among compressed records`);
        reader.skip(tag & 7);
        continue;
      }
      const recordEnd = lengthEnd(reader, end);
      checkRecord(reader, recordEnd, rules);
      count++;
    }
  } catch (error) {
    throw asCorruptBatch(error);
  }
  return count;
}

function checkRecord(reader: WireReader, end: number, rules: RecordRules): void {
  let headers = 0;
  let unknownFields = 0;
  while (reader.position < end) {
    const tag = reader.varint();
    switch (tag) {
      case recordField.key * 8 + wireBytes:
      case recordField.value * 8 + wireBytes:
      case recordField.transactionalId * 8 + wireBytes:
        reader.position = lengthEnd(reader, end);
        break;
      case recordField.headers * 8 + wireBytes:
        if (++headers > rules.headersMax) throw corruptBatch(`a record has more than ${rules.headersMax} headers`);
        checkHeader(reader, lengthEnd(reader, end));
        break;
      case recordField.timestamp * 8 + wireBytes:
        readTimestampMs(reader, lengthEnd(reader, end));
        break;
      case recordField.compressionType * 8 + wireVarint:
        reader.skip(wireVarint);
        break;
      case recordField.offsetDelta * 8 + wireVarint:
        if (!rules.offsetDeltaAllowed) throw corruptBatch('a record carries offset_delta, which only compaction sets');
        reader.skip(wireVarint);
        break;
      default:
        if (tag < (recordField.offsetDelta + 1) * 8) throw corruptBatch(`a record has a field of tag ${tag}`);
        if (++unknownFields > rules.unknownFieldsMax) throw corruptBatch('a record has too many unknown fields');
        reader.skip(tag & 7);
    }
  }
  if (reader.position !== end) throw corruptBatch(`the record before byte ${reader.position} is longer than it says`);
}

function checkHeader(reader: WireReader, end: number): void {
  while (reader.position < end) {
    const tag = reader.varint();
    if (tag === 0x0a) checkText(reader, lengthEnd(reader, end));
    else if (tag === 0x12) reader.position = lengthEnd(reader, end);
    else if (tag < 24) throw corruptBatch(`a record header has a field of tag ${tag}`);
    else reader.skip(tag & 7);
  }
  if (reader.position !== end)
    throw corruptBatch(`the record header before byte ${reader.position} is longer than it says`);
}

/** Reads a length and returns where its value ends, which is inside the enclosing message. */
function lengthEnd(reader: WireReader, outerEnd: number): number {
  const length = reader.varint();
  if (length > outerEnd - reader.position)
    throw corruptBatch(`a length of ${length} at byte ${reader.position} is too long`);
  return reader.position + length;
}

/** ASCII costs a loop; only what goes beyond it is decoded. */
function checkText(reader: WireReader, end: number): void {
  const { bytes } = reader;
  for (let i = reader.position; i < end; i++) {
    if ((bytes[i] as number) < 0x80) continue;
    decodeText(bytes.subarray(reader.position, end));
    break;
  }
  reader.position = end;
}
