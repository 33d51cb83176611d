/**
 * The one log of each partition that all replicas must have below their watermarks: frames, byte for byte, as the first
 * replica had them that called them committed. Read from the disks of the brokers, past the code that is tested.
 */
import type { Replica } from '@fleetmq/broker/sim';
import type { MemoryDisk } from '@fleetmq/log/testing';
import { FrameCursor } from '@fleetmq/record';
import { nodeChecksum } from '@fleetmq/shared/runtime';

interface CommittedFrame {
  readonly endOffset: number;
  readonly leaderEpoch: number;
  readonly crc: number;
}

const segmentName = /\/(\d{20})\.log$/;

/** Of one partition. */
export class CommittedLog {
  readonly #frames = new Map<number, CommittedFrame>();
  #end = 0;
  /** The highest watermark that a leader has had. */
  highWatermark = 0;

  /** How much of it is known by its bytes. */
  get end(): number {
    return this.#end;
  }

  /**
   * Compares what a replica has on its disk from `from` up to its watermark. Returns where the next comparison begins, or
   * what is wrong. Damaged frames are left out if `isDamaged`: they are the business of who reads them.
   */
  compare(replica: Replica, memory: MemoryDisk, from: number, isDamaged: boolean): number | string {
    const { highWatermark } = replica.state;
    let compared = from;
    let next: number | undefined;
    for (const path of segmentsOf(memory, replica, from)) {
      if (next !== undefined && next !== baseOf(path)) {
        return isDamaged ? compared : `a segment begins at ${baseOf(path)}, the one before it ends at ${next}`;
      }
      next = baseOf(path);
      const cursor = new FrameCursor(memory.peek(path) as Uint8Array);
      while (cursor.next() === 'frame') {
        const { baseOffset, endOffset, leaderEpoch } = cursor.trailer;
        if (endOffset > highWatermark) return compared;
        if (baseOffset !== next && !isDamaged) return `the batch at ${baseOffset} is where ${next} should be`;
        if (isDamaged && (baseOffset !== next || !cursor.hasValidChecksum(nodeChecksum))) return compared;
        next = endOffset;
        if (baseOffset < from) continue;
        const crc = nodeChecksum.crc32(cursor.bytes.subarray(cursor.start, cursor.end));
        const wrong = this.#take(baseOffset, { endOffset, leaderEpoch, crc });
        if (wrong !== undefined) return wrong;
        compared = endOffset;
      }
    }
    return compared;
  }

  #take(baseOffset: number, frame: CommittedFrame): string | undefined {
    const known = this.#frames.get(baseOffset);
    if (known === undefined) {
      if (baseOffset < this.#end) return `a batch at ${baseOffset}, inside of what is committed as another one`;
      this.#frames.set(baseOffset, frame);
      this.#end = Math.max(this.#end, frame.endOffset);
      return undefined;
    }
    const isEqual = known.endOffset === frame.endOffset && known.crc === frame.crc;
    return isEqual ? undefined : `the batch at ${baseOffset} is ${describe(frame)}, not ${describe(known)}`;
  }
}

/** Files of a replica's log that may reach above `from`, in order. */
export function segmentsOf(
  memory: MemoryDisk,
  replica: Pick<Replica, 'topicId' | 'partition'>,
  from = 0,
): readonly string[] {
  const infix = `${replica.topicId}-${replica.partition}/`;
  const segments = memory
    .paths()
    .filter((path) => path.includes(infix) && segmentName.test(path) && !path.includes('stray'));
  const ends = segments.slice(1).map(baseOf);
  return segments.filter((_, position) => (ends[position] ?? Number.POSITIVE_INFINITY) > from);
}

function baseOf(path: string): number {
  return Number(segmentName.exec(path)?.[1]);
}

function describe({ endOffset, leaderEpoch, crc }: CommittedFrame): string {
  return `up to ${endOffset}, epoch ${leaderEpoch}, checksum ${crc.toString(16)}`;
}
