/**
 * The logs of replicas: opens them, at most `opensMax` at once, configures and closes them. Opening and closing are jobs of
 * the log's folder (log-folders.ts), one after the other. A log that cannot be opened, or fails later, is the replica's failure and
 * nobody else's.
 */
import { type LogConfig, OpenSegments, openLog, type PartitionLog } from '@fleetmq/log';
import type { MetadataImage, TopicConfig } from '@fleetmq/metadata';
import {
  type BufferPool,
  type Checksum,
  type Disk,
  type DomainError,
  isDomainError,
  type Logger,
  type TopicId,
} from '@fleetmq/shared';
import { folderOf, type LogFolders } from './log-folders.ts';
import type { PartitionLimits } from './partition-limits.ts';
import type { Replica } from './replica.ts';
import { Semaphore } from './semaphore.ts';

export interface ReplicaLogsOptions {
  readonly disk: Disk;
  readonly checksum: Checksum;
  /** Where the logs put what they read. */
  readonly buffers: BufferPool;
  readonly logger: Logger;
  readonly image: MetadataImage;
  readonly folders: LogFolders;
  readonly limits: PartitionLimits;
  /** Whether the replica is still one of this broker, which is not stopping. */
  readonly isHeld: (replica: Replica) => boolean;
}

/** The longest age that a log takes; what is above it is for ever in practice. */
const logAgeMaxMs = 1000 * 365 * 24 * 3_600_000;

export class ReplicaLogs {
  readonly #options: ReplicaLogsOptions;
  readonly #openSegments: OpenSegments;
  readonly #opens: Semaphore;

  constructor(options: ReplicaLogsOptions) {
    this.#options = options;
    this.#opens = new Semaphore(options.limits.opensMax);
    this.#openSegments = new OpenSegments(options.limits.openSegmentsMax);
  }

  /** Opens the log of a replica, unless that is gone, and gives it its role. */
  async open(replica: Replica): Promise<void> {
    const { isHeld } = this.#options;
    if (!isHeld(replica)) return;
    try {
      const log = await this.#opens.run(() => this.#openLog(replica));
      this.#report(replica, log);
      if (!isHeld(replica)) await log.close();
      else this.#attach(replica, log);
    } catch (error) {
      if (!isDomainError(error)) throw error;
      this.#onFailure(replica, error);
    }
  }

  /** The replica's settings have changed. */
  configure(replica: Replica): void {
    replica.log?.configure(this.#logConfig(replica.config));
  }

  /** False when it could not be closed cleanly. */
  async close(replica: Replica): Promise<boolean> {
    const log = replica.detach();
    try {
      await log?.close();
      return replica.failure === undefined;
    } catch (error) {
      if (!isDomainError(error)) throw error;
      this.#options.logger.warn({ partition: replica.name, reason: error.message }, 'a log was not closed cleanly');
      return false;
    }
  }

  async #openLog(replica: Replica): Promise<PartitionLog> {
    const { disk, checksum, buffers, folders } = this.#options;
    await folders.make();
    return openLog({
      disk,
      folder: folders.pathOf(folderOf(replica)),
      checksum,
      buffers,
      openSegments: this.#openSegments,
      config: this.#logConfig(replica.config),
      onDurable: (end) => replica.onDurable(end),
      onFailure: (error) => this.#onFailure(replica, error),
      onRollback: (end, error) => replica.onRolledBack(end, error),
    });
  }

  #report({ name, config: { flushPolicy } }: Replica, { recovery }: PartitionLog): void {
    const { logger } = this.#options;
    if (flushPolicy !== 'fsync') {
      logger.warn(
        { partition: name, flushPolicy },
        'acknowledged records of this partition can be lost with the power',
      );
    }
    if (recovery.cutBytes > 0) logger.warn({ partition: name, ...recovery }, 'a torn tail was cut');
  }

  #attach(replica: Replica, log: PartitionLog): void {
    replica.attach(log);
    replica.configure(replica.config, replica.replicationFactor);
    const partition = this.#options.image.partition(replica.topicId as TopicId, replica.partition);
    if (partition !== undefined) replica.assign(partition);
  }

  #onFailure(replica: Replica, error: DomainError): void {
    this.#options.logger.error(
      { partition: replica.name, code: error.code, reason: error.message },
      'a log has failed',
    );
    replica.onLogFailure(error);
  }

  #logConfig(config: TopicConfig): Partial<LogConfig> {
    const { limits } = this.#options;
    return {
      segmentBytes: config.segmentBytes,
      segmentMs: Math.min(config.segmentMs, logAgeMaxMs),
      retentionBytes: (config.deletes ? config.retentionBytes : undefined) ?? -1,
      retentionMs: config.retentionMs === undefined || !config.deletes ? -1 : Math.min(config.retentionMs, logAgeMaxMs),
      flushPolicy: config.flushPolicy,
      maxPendingBytes: limits.pendingBytesPerLog,
      producerIdsMax: limits.producerIdsPerLog,
      idempotencyKeysMax: limits.idempotencyKeysPerLog,
    };
  }
}
