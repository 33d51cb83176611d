/**
 * The checkpoint: what a restart may rely on. Everything below the recovery point is durable, so bad bytes there are
 * corruption and never a torn tail. It is the one small file that cannot be computed from the segments; without it a log
 * that has segments does not open.
 */
import { type Checksum, type Offset, toOffset } from '@fleetmq/shared';
import { newEnvelope, openEnvelope, sealEnvelope } from './files.ts';

/** A place in the log that was durable when it was recorded. */
export interface RecoveryPoint {
  /** Base offset of the segment. */
  readonly segment: Offset;
  /** Bytes of that segment below the point. */
  readonly position: number;
  /** End offset of those bytes. */
  readonly offset: Offset;
}

export interface Checkpoint {
  readonly startOffset: Offset;
  readonly recovery: RecoveryPoint;
  /** The log was closed in order, and nothing was written since. */
  readonly clean: boolean;
  /** A reset is under way: the segments are void. */
  readonly discard: boolean;
  /** A write or sync failed: what lies above the recovery point is not believed. */
  readonly failed: boolean;
}

const magic = 'FMQK';
const flag = { clean: 1, discard: 2, failed: 4 } as const;

export function encodeCheckpoint(checkpoint: Checkpoint, checksum: Checksum): Uint8Array {
  const { startOffset, recovery, clean, discard, failed } = checkpoint;
  const flags = (clean ? flag.clean : 0) | (discard ? flag.discard : 0) | (failed ? flag.failed : 0);
  const writer = newEnvelope(magic);
  writer.varint(startOffset).varint(recovery.segment).varint(recovery.position).varint(recovery.offset).varint(flags);
  return sealEnvelope(writer, checksum);
}

/** Undefined when the file is absent or damaged. */
export function decodeCheckpoint(bytes: Uint8Array | undefined, checksum: Checksum): Checkpoint | undefined {
  return openEnvelope(bytes, magic, checksum, (reader) => {
    const startOffset = toOffset(reader.varint());
    const segment = toOffset(reader.varint());
    const position = reader.varint();
    const offset = toOffset(reader.varint());
    const flags = reader.varint();
    return {
      startOffset,
      recovery: { segment, position, offset },
      clean: (flags & flag.clean) !== 0,
      discard: (flags & flag.discard) !== 0,
      failed: (flags & flag.failed) !== 0,
    };
  });
}
