/**
 * Deletes old segments, one partition after the other, so that retention never takes more than one disk request at a time.
 * Nothing at or above the high watermark goes; times come from the records, bounded by the logs, and from a wall clock whose
 * jumps count for little (P23).
 */
import { type Clock, isDomainError, type Logger, type Offset } from '@fleetmq/shared';
import { BoundedWall } from '../domain/bounded-wall.ts';
import { Chore } from './chore.ts';
import type { Partitions } from './partitions.ts';
import type { Replica } from './replica.ts';

export interface RetentionOptions {
  readonly partitions: Partitions;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class Retention {
  readonly #options: RetentionOptions;
  readonly #wall: BoundedWall;
  readonly #chore: Chore = new Chore(() => this.#round());

  constructor(options: RetentionOptions) {
    this.#options = options;
    this.#wall = new BoundedWall(options.clock);
  }

  /** To be called periodically. */
  tick(): void {
    this.#chore.tick();
  }

  stop(): Promise<void> {
    return this.#chore.stop();
  }

  async #round(): Promise<void> {
    const { partitions, logger } = this.#options;
    for (const replica of [...partitions.all()]) {
      if (this.#chore.isStopped) return;
      try {
        await this.#apply(replica);
      } catch (error) {
        if (!isDomainError(error)) throw error;
        const fields = { partition: replica.name, code: error.code, reason: error.message };
        logger.warn(fields, 'retention could not be applied');
      }
    }
    await partitions.removeOldStrays();
  }

  async #apply(replica: Replica): Promise<void> {
    const { log, failure, isBusy } = replica;
    if (log === undefined || failure !== undefined || isBusy) return;
    const nowMs = this.#wall.nowMs();
    const highWatermark = Math.min(replica.state.highWatermark, log.endOffset) as Offset;
    const report = await log.applyRetention({ nowMs, highWatermark });
    if (report.deletedSegments > 0) {
      replica.onLogStartMoved();
      this.#options.logger.info({ partition: replica.name, ...report }, 'retention deleted old segments');
    }
  }
}
