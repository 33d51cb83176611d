/**
 * The records of a batch that takes no more, and how they become the batch's bytes: the header before them, or, with a codec,
 * the header and what the codec made of them. Building may take place later than closing, and on another thread.
 *
 * Invariant: the records lie behind `headerRoom` bytes of memory that nobody else writes to until the batch is built.
 */
import { type Checksum, type Lease, varintSize, writeVarint } from '@fleetmq/shared';
import { type Codec, compressesInBackground } from './compression.ts';
import { encodeHeader } from './encode.ts';
import { attribute, batchField, codecId } from './layout.ts';

export interface BuildOptions {
  /** Default: not compressed. */
  readonly codec?: Codec;
  readonly producerId?: bigint;
  readonly producerEpoch?: number;
  readonly baseSequence?: number;
  readonly transactional?: boolean;
  readonly idempotencyKey?: string;
}

export interface BuiltBatch {
  /** The batch, in memory that nobody else uses. */
  readonly bytes: Uint8Array;
  /** A use of that memory, to be let go when the bytes are no longer needed; it may be dropped instead. */
  readonly lease: Lease | undefined;
}

interface Facts {
  readonly byteLength: number;
  readonly recordCount: number;
  /** 0 for none. */
  readonly firstTimestampMs: number;
  readonly maxTimestampMs: number;
}

/** Room for the header before the records. A header that is longer, because of its idempotency key, costs a copy. */
export const headerRoom = 128;

export class ClosedRecords {
  readonly #memory: Uint8Array;
  readonly #lease: Lease | undefined;
  readonly #facts: Facts;

  /** Takes the lease over, once the batch is built. */
  constructor(memory: Uint8Array, lease: Lease | undefined, facts: Facts) {
    this.#memory = memory;
    this.#lease = lease;
    this.#facts = facts;
  }

  /** Record bytes, before compression. */
  get byteLength(): number {
    return this.#facts.byteLength;
  }

  /** Builds the batch, once. What the codec throws comes through, and the records stay as they are. */
  build(options: BuildOptions, checksum: Checksum): BuiltBatch {
    const { codec } = options;
    return codec === undefined
      ? this.#buildPlain(options, checksum)
      : this.#join(options, checksum, codec.compress(this.#records()));
  }

  /** Whether `buildInBackground` is worth it. */
  isWorthBackground({ codec }: BuildOptions): boolean {
    return compressesInBackground(codec, this.byteLength);
  }

  /** Builds the batch, once, with its compression on another thread if the codec has one. Rejects as `build` throws. */
  async buildInBackground(options: BuildOptions, checksum: Checksum): Promise<BuiltBatch> {
    const background = options.codec?.background;
    if (background === undefined) return this.build(options, checksum);
    return this.#join(options, checksum, await background.compress(this.#records()));
  }

  #records(): Uint8Array {
    return this.#memory.subarray(headerRoom, headerRoom + this.byteLength);
  }

  /** The header before its records, and with them the memory. */
  #buildPlain(options: BuildOptions, checksum: Checksum): BuiltBatch {
    const records = this.#records();
    const header = this.#header(options, checksum.crc32(records));
    if (header.length > headerRoom) return this.#joined(header, records, 0);
    const start = headerRoom - header.length;
    this.#memory.set(header, start);
    return { bytes: this.#memory.subarray(start, headerRoom + this.byteLength), lease: this.#lease };
  }

  #join(options: BuildOptions, checksum: Checksum, carried: Uint8Array): BuiltBatch {
    return this.#joined(this.#header(options, checksum.crc32(carried)), carried, 1 + varintSize(carried.length));
  }

  /** A batch whose records do not lie behind room for its header. With a `lead` they are `compressed_records`. */
  #joined(header: Uint8Array, carried: Uint8Array, lead: number): BuiltBatch {
    const bytes = new Uint8Array(header.length + lead + carried.length);
    bytes.set(header);
    if (lead > 0) {
      bytes[header.length] = batchField.compressedRecords * 8 + 2;
      writeVarint(bytes, header.length + 1, carried.length);
    }
    bytes.set(carried, header.length + lead);
    this.#lease?.release();
    return { bytes, lease: undefined };
  }

  #header(options: BuildOptions, crc: number): Uint8Array {
    const { recordCount, firstTimestampMs, maxTimestampMs } = this.#facts;
    return encodeHeader({
      compressionType: options.codec?.id ?? codecId.none,
      recordCount,
      firstTimestampMs,
      maxTimestampMs,
      crc,
      producerId: options.producerId ?? 0n,
      producerEpoch: options.producerEpoch ?? 0,
      baseSequence: options.baseSequence ?? 0,
      attributes: options.transactional === true ? attribute.transactional : 0,
      idempotencyKey: options.idempotencyKey ?? '',
    });
  }
}
