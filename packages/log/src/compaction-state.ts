/**
 * How far a log is compacted, across restarts (format.md, "compaction"). `cleanedTo`: below it every key has one record at most, the
 * newest there. A mark says since when that is so below its offset: a tombstone goes once the records that it deletes have been
 * gone for the grace period, so that whoever has read one of them still finds it.
 *
 * Without the file, or with a damaged one, compaction begins anew: that costs reading, and tombstones stay longer. A state that
 * claims less than is true is right, too; one that claims more would drop tombstones early.
 */
import { type Checksum, type Offset, toOffset } from '@fleetmq/shared';
import { newEnvelope, openEnvelope, sealEnvelope } from './files.ts';

export interface CleanMark {
  readonly offset: Offset;
  readonly sinceMs: number;
}

export interface CompactionState {
  readonly cleanedTo: Offset;
  /** There are tombstones below `cleanedTo`. */
  readonly hasTombstones: boolean;
  /** Below it tombstones were dropped in the last pass. */
  readonly droppedTo: Offset;
  /** Offsets and times rise. At most `marksMax`. */
  readonly marks: readonly CleanMark[];
}

const magic = 'FMQC';
const marksMax = 16;
const zero = toOffset(0);

export const nothingCompacted: CompactionState = { cleanedTo: zero, hasTombstones: false, droppedTo: zero, marks: [] };

/** Below it tombstones may go now. */
export function tombstonesEnd(state: CompactionState, at: { nowMs: number; deleteRetentionMs: number }): Offset {
  const due = state.marks.filter(({ sinceMs }) => sinceMs + at.deleteRetentionMs <= at.nowMs);
  return due.reduce((end, { offset }) => toOffset(Math.max(end, offset)), zero);
}

/** After a pass over everything below `cleanedTo`. When not every record could be read, it proves nothing about tombstones. */
export function afterPass(
  state: CompactionState,
  pass: {
    readonly cleanedTo: Offset;
    readonly nowMs: number;
    readonly isComplete: boolean;
    readonly hasTombstones: boolean;
    readonly droppedTo: Offset;
  },
): CompactionState {
  const { cleanedTo, nowMs, hasTombstones, droppedTo } = pass;
  // Those up to `droppedTo` have done their work; one of the future was made by a clock that was wrong.
  const open = state.marks.filter(({ offset, sinceMs }) => offset > droppedTo && sinceMs <= nowMs);
  const isKnown = open.some(({ offset }) => offset >= cleanedTo);
  if (pass.isComplete && !isKnown) open.push({ offset: cleanedTo, sinceMs: nowMs });
  // Of too many the last but one goes: its tombstones then stay until those of the last go.
  while (open.length > marksMax) open.splice(-2, 1);
  return { cleanedTo, hasTombstones, droppedTo, marks: open };
}

/** When the log ends at `offset` at most, or is about to. */
export function cutState(state: CompactionState, offset: Offset): CompactionState {
  const lower = (value: Offset): Offset => toOffset(Math.min(value, offset));
  const marks = state.marks.filter((mark) => mark.offset <= offset);
  return { ...state, cleanedTo: lower(state.cleanedTo), droppedTo: lower(state.droppedTo), marks };
}

export function encodeCompaction(state: CompactionState, checksum: Checksum): Uint8Array {
  const writer = newEnvelope(magic)
    .varint(state.cleanedTo)
    .varint(state.hasTombstones ? 1 : 0);
  writer.varint(state.droppedTo).varint(state.marks.length);
  for (const { offset, sinceMs } of state.marks) writer.varint(offset).varint(sinceMs);
  return sealEnvelope(writer, checksum);
}

/** Undefined when the file is absent or damaged. */
export function decodeCompaction(bytes: Uint8Array | undefined, checksum: Checksum): CompactionState | undefined {
  return openEnvelope(bytes, magic, checksum, (reader) => {
    const cleanedTo = toOffset(reader.varint());
    const hasTombstones = reader.varint() === 1;
    const droppedTo = toOffset(reader.varint());
    const count = reader.varint();
    const marks: CleanMark[] = [];
    for (let i = 0; i < count; i++) marks.push({ offset: toOffset(reader.varint()), sinceMs: reader.varint() });
    return { cleanedTo, hasTombstones, droppedTo, marks };
  });
}
