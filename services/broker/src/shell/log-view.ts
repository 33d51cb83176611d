/** A log as the replication rules look at it. */
import type { EpochEntry, PartitionLog } from '@fleetmq/log';
import type { LeaderEpoch } from '@fleetmq/shared';
import type { FollowerLog } from '../domain/follower.ts';
import type { LeaderLog } from '../domain/progress.ts';

/** Epoch of the batch that holds `offset`; 0 outside of the log. */
function epochAt(log: PartitionLog, offset: number): number {
  if (offset < log.startOffset || offset >= log.endOffset) return 0;
  const entries = log.epochs;
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((entries[middle] as EpochEntry).startOffset <= offset) low = middle + 1;
    else high = middle;
  }
  return entries[low - 1]?.epoch ?? 0;
}

export function followerView(log: PartitionLog): FollowerLog {
  return {
    startOffset: log.startOffset,
    endOffset: log.endOffset,
    epochAt: (offset) => epochAt(log, offset),
    endOffsetForEpoch: (epoch) => log.endOffsetForEpoch(epoch as LeaderEpoch),
  };
}

export function leaderView(log: PartitionLog, sendableEnd: number): LeaderLog {
  return {
    startOffset: log.startOffset,
    sendableEnd,
    epochAt: (offset) => epochAt(log, offset),
    endOffsetForEpoch: (epoch) => log.endOffsetForEpoch(epoch as LeaderEpoch),
  };
}
