/**
 * The codec port. Compression is per batch: a codec sees the wire form of all `records` entries at once. Implementations
 * are in `codecs/node.ts` (native) and `codecs/web.ts` (JavaScript); this file decides which codec an id means and keeps
 * every inflation below its cap. A codec must never allocate by what its input claims before it has checked the claim.
 */
import { DomainError, isDomainError } from '@fleetmq/shared';
import { codecId } from './layout.ts';
import { corruptBatch, type InflationLimits, inflationCap } from './limits.ts';

/** Synchronous. Both methods return memory that the caller owns. */
export interface Codec {
  /** `RecordBatch.compression_type`: 1 lz4, 2 zstd, 3 snappy. */
  readonly id: number;
  readonly name: string;
  /** Throws UNSUPPORTED_CODEC where the library can only inflate. */
  compress(bytes: Uint8Array): Uint8Array;
  /**
   * Throws RECORD_TOO_LARGE for more than `maxOutputBytes`, and CORRUPT_BATCH or an error of its library for what is no
   * frame of the codec: call it through `inflateRecords`, which makes DomainErrors of all.
   */
  decompress(bytes: Uint8Array, maxOutputBytes: number): Uint8Array;
}

/** The codecs that this process has, by id. */
export type Codecs = ReadonlyMap<number, Codec>;

/** For those who carry batches and never look into compressed ones. */
export const noCodecs: Codecs = new Map();

export function codecsOf(...codecs: readonly Codec[]): Codecs {
  return new Map(codecs.map((codec) => [codec.id, codec]));
}

export function isKnownCodec(id: number): boolean {
  return id >= codecId.none && id <= codecId.snappy;
}

/** UNSUPPORTED_CODEC when there is none. */
export function requireCodec(codecs: Codecs, id: number): Codec {
  const codec = codecs.get(id);
  if (codec === undefined) {
    const here = [...codecs.values()].map((known) => known.name).join(', ') || 'none';
    throw new DomainError('UNSUPPORTED_CODEC', `compression type ${id} is not available here; available: ${here}`);
  }
  return codec;
}

/** What a codec answers when its output would be above the cap. */
export function overInflationCap(name: string, maxOutputBytes: number): DomainError {
  return new DomainError('RECORD_TOO_LARGE', `a ${name} batch inflates to more than ${maxOutputBytes} bytes`);
}

/** Inflates below the output cap and the ratio cap. Whatever a codec library throws becomes CORRUPT_BATCH. */
export function inflateRecords(codec: Codec, carried: Uint8Array, limits: InflationLimits): Uint8Array {
  const cap = inflationCap(carried.length, limits);
  let inflated: Uint8Array;
  try {
    inflated = codec.decompress(carried, cap);
  } catch (error) {
    if (isDomainError(error)) throw error;
    throw corruptBatch(`${codec.name} cannot read the compressed records`, error);
  }
  if (inflated.length > cap) throw overInflationCap(codec.name, cap);
  return inflated;
}
