/**
 * The bounds of a batch. They are checked before anything is stored and before anything is inflated, so that no claim
 * of a sender decides how much memory is taken.
 */
import { DomainError } from '@fleetmq/shared';

export interface BatchLimits {
  /** Bytes of a batch as it is carried. Default 1 MiB (`max.message.bytes`). */
  readonly batchBytesMax: number;
  /** Records of a batch. Default 100,000. */
  readonly recordsMax: number;
  /** Headers of one record. Default 1,000. */
  readonly headersMax: number;
  /** Bytes of `idempotency_key`. Default 256. */
  readonly idempotencyKeyBytesMax: number;
  /** Fields of a batch that this version does not know. Default 32. */
  readonly unknownFieldsMax: number;
}

export const defaultBatchLimits: BatchLimits = {
  batchBytesMax: 1024 * 1024,
  recordsMax: 100_000,
  headersMax: 1000,
  idempotencyKeyBytesMax: 256,
  unknownFieldsMax: 32,
};

export interface InflationLimits {
  /** Bytes of the records of one batch once they are inflated. Default 4 MiB. */
  readonly inflatedBytesMax: number;
  /** Inflated bytes per carried byte, for what is above `ratioFreeBytes`. Default 256. */
  readonly ratioMax: number;
  /** Up to this size any ratio is accepted: a batch of equal records shrinks a thousandfold. Default 1 MiB. */
  readonly ratioFreeBytes: number;
  /** Records of one batch. Default 100,000. */
  readonly recordsMax: number;
}

export const defaultInflationLimits: InflationLimits = {
  inflatedBytesMax: 4 * 1024 * 1024,
  ratioMax: 256,
  ratioFreeBytes: 1024 * 1024,
  recordsMax: 100_000,
};

/** Bytes that `carriedBytes` of compressed records may become. */
export function inflationCap(carriedBytes: number, limits: InflationLimits): number {
  return Math.min(limits.inflatedBytesMax, Math.max(limits.ratioFreeBytes, carriedBytes * limits.ratioMax));
}

/** CORRUPT_BATCH: the bytes are no batch, or they contradict themselves. */
export function corruptBatch(message: string, cause?: unknown): DomainError {
  return new DomainError('CORRUPT_BATCH', message, cause === undefined ? {} : { cause });
}
