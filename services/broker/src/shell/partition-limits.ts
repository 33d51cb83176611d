/** Bounds of what one broker holds, with their defaults. */
export interface PartitionLimits {
  /** Replicas on this broker; more are not opened and reported as failed. Default 4,000. */
  readonly partitionsMax: number;
  /** Logs that are opened or closed at the same time. Default 8. */
  readonly opensMax: number;
  /** Requests of one partition that may wait for acknowledgments under one ack rule. Default 10,000. */
  readonly ackWaitersMax: number;
  /** Bytes of one log that are not durable yet. Default 32 MiB. */
  readonly pendingBytesPerLog: number;
  /** Sealed segments of all logs whose file is open. Default 2,000. */
  readonly openSegmentsMax: number;
  /** Producer ids that one log remembers. Default 10,000. */
  readonly producerIdsPerLog: number;
  /** Idempotency keys that one log remembers. Default 20,000. */
  readonly idempotencyKeysPerLog: number;
  /** A folder that belongs to no partition is removed after this. Default 1 h. */
  readonly strayRetentionMs: number;
  /** A log that fails again after it was rebuilt is left alone for this long. Default 1 min. */
  readonly rebuildPauseMs: number;
}

export const defaultPartitionLimits: PartitionLimits = {
  partitionsMax: 4_000,
  opensMax: 8,
  ackWaitersMax: 10_000,
  pendingBytesPerLog: 32 * 1024 * 1024,
  openSegmentsMax: 2_000,
  producerIdsPerLog: 10_000,
  idempotencyKeysPerLog: 20_000,
  strayRetentionMs: 3_600_000,
  rebuildPauseMs: 60_000,
};
