/**
 * Where the batches of a controllers' write-ahead log lie in its files, read with rules of their own (services/controller, wal
 * format): whoever damages a log must know what the log itself still proves. A batch that is not followed by another one, and
 * that the file `end` does not name, looks as if it had never been finished: no log of this kind can tell the two apart.
 */
import type { MemoryDisk } from '@fleetmq/log/testing';
import { viewOf } from '@fleetmq/shared';
import { nodeChecksum } from '@fleetmq/shared/runtime';

export const walFolder = 'raft/wal';

interface Batch {
  readonly number: number;
  readonly start: number;
  readonly end: number;
}

const headBytes = 8;
const lastOfBatch = 128;
const endSlotBytes = 16;

/** Paths of the segments, by number. */
export function segmentsOf(memory: MemoryDisk): readonly string[] {
  return memory.paths().filter((path) => path.startsWith(`${walFolder}/`) && path.endsWith('.wal'));
}

/** Whole ones, in order; what follows the last is torn. */
export function batchesOf(bytes: Uint8Array): readonly Batch[] {
  const batches: Batch[] = [];
  const view = viewOf(bytes);
  let start = 0;
  for (let position = 0; position + headBytes < bytes.length; ) {
    const length = view.getUint32(position, true);
    const body = bytes.subarray(position + headBytes, position + headBytes + length);
    const crc = nodeChecksum.crc32(body, nodeChecksum.crc32(bytes.subarray(position, position + 4)));
    if (length < 2 || body.length < length || crc !== view.getUint32(position + 4, true)) break;
    position += headBytes + length;
    if ((body[0] as number) < lastOfBatch) continue;
    batches.push({ number: varintAt(body, 1), start, end: position });
    start = position;
  }
  return batches;
}

/** Number of the last batch that is noted as durable; 0: none. */
export function notedEnd(memory: MemoryDisk): number {
  const bytes = memory.peek(`${walFolder}/end`) ?? new Uint8Array(0);
  const slots = [0, endSlotBytes].map((start) => {
    if (bytes.length < start + 12) return 0;
    const view = viewOf(bytes);
    const isGood = nodeChecksum.crc32(bytes.subarray(start, start + 8)) === view.getUint32(start + 8, true);
    return isGood ? Number(view.getBigUint64(start, true)) : 0;
  });
  return Math.max(...slots);
}

function varintAt(bytes: Uint8Array, position: number): number {
  let value = 0;
  for (let at = position, scale = 1; at < bytes.length; at++, scale *= 128) {
    const byte = bytes[at] as number;
    value += (byte % 128) * scale;
    if (byte < 128) break;
  }
  return value;
}
