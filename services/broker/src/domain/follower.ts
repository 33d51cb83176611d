/**
 * What a follower does with one message of its leader. Raft's AppendEntries for partitions: the message names the offset
 * where its batches begin and the epoch of the batch before; two logs that have the same (offset, epoch) are equal up to
 * there. A follower changes its log only on evidence in the message itself, so a message that comes late or twice is harmless:
 *
 *  - what it already has (same offset, same epoch) is skipped;
 *  - it truncates only where its own batch and the leader's differ in epoch at one offset, or where the leader's log ends
 *    and its own goes on with an older epoch (KIP-101, KIP-279); everything before that point is then known to be equal;
 *  - never below its own watermark: what is committed is equal everywhere, so such a message means that someone has lost
 *    committed records, and the replica stops and reports (P13).
 *
 * What a leader no longer has comes as a reset: the follower begins anew at the leader's first offset.
 */
import { FrameCursor } from '@fleetmq/record';

/** The log of the follower, as far as the decision needs it. */
export interface FollowerLog {
  readonly startOffset: number;
  readonly endOffset: number;
  /** Epoch of the batch that holds `offset`; 0 outside of the log. */
  epochAt(offset: number): number;
  /** Largest epoch of the log that is not above `epoch`, with its end; epoch 0 and the log start when there is none. */
  endOffsetForEpoch(epoch: number): { readonly epoch: number; readonly endOffset: number };
}

export interface LeaderMessage {
  readonly leaderEpoch: number;
  readonly baseOffset: number;
  /** 0: no batch is before `baseOffset`, or the leader no longer has it. */
  readonly previousEpoch: number;
  /** Whole frames. */
  readonly batches: Uint8Array;
  /** End of the leader's log when it sent this. */
  readonly leaderEndOffset: number;
  readonly reset: boolean;
}

export type FollowerStep =
  /** The logs are equal up to `baseOffset`: cut the own log to `truncateTo` if given, append `batches`; then equal up to `matchedEnd`. */
  | {
      readonly kind: 'append';
      readonly truncateTo: number | undefined;
      readonly batches: Uint8Array;
      readonly matchedEnd: number;
    }
  /** Drop everything, begin at `startOffset`, append all batches. */
  | { readonly kind: 'reset'; readonly startOffset: number; readonly batches: Uint8Array; readonly matchedEnd: number }
  /** Nothing changes; the leader is told where this log's own epoch ends. */
  | { readonly kind: 'diverged'; readonly epoch: number; readonly endOffset: number }
  /** Nothing changes and the replica stops: obeying would delete committed records. */
  | { readonly kind: 'halt'; readonly reason: string };

const nothing: Uint8Array = new Uint8Array(0);

/** The step for a message of the current leader. `highWatermark` is the follower's own. */
export function followerStep(message: LeaderMessage, log: FollowerLog, highWatermark: number): FollowerStep {
  if (message.reset) return resetStep(message, log, highWatermark);
  const { baseOffset, previousEpoch } = message;
  if (baseOffset < log.startOffset) return ownEnd(message, log);
  if (baseOffset > log.endOffset || !matchesBefore(log, baseOffset, previousEpoch)) {
    const { epoch, endOffset } = log.endOffsetForEpoch(previousEpoch);
    return { kind: 'diverged', epoch, endOffset };
  }
  return appendStep(message, log, highWatermark);
}

/** The place lies before everything that is kept here: the search has to go on from this log's own end. */
function ownEnd(message: LeaderMessage, log: FollowerLog): FollowerStep {
  const { epoch, endOffset } = log.endOffsetForEpoch(message.leaderEpoch);
  return { kind: 'diverged', epoch, endOffset };
}

/** Everything before the log start is committed, hence equal in the log of any leader. */
function matchesBefore(log: FollowerLog, baseOffset: number, previousEpoch: number): boolean {
  return baseOffset === log.startOffset || log.epochAt(baseOffset - 1) === previousEpoch;
}

function appendStep(message: LeaderMessage, log: FollowerLog, highWatermark: number): FollowerStep {
  const extent = compareBatches(message, log);
  const { conflictAt, newBatches, matchedEnd } = extent;
  if (conflictAt !== undefined && conflictAt < highWatermark) return halted(message, conflictAt, highWatermark);
  return { kind: 'append', truncateTo: conflictAt, batches: newBatches, matchedEnd };
}

function resetStep(message: LeaderMessage, log: FollowerLog, highWatermark: number): FollowerStep {
  const { baseOffset, batches } = message;
  if (baseOffset < log.startOffset) return ownEnd(message, log);
  if (baseOffset < log.endOffset) {
    // The follower has a batch there. The same one: this reset is late, or not needed. Another one: it is evidence.
    const { conflictAt } = compareBatches(message, log);
    if (conflictAt !== baseOffset) return appendStep(message, log, highWatermark);
  }
  if (baseOffset < highWatermark) return halted(message, baseOffset, highWatermark);
  return { kind: 'reset', startOffset: baseOffset, batches, matchedEnd: endOfBatches(batches, baseOffset) };
}

interface Comparison {
  /** First offset at which the two logs have different batches. */
  readonly conflictAt: number | undefined;
  readonly newBatches: Uint8Array;
  readonly matchedEnd: number;
}

function compareBatches(message: LeaderMessage, log: FollowerLog): Comparison {
  const { batches, baseOffset } = message;
  if (baseOffset === log.endOffset) {
    return { conflictAt: undefined, newBatches: batches, matchedEnd: endOfBatches(batches, baseOffset) };
  }
  if (batches.length === 0) return compareEnd(message, log);
  const cursor = new FrameCursor(batches);
  let matchedEnd = baseOffset;
  while (cursor.next() === 'frame') {
    const { baseOffset: offset, leaderEpoch, endOffset } = cursor.trailer;
    const frame = { offset, leaderEpoch, endOffset };
    const conflictAt = conflictWith(frame, log);
    // A gap that compaction has made may reach beyond this log's end: the log takes the rest of it.
    if (conflictAt !== undefined || endOffset > log.endOffset) {
      const newBatches = batches.subarray(cursor.start);
      return { conflictAt, newBatches, matchedEnd: endOfBatches(newBatches, offset) };
    }
    matchedEnd = endOffset;
  }
  return { conflictAt: undefined, newBatches: nothing, matchedEnd };
}

/**
 * Where this log has something else than the leader's frame, as far as it reaches. Two batches of one offset and epoch are the same;
 * in a gap the leader may have had several, so that the epoch counts to its end.
 */
function conflictWith(
  frame: { readonly offset: number; readonly leaderEpoch: number; readonly endOffset: number },
  log: FollowerLog,
): number | undefined {
  const { offset, leaderEpoch, endOffset } = frame;
  if (offset >= log.endOffset) return undefined;
  if (log.epochAt(offset) !== leaderEpoch) return offset;
  const last = Math.min(endOffset, log.endOffset) - 1;
  return log.epochAt(last) === leaderEpoch ? undefined : log.endOffsetForEpoch(leaderEpoch).endOffset;
}

/** No batches. If the leader's log ended here, whatever follows here of an older epoch is not in it. */
function compareEnd(message: LeaderMessage, log: FollowerLog): Comparison {
  const { baseOffset, leaderEndOffset, leaderEpoch } = message;
  const isForeignTail = leaderEndOffset === baseOffset && log.epochAt(baseOffset) < leaderEpoch;
  return { conflictAt: isForeignTail ? baseOffset : undefined, newBatches: nothing, matchedEnd: baseOffset };
}

/** End of the last batch; `baseOffset` when there is none. */
function endOfBatches(batches: Uint8Array, baseOffset: number): number {
  let end = baseOffset;
  const cursor = new FrameCursor(batches);
  while (cursor.next() === 'frame') end = cursor.trailer.endOffset;
  return end;
}

function halted(message: LeaderMessage, at: number, highWatermark: number): FollowerStep {
  const reason =
    `the leader of epoch ${message.leaderEpoch} asks to cut the log at ${at}, ` +
    `below the high watermark ${highWatermark}: committed records are missing in one of the two logs`;
  return { kind: 'halt', reason };
}
