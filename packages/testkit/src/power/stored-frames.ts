/**
 * A replica's log as it lies on its disk: the frames of its segments in order (docs/storage-format.md), each verified. Segments may
 * be closed at other places on other replicas; their frames, put end to end, must be the same bytes.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { FrameCursor, openBatch, viewRecords } from '@fleetmq/record';
import { nodeChecksum } from '@fleetmq/shared/runtime/checksum';

export interface StoredFrame {
  readonly baseOffset: number;
  readonly endOffset: number;
  readonly leaderEpoch: number;
  /** With its head. */
  readonly bytes: Uint8Array;
  readonly batch: Uint8Array;
}

export interface StoredLog {
  readonly frames: readonly StoredFrame[];
  /** Why the frames end where they do; undefined: they reach the end of the range. */
  readonly fault: string | undefined;
}

/** The frames that lie in the range. A log that is being written to may be read: what ends below `end` has a fault. */
export function readStoredLog(folder: string, { from, end }: { from: number; end: number }): StoredLog {
  const frames: StoredFrame[] = [];
  let next = from;
  for (const base of segmentBases(folder, from)) {
    if (next >= end) break;
    const bytes = fs.readFileSync(path.join(folder, `${String(base).padStart(20, '0')}.log`));
    for (const frame of framesOf(bytes)) {
      if (frame.endOffset <= from) continue;
      if (frame.endOffset > end) break;
      if (frame.baseOffset !== next) return { frames, fault: `offset ${frame.baseOffset} follows ${next}` };
      frames.push(frame);
      next = frame.endOffset;
    }
  }
  return { frames, fault: next >= end ? undefined : `it ends at ${next}` };
}

/** Values by offset; a batch without records has none. */
export function* recordsOfFrame({ batch }: StoredFrame): Generator<readonly [offset: number, value: Uint8Array]> {
  for (const { offset, value } of viewRecords(openBatch(batch, { checksum: nodeChecksum }))) {
    yield [offset, value ?? new Uint8Array()];
  }
}

/** Of the segment that has the offset, and of those behind it; rising. */
function segmentBases(folder: string, from: number): readonly number[] {
  const names = fs.existsSync(folder) ? fs.readdirSync(folder) : [];
  const bases = names.filter((name) => /^[0-9]{20}\.log$/.test(name)).map((name) => Number.parseInt(name, 10));
  bases.sort((left, right) => left - right);
  const first = bases.findLastIndex((base) => base <= from);
  return bases.slice(Math.max(first, 0));
}

/** Up to the first that is not whole. */
function* framesOf(bytes: Uint8Array): Generator<StoredFrame> {
  const cursor = new FrameCursor(bytes);
  while (cursor.next() === 'frame' && cursor.hasValidChecksum(nodeChecksum)) {
    const { baseOffset, endOffset, leaderEpoch } = cursor.trailer;
    yield {
      ...{ baseOffset, endOffset, leaderEpoch },
      bytes: bytes.subarray(cursor.start, cursor.end),
      batch: bytes.subarray(cursor.batchStart, cursor.end),
    };
  }
}

/** In words, with the offset: where a replica's log is not that of the first one. Undefined: they are the same, byte for byte. */
export function differenceOf(logs: ReadonlyMap<number, StoredLog>): string | undefined {
  const [first, ...others] = [...logs];
  for (const [id, { fault }] of logs) if (fault !== undefined) return `the log on broker ${id} is not whole: ${fault}`;
  for (const [id, log] of others) {
    const [firstId, firstLog] = first as [number, StoredLog];
    const length = Math.max(firstLog.frames.length, log.frames.length);
    for (let position = 0; position < length; position++) {
      const [one, other] = [firstLog.frames[position], log.frames[position]];
      if (one === undefined || other === undefined || Buffer.compare(one.bytes, other.bytes) !== 0) {
        return `broker ${firstId} has ${describeFrame(one)}, broker ${id} has ${describeFrame(other)}`;
      }
    }
  }
  return undefined;
}

function describeFrame(frame: StoredFrame | undefined): string {
  if (frame === undefined) return 'no more frames';
  const { baseOffset, endOffset, leaderEpoch, bytes } = frame;
  return `a frame of ${bytes.length} bytes at ${baseOffset} to ${endOffset - 1} of leader epoch ${leaderEpoch}`;
}
