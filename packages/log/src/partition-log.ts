/**
 * The face of a log: what a partition's leader and followers may do with it. log.ts implements it, open.ts makes one. Errors
 * are DomainErrors; a method that throws has changed nothing, unless it says STORAGE_FAILED.
 */
import type { Codecs, ValidatedBatch } from '@fleetmq/record';
import type { BufferPool, Checksum, Disk, DomainError, LeaderEpoch, Lease, Offset } from '@fleetmq/shared';
import type { LogConfig } from './config.ts';
import type { EpochEnd, EpochEntry } from './epochs.ts';
import type { OpenSegments } from './open-segments.ts';
import type { ProducerState } from './producers.ts';
import type { ReadAnswer, ReadRequest } from './reader.ts';

export interface LogOptions {
  readonly disk: Disk;
  /** Folder of this log alone, relative to the disk's root; made if it is absent. */
  readonly folder: string;
  readonly checksum: Checksum;
  /** Settings that differ from `defaultLogConfig`. */
  readonly config?: Partial<LogConfig>;
  /** Where a log begins that does not exist yet. Default 0. */
  readonly startOffset?: Offset;
  /** Where answers of reads are put. Default: memory of their own. */
  readonly buffers?: BufferPool | undefined;
  /** Bounds the open files of sealed segments, together with those of other logs that share it. Default: 8 of its own. */
  readonly openSegments?: OpenSegments | undefined;
  /** Called once per group commit, with the new durable end. It must not throw. */
  readonly onDurable?: (end: Offset) => void;
  /** Called once, when the log takes no more writes for ever (P21). It must not throw. */
  readonly onFailure?: (error: DomainError) => void;
  /** Called when appends were undone because the disk is full (P22): the log ends at `end` again. It must not throw. */
  readonly onRollback?: (end: Offset, error: DomainError) => void;
}

export interface AppendOutcome {
  /** `duplicate`: the batch was in the log already, and the other fields say where. */
  readonly kind: 'appended' | 'duplicate';
  readonly baseOffset: Offset;
  /** The offset after the batch's last record: durable once `whenDurable(endOffset)` resolves. */
  readonly endOffset: Offset;
  readonly appendTimeMs: number;
}

export interface LeaderStamp {
  /** Not below `lastEpoch`. */
  readonly leaderEpoch: LeaderEpoch;
  /** Milliseconds since 1970-01-01 UTC by the leader's clock. A whole number. */
  readonly appendTimeMs: number;
}

export interface RecoveryReport {
  /** The log had been closed in order. */
  readonly wasClean: boolean;
  /** Bytes of a torn tail that were cut. */
  readonly cutBytes: number;
  /** The end that was recorded as durable before; the log that was found is not shorter. */
  readonly recordedEnd: Offset;
}

export interface TimeAnswer {
  /** Of the first record at or after the time; of the first record of its batch where that is compressed. */
  readonly offset: Offset;
  readonly timestampMs: number;
}

export interface PartitionLog {
  /** The first offset that is served. Only grows, but for `resetTo`. */
  readonly startOffset: Offset;
  /** The offset after the last appended record. */
  readonly endOffset: Offset;
  /** The offset after the last durable record. */
  readonly durableEndOffset: Offset;
  /** The leader epoch of the last frame; 0 when the log is empty. */
  readonly lastEpoch: LeaderEpoch;
  /** Every leader epoch of the log with its first offset, rising. */
  readonly epochs: readonly EpochEntry[];
  /** Bytes of the segments. */
  readonly sizeBytes: number;
  /** Bytes that are appended and not yet durable. */
  readonly pendingBytes: number;
  /** Why the log takes no more writes; what was durable can still be read. */
  readonly failure: DomainError | undefined;
  readonly config: LogConfig;
  /** What was found when the log was opened. */
  readonly recovery: RecoveryReport;

  /**
   * Appends a producer's batch as the leader of the partition: checks its sequence, gives it offsets, queues the write.
   * `lease` is of the memory that the batch lies in: the log is one of its users until the batch is durable.
   * Errors: OUT_OF_ORDER_SEQUENCE, PRODUCER_FENCED, UNKNOWN_PRODUCER, DUPLICATE_REQUEST; STALE_EPOCH (`leaderEpoch` below
   * `lastEpoch`); RECORD_TOO_LARGE; LIMIT_EXCEEDED (queue or tables full); DISK_FULL (after a roll back of batches that
   * replicas may hold, until a newer leader epoch); NOT_AVAILABLE (being truncated); STORAGE_FAILED; SHUTTING_DOWN.
   */
  appendAsLeader(batch: ValidatedBatch, at: LeaderStamp, lease?: Lease): AppendOutcome;
  /**
   * Appends frames as the leader sent them: all or none. Returns the new end. `lease`: as in `appendAsLeader`.
   * Errors: CORRUPT_BATCH (damaged), OFFSET_OUT_OF_RANGE (not at the end of this log), STALE_EPOCH (epochs fall),
   * RECORD_TOO_LARGE, LIMIT_EXCEEDED, DISK_FULL, NOT_AVAILABLE, STORAGE_FAILED, SHUTTING_DOWN.
   */
  appendAsFollower(frames: Uint8Array, lease?: Lease): Offset;
  /**
   * Resolves once everything below `end` is durable. Rejects with STORAGE_FAILED (outcome unknown), DISK_FULL (undone),
   * OFFSET_OUT_OF_RANGE (`end` is above the log), LIMIT_EXCEEDED (too many waiters), the signal's reason.
   */
  whenDurable(end: Offset, signal?: AbortSignal): Promise<void>;
  /**
   * Whole frames from the one that contains `from`, at least one of them even if it is longer than `maxBytes`, none that ends
   * above `upTo`; from one segment, so an answer may be shorter than there is. Empty at `from == upTo`. Frames that are not yet
   * durable are served from memory when `upTo` allows it, so that a leader replicates while its own sync runs.
   * Errors: OFFSET_OUT_OF_RANGE (below the start, above the end), CORRUPT_LOG, STORAGE_FAILED (the disk fails to read).
   */
  read(request: ReadRequest): Promise<ReadAnswer>;
  /** KIP-101: the largest leader epoch that is not above `epoch`, and its end; epoch 0 and the log start when there is none. */
  endOffsetForEpoch(epoch: LeaderEpoch): EpochEnd;
  /** The first record, of those below `upTo`, whose time is `timestampMs` or later. */
  offsetForTime(timestampMs: number, upTo: Offset): Promise<TimeAnswer | undefined>;
  /** What is known of a producer id. */
  producerState(producerId: bigint): ProducerState | undefined;

  /**
   * Cuts the log at the last frame border at or below `offset`; durable when it resolves, and nothing happens at or above the
   * end. Appends are NOT_AVAILABLE meanwhile. OFFSET_OUT_OF_RANGE below the log start.
   */
  truncateTo(offset: Offset): Promise<void>;
  /**
   * What is known of producers and of idempotency keys from batches that begin below the log start: what a replica cannot
   * learn from the records that are left. For `resetTo` of that replica.
   */
  exportProducers(): ProducerExport;
  /**
   * Drops everything; the log is empty and starts at `offset`. Durable when it resolves. It then knows of producers what
   * `producers`, exported by another replica, says of batches below `offset`; nothing without it.
   * INVALID_REQUEST, with nothing changed, when `producers` is no such export.
   */
  resetTo(offset: Offset, producers?: Uint8Array): Promise<void>;
  /** DeleteRecords: nothing below `offset` is served any more. Durable when it resolves. OFFSET_OUT_OF_RANGE above the end. */
  advanceStartOffset(offset: Offset): Promise<void>;
  /** Deletes whole segments, oldest first, that are too old or too much, and never a record at or above `highWatermark`. */
  applyRetention(at: { readonly nowMs: number; readonly highWatermark: Offset }): Promise<RetentionReport>;
  /**
   * Key compaction, one pass: of the records of one key below `highWatermark` the newest stays, in its place; see compaction.ts. Takes
   * place beside appends and reads; one at a time, a second call gets the first's answer.
   * Errors, after any of which the log holds what it has to: NOT_AVAILABLE (cut meanwhile), CORRUPT_LOG (a damaged frame), DISK_FULL (no
   * room for the compacted file), STORAGE_FAILED, SHUTTING_DOWN.
   */
  compact(request: CompactionRequest): Promise<CompactionReport>;
  /** Takes new settings. INVALID_CONFIG leaves the old ones. */
  configure(settings: Partial<LogConfig>): void;
  /** Resolves once everything that was appended before the call is durable. */
  flush(): Promise<void>;
  /** Makes everything durable, records that the log is clean, closes its files. Idempotent. */
  close(): Promise<void>;
}

export interface CompactionRequest {
  readonly nowMs: number;
  /** Nothing at or above it is looked at. */
  readonly highWatermark: Offset;
  /** How long a tombstone stays after the records that it deletes are gone. */
  readonly deleteRetentionMs: number;
  /** Records stay for so long after their append, whatever comes after them. */
  readonly minLagMs: number;
  /** Only when so much of what may be compacted, 0 to 1, is new since the last pass. Default 0.5. */
  readonly dirtyRatioMin?: number;
  /** Memory of the map of keys. Default and least 16 MiB, which always takes the keys of one batch. */
  readonly keyBytesMax?: number;
  /** Default: none, compressed batches stay as they are. */
  readonly codecs?: Codecs;
  /** Called after each chunk with its bytes; goes on when it resolves. Default: at once. */
  readonly pace?: (bytes: number) => Promise<void>;
}

export interface CompactionReport {
  /** Below it every key has one record at most. */
  readonly cleanedTo: Offset;
  /** More is to be compacted than there was memory for: go on at once. */
  readonly hasMore: boolean;
  readonly readBytes: number;
  readonly removedRecords: number;
  readonly removedBytes: number;
}

/** See `PartitionLog.exportProducers`. */
export interface ProducerExport {
  /** The log start that it stands for: a replica that is reset to another offset lacks what lies between. */
  readonly offset: Offset;
  /** About 50 bytes for each producer id and each idempotency key, beside the key itself. */
  readonly bytes: Uint8Array;
}

export interface RetentionReport {
  readonly deletedSegments: number;
  readonly deletedBytes: number;
}
