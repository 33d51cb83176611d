/**
 * The high watermark: the offset after the last committed record (P7). It is the minimum of the durable ends over the
 * maximal ISR, and it stands still while the ISR has fewer members than min.insync.replicas (P4). It never falls, and never
 * passes the leader's own durable end, because the leader is in every ISR.
 *
 * A new leader knows only the watermark that its predecessor told it, which may be older than what clients have seen. It may
 * serve readers once its own watermark is certainly not below any that was shown before (P9): when the watermark has reached
 * the end that its log had at the election, or when every member of the ISR has confirmed its end in this epoch.
 */

/** A replica whose end is not confirmed in this leader epoch. */
export const unconfirmed: number = -1;

export interface WatermarkInput {
  readonly highWatermark: number;
  /** Durable ends of the maximal ISR, the leader's own included; `unconfirmed` where unknown. */
  readonly durableEnds: readonly number[];
  /** Size of the ISR that the controllers hold. */
  readonly isrSize: number;
  readonly minInsyncReplicas: number;
}

/** The watermark after `input`; the same one when nothing more is committed. */
export function advanceHighWatermark(input: WatermarkInput): number {
  const { highWatermark, durableEnds, isrSize, minInsyncReplicas } = input;
  if (isrSize < minInsyncReplicas) return highWatermark;
  let committed = Number.POSITIVE_INFINITY;
  for (const end of durableEnds) committed = Math.min(committed, end);
  return Number.isFinite(committed) ? Math.max(highWatermark, committed) : highWatermark;
}

/** Whether readers may see a new leader's watermark. */
export function isWatermarkServable(input: WatermarkInput & { readonly epochStartOffset: number }): boolean {
  if (input.highWatermark >= input.epochStartOffset) return true;
  if (input.isrSize < input.minInsyncReplicas) return false;
  return input.durableEnds.every((end) => end !== unconfirmed);
}

/** A follower's watermark: the leader's, as far as its own log certainly equals the leader's (P7). */
export function followerHighWatermark(own: number, leaders: number, matchedEnd: number): number {
  return Math.max(own, Math.min(leaders, matchedEnd));
}
