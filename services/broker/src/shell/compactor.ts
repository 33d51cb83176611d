/**
 * Compacts the logs of compacted topics, one after the other, those of leaders and of followers: each replica does so for itself, below its
 * own high watermark. Bounded: one log at a time, so many bytes per second, so much memory for keys.
 * What compaction means is decided in the log; here is when, and what becomes of failures.
 */
import type { CompactionReport, PartitionLog } from '@fleetmq/log';
import type { Codecs } from '@fleetmq/record';
import { type Clock, DomainError, isDomainError, type Logger, type Offset, type Timers } from '@fleetmq/shared';
import type { BrokerConfig } from '../config.ts';
import { BoundedWall } from '../domain/bounded-wall.ts';
import { Chore } from './chore.ts';
import type { BrokerMetrics } from './metrics.ts';
import type { Partitions } from './partitions.ts';
import type { Replica } from './replica.ts';

export interface CompactorOptions {
  readonly config: Pick<BrokerConfig, 'broker'>;
  readonly partitions: Partitions;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly metrics: BrokerMetrics;
  readonly codecs: Codecs;
}

export class Compactor {
  readonly #options: CompactorOptions;
  readonly #wall: BoundedWall;
  readonly #chore: Chore = new Chore(() => this.#round());
  /** Ends the pause between two chunks. */
  #goOn: () => void = () => undefined;

  constructor(options: CompactorOptions) {
    this.#options = options;
    this.#wall = new BoundedWall(options.clock);
  }

  /** To be called periodically. */
  tick(): void {
    if (this.#options.config.broker['compaction-bytes-per-second'] > 0) this.#chore.tick();
  }

  /** A compaction under way ends at its next chunk; the log is as it was, but for the segments that are done. */
  stop(): Promise<void> {
    const stopped = this.#chore.stop();
    this.#goOn();
    return stopped;
  }

  async #round(): Promise<void> {
    for (const replica of [...this.#options.partitions.all()]) {
      if (!replica.config.compacts) continue;
      try {
        while (!this.#chore.isStopped && (await this.#compact(replica)));
      } catch (error) {
        if (!isDomainError(error)) throw error;
        this.#onFailure(replica, error);
      }
    }
  }

  /** Whether there is more to do. */
  async #compact(replica: Replica): Promise<boolean> {
    const { log, failure, isBusy } = replica;
    if (log === undefined || failure !== undefined || isBusy) return false;
    const report = await this.#pass(replica, log);
    const { metrics, logger } = this.#options;
    metrics.compactedBytes.add(report.readBytes);
    metrics.compactionRemovedRecords.add(report.removedRecords);
    metrics.compactionRemovedBytes.add(Math.max(0, report.removedBytes));
    if (report.readBytes > 0) logger.info({ partition: replica.name, ...report }, 'a log was compacted');
    return report.hasMore;
  }

  #pass({ state, config }: Replica, log: PartitionLog): Promise<CompactionReport> {
    const { codecs } = this.#options;
    return log.compact({
      nowMs: this.#wall.nowMs(),
      highWatermark: Math.min(state.highWatermark, log.endOffset) as Offset,
      deleteRetentionMs: config.deleteRetentionMs,
      minLagMs: config.minCompactionLagMs,
      keyBytesMax: this.#options.config.broker['compaction-key-bytes'],
      codecs,
      pace: (bytes) => this.#pause(bytes),
    });
  }

  #pause(bytes: number): Promise<void> {
    if (this.#chore.isStopped) return Promise.reject(new DomainError('SHUTTING_DOWN', 'the broker stops'));
    const { timers, config } = this.#options;
    const pauseMs = (bytes * 1_000) / config.broker['compaction-bytes-per-second'];
    return new Promise((resolve) => {
      const timer = timers.after(pauseMs, resolve);
      this.#goOn = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  #onFailure(replica: Replica, error: DomainError): void {
    const { logger, metrics } = this.#options;
    // The log was cut or closed: it is looked at again in the next round.
    if (error.code === 'NOT_AVAILABLE' || error.code === 'SHUTTING_DOWN') return;
    metrics.compactionFailures.add();
    logger.warn({ partition: replica.name, code: error.code, reason: error.message }, 'a log could not be compacted');
    if (error.code === 'CORRUPT_LOG') replica.onReadFailure(error);
  }
}
