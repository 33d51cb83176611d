/** The length that a raw snappy block declares; decoders allocate by it. Format: google/snappy, format_description.txt. */
import { overInflationCap } from '../compression.ts';
import { corruptBatch } from '../limits.ts';

/** The most that one byte of a block can become: a copy of 64 bytes takes 3. */
const expansionMax = 22;

/** CORRUPT_BATCH for a block that cannot be right; RECORD_TOO_LARGE when it declares more than `maxOutputBytes`. */
export function readSnappyLength(bytes: Uint8Array, maxOutputBytes: number): number {
  let length = 0;
  for (let i = 0; i < 5; i++) {
    const byte = bytes[i];
    if (byte === undefined) break;
    length += (byte & 0x7f) * 128 ** i;
    if (byte >= 0x80) continue;
    if (length > maxOutputBytes) throw overInflationCap('snappy', maxOutputBytes);
    if (length > (bytes.length - i - 1) * expansionMax) throw corruptBatch(`snappy block declares ${length} bytes`);
    return length;
  }
  throw corruptBatch('not a snappy block');
}
