/**
 * The codec port. Compression is per batch: a codec sees the wire form of all `records` entries at once. Implementations
 * are in `codecs/node.ts` (native) and `codecs/web.ts` (JavaScript); this file decides which codec an id means, on which
 * thread it works, and keeps every inflation below its cap. A codec must never allocate by what its input claims before it
 * has checked the claim.
 */
import { DomainError, isDomainError } from '@fleetmq/shared';
import { codecId } from './layout.ts';
import { corruptBatch, type InflationLimits, inflationCap } from './limits.ts';

/** `compress` and `decompress` work on the calling thread. All methods return memory that the caller owns. */
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
  /** The same work on another thread; absent where there is none, as in browsers. */
  readonly background?: BackgroundCodec;
}

/** Their input must not change before the promise has settled. The outputs and errors are those of the synchronous methods. */
export interface BackgroundCodec {
  /** Bytes from which on handing over is worth it: below, `Codec.compress` costs the calling thread about as little. */
  readonly compressFrom: number;
  compress(bytes: Uint8Array): Promise<Uint8Array>;
  /** The same for `Codec.decompress`, in compressed bytes. */
  readonly decompressFrom: number;
  decompress(bytes: Uint8Array, maxOutputBytes: number): Promise<Uint8Array>;
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

/** Whether so many bytes are compressed on another thread. */
export function compressesInBackground(codec: Codec | undefined, byteLength: number): boolean {
  return codec?.background !== undefined && byteLength >= codec.background.compressFrom;
}

/** Whether so many compressed bytes are inflated on another thread. */
export function inflatesInBackground(codec: Codec, carriedBytes: number): boolean {
  return codec.background !== undefined && carriedBytes >= codec.background.decompressFrom;
}

/** Inflates below the output cap and the ratio cap. Whatever a codec library throws becomes CORRUPT_BATCH. */
export function inflateRecords(codec: Codec, carried: Uint8Array, limits: InflationLimits): Uint8Array {
  const cap = inflationCap(carried.length, limits);
  try {
    return checkCap(codec, codec.decompress(carried, cap), cap);
  } catch (error) {
    throw asInflationError(codec, error);
  }
}

/** The same on another thread, if the codec has one. `carried` must not change meanwhile. */
export async function inflateRecordsInBackground(
  codec: Codec,
  carried: Uint8Array,
  limits: InflationLimits,
): Promise<Uint8Array> {
  if (codec.background === undefined) return inflateRecords(codec, carried, limits);
  const cap = inflationCap(carried.length, limits);
  try {
    return checkCap(codec, await codec.background.decompress(carried, cap), cap);
  } catch (error) {
    throw asInflationError(codec, error);
  }
}

function checkCap(codec: Codec, inflated: Uint8Array, cap: number): Uint8Array {
  if (inflated.length > cap) throw overInflationCap(codec.name, cap);
  return inflated;
}

function asInflationError(codec: Codec, error: unknown): DomainError {
  return isDomainError(error) ? error : corruptBatch(`${codec.name} cannot read the compressed records`, error);
}
