/**
 * Bounds of reading: how much, how long, and from where. Nothing at or above the high watermark is ever served (P8); a new
 * leader that does not know its watermark yet says NOT_AVAILABLE rather than an older one (P9).
 */
import { DomainError } from '@fleetmq/shared';
import type { LeaderState } from './leader.ts';

export interface FetchBounds {
  /** Bytes of an answer when the request names none. Default 1 MiB. */
  readonly bytesDefault: number;
  /** Bytes of an answer at most. Default 3 MiB on client listeners, 15 MiB between nodes. */
  readonly bytesMax: number;
  /** Longest wait for `min_bytes`. Default 30 s. */
  readonly waitMaxMs: number;
  /** Partitions of one call. Default 1,000. */
  readonly partitionsMax: number;
}

export const clientFetchBounds: FetchBounds = {
  bytesDefault: 1024 * 1024,
  bytesMax: 3 * 1024 * 1024,
  waitMaxMs: 30_000,
  partitionsMax: 1_000,
};

export const internalFetchBounds: FetchBounds = { ...clientFetchBounds, bytesMax: 15 * 1024 * 1024 };

export interface FetchAsk {
  readonly maxBytes: number;
  readonly minBytes: number;
  readonly maxWaitMs: number;
}

/** What is asked for, within the bounds. `callMs` is what the call's own deadline leaves. */
export function boundFetch(ask: FetchAsk, callMs: number | undefined, bounds: FetchBounds): FetchAsk {
  const maxBytes = ask.maxBytes === 0 ? bounds.bytesDefault : Math.min(ask.maxBytes, bounds.bytesMax);
  const call = callMs === undefined ? Number.POSITIVE_INFINITY : Math.max(0, callMs - Math.min(100, callMs / 10));
  return {
    maxBytes,
    minBytes: Math.min(Math.max(1, ask.minBytes), maxBytes),
    maxWaitMs: Math.min(Math.max(0, ask.maxWaitMs), bounds.waitMaxMs, call),
  };
}

/** INVALID_REQUEST unless there are 1 to `max` partitions. */
export function assertPartitionCount(count: number, max: number): void {
  if (count >= 1 && count <= max) return;
  throw new DomainError('INVALID_REQUEST', `${count} partitions in one call; 1 to ${max} are allowed`);
}

/** PERMISSION_DENIED: replicas use ReplicateStream. */
export function assertConsumer(replicaId: number): void {
  if (replicaId === 0) return;
  throw new DomainError('UNAUTHORIZED', `replica_id ${replicaId}: only consumers fetch; leave it 0`);
}

/** NOT_AVAILABLE while the leader does not know its watermark yet. */
export function assertServable(leader: LeaderState): void {
  if (leader.servable) return;
  throw new DomainError(
    'NOT_AVAILABLE',
    `leader epoch ${leader.leaderEpoch} has just begun: its high watermark is not confirmed by the in-sync replicas yet`,
    { retryAfterMs: 50 },
  );
}

/** STALE_EPOCH when the reader has heard of a newer leader than this one. */
export function assertReaderEpoch(readerEpoch: number, leaderEpoch: number): void {
  if (readerEpoch <= leaderEpoch) return;
  throw new DomainError('STALE_EPOCH', `the reader knows leader epoch ${readerEpoch}, this leader has ${leaderEpoch}`);
}

/** OFFSET_OUT_OF_RANGE unless `offset` lies between log start and high watermark, both included. */
export function assertReadable(offset: number, startOffset: number, highWatermark: number): void {
  if (offset >= startOffset && offset <= highWatermark) return;
  throw new DomainError('OFFSET_OUT_OF_RANGE', `offset ${offset} is outside ${startOffset}..${highWatermark}`);
}

/** Moves an offset into the readable range. */
export function clampOffset(offset: number, startOffset: number, highWatermark: number): number {
  return Math.min(Math.max(offset, startOffset), highWatermark);
}

const topicsMax = 100;

/** INVALID_REQUEST unless a FetchBatch names 1 to 100 topics. */
export function assertTopicCount(count: number): void {
  if (count >= 1 && count <= topicsMax) return;
  throw new DomainError('INVALID_REQUEST', `${count} topics in one call; 1 to ${topicsMax} are allowed`);
}
