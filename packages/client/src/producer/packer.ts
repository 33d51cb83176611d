/**
 * Makes bytes of closed batches: at once, or on another thread where the codec has one and the batch is long enough to be worth
 * it. Then batches become ready in any order; their queue still sends them in the order in which they were closed.
 *
 * A batch that is settled meanwhile (expired, producer closed) is passed over; what is under way for it comes to nothing.
 * A codec that fails costs its own batch and nothing else: UNKNOWN_ERROR, or the DomainError that the codec has thrown.
 * Bounds: `jobsMax` batches under way at a time, for all partitions together; the others wait in the order in which they came,
 * and the producer's budget bounds them. A job that outlives its batch holds memory beyond the budget: `jobsMax` batches at most.
 */
import type { BuildOptions, ClosedRecords } from '@fleetmq/record';
import { type Checksum, DomainError, isDomainError, Ring } from '@fleetmq/shared';
import type { ProducerBatch } from './batch.ts';

export interface PackerOptions {
  readonly build: BuildOptions;
  readonly checksum: Checksum;
  /** Default 2: a pool of threads has few, and others want some of them; where there are two processors, three would take from the caller. */
  readonly jobsMax?: number;
}

interface Job {
  readonly batch: ProducerBatch;
  readonly onPacked: () => void;
}

export class Packer {
  readonly #options: PackerOptions;
  readonly #jobsMax: number;
  readonly #waiting: Ring<Job> = new Ring(2 ** 31);
  #running = 0;

  constructor(options: PackerOptions) {
    this.#options = options;
    this.#jobsMax = options.jobsMax ?? 2;
  }

  /** Packs a closed batch. Never throws. `onPacked` runs if that is not done when this returns. */
  pack(batch: ProducerBatch, onPacked: () => void): void {
    const { build, checksum } = this.#options;
    const records = batch.records as ClosedRecords;
    if (records.isWorthBackground(build)) {
      this.#waiting.push({ batch, onPacked });
      this.#startNext();
      return;
    }
    try {
      batch.packed(records.build(build, checksum));
    } catch (error) {
      batch.packed(this.#asFailure(error, records));
    }
  }

  #startNext(): void {
    while (this.#running < this.#jobsMax) {
      const job = this.#waiting.shift();
      if (job === undefined) return;
      const { records } = job.batch;
      if (records !== undefined) void this.#run(job, records);
    }
  }

  async #run({ batch, onPacked }: Job, records: ClosedRecords): Promise<void> {
    const { build, checksum } = this.#options;
    this.#running++;
    try {
      batch.packed(await records.buildInBackground(build, checksum));
    } catch (error) {
      batch.packed(this.#asFailure(error, records));
    }
    this.#running--;
    this.#startNext();
    onPacked();
  }

  #asFailure(error: unknown, records: ClosedRecords): DomainError {
    if (isDomainError(error)) return error;
    const codec = this.#options.build.codec?.name ?? 'no codec';
    const text = `${codec} could not compress a batch of ${records.byteLength} bytes: ${String(error)}`;
    return new DomainError('UNKNOWN_ERROR', text, { cause: error });
  }
}
