/**
 * What the log knows of producers, as one value: the table and the idempotency window, with the file that holds them at one
 * offset. `note` is the only way in, for leader, follower and recovery alike, so that all three end with the same state.
 *
 * File (format.md for the envelope): offset; count, then per producer id, epoch, last append time, number of batches and per
 * batch base sequence, record count, base offset, append time; count, then per key the key, crc, record count, base offset,
 * append time.
 */
import { type BatchHeader, readBatchHeader, recordsChecksum, type Trailer } from '@fleetmq/record';
import { type Checksum, DomainError, type Offset, toOffset, type WireReader, type WireWriter } from '@fleetmq/shared';
import type { LogConfig } from './config.ts';
import { newEnvelope, openEnvelope, sealEnvelope } from './files.ts';
import { IdempotencyWindow } from './idempotency.ts';
import { noProducer, type ProducedBatch, ProducerTable, type StoredBatch } from './producers.ts';

const magic = 'FMQP';
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** What decides whether a batch was seen before. */
export interface IdentifiedBatch extends ProducedBatch {
  readonly idempotencyKey: string;
  readonly crc: number;
}

/** Where a batch already lies, for the answer to a repetition. */
export interface EarlierAppend {
  readonly baseOffset: number;
  readonly recordCount: number;
  readonly appendTimeMs: number;
}

export class ProducerMemory {
  readonly table: ProducerTable;
  readonly keys: IdempotencyWindow;
  #config: LogConfig;

  constructor(config: LogConfig) {
    this.#config = config;
    this.table = new ProducerTable(config);
    this.keys = new IdempotencyWindow(config);
  }

  /** Where the batch was appended before; undefined when it is new. Throws the errors of producers.ts and idempotency.ts. */
  check(batch: IdentifiedBatch, nowMs: number): EarlierAppend | undefined {
    return this.table.check(batch, nowMs) ?? this.keys.check(batch.idempotencyKey, batch, nowMs);
  }

  note(batch: IdentifiedBatch, baseOffset: number, appendTimeMs: number): void {
    const { crc, recordCount } = batch;
    this.table.record(batch, baseOffset, appendTimeMs);
    this.keys.record(batch.idempotencyKey, { crc, recordCount, baseOffset, appendTimeMs });
  }

  clear(): void {
    this.table.clear();
    this.keys.clear();
  }

  get isEmpty(): boolean {
    return this.table.size + this.keys.size === 0;
  }

  /** An empty one with the same bounds. */
  emptyCopy(): ProducerMemory {
    return new ProducerMemory(this.#config);
  }

  /** What it knows from batches that begin below `offset`. Batches that later ones have pushed out are not among it. */
  copyBelow(offset: Offset): ProducerMemory {
    const copy = this.emptyCopy();
    for (const [producerId, state] of this.table.entriesBelow(offset)) copy.table.restore(producerId, state);
    for (const [key, keyed] of this.keys.entries()) if (keyed.baseOffset < offset) copy.keys.restore(key, keyed);
    return copy;
  }

  /** Becomes equal to `other`. */
  replaceWith(other: ProducerMemory): void {
    this.clear();
    for (const [producerId, state] of other.table.entries()) this.table.restore(producerId, state);
    for (const [key, keyed] of other.keys.entries()) this.keys.restore(key, keyed);
  }

  configure(config: LogConfig): void {
    this.#config = config;
    this.table.configure(config);
    this.keys.configure(config);
  }
}

/** The identity of a stored batch; undefined when it has none, which most have not. */
export function identify(
  bytes: Uint8Array,
  header: BatchHeader,
  trailer: Trailer,
  checksum: Checksum,
): IdentifiedBatch | undefined {
  const { producerId, producerEpoch, baseSequence, attributes, idempotencyKey } = header;
  if (producerId === noProducer && idempotencyKey === '') return undefined;
  const crc = idempotencyKey === '' ? 0 : recordsChecksum(bytes, header, checksum);
  // What the producer had sent: compaction may have left less.
  const recordCount = trailer.lastOffsetDelta + 1;
  return { producerId, producerEpoch, baseSequence, attributes, idempotencyKey, crc, recordCount };
}

/** Notes the verified frame whose batch is `bytes[start, end)`. */
export function noteFrame(
  memory: ProducerMemory,
  frame: { readonly bytes: Uint8Array; readonly batchStart: number; readonly end: number; readonly trailer: Trailer },
  checksum: Checksum,
): void {
  const { bytes, trailer } = frame;
  const header = readBatchHeader(bytes, frame.batchStart, frame.end);
  const batch = identify(bytes, header, trailer, checksum);
  if (batch !== undefined) memory.note(batch, trailer.baseOffset, trailer.appendTimeMs);
}

export function encodeProducers(memory: ProducerMemory, offset: Offset, checksum: Checksum): Uint8Array {
  const writer = newEnvelope(magic).varint(offset).varint(memory.table.size);
  for (const [producerId, state] of memory.table.entries()) {
    writer.varint64(producerId).varint(state.producerEpoch).varint(state.lastAppendTimeMs).varint(state.batches.length);
    for (const { baseSequence, recordCount, baseOffset, appendTimeMs } of state.batches) {
      writer.varint(baseSequence).varint(recordCount).varint(baseOffset).varint(appendTimeMs);
    }
  }
  writer.varint(memory.keys.size);
  for (const [key, batch] of memory.keys.entries()) writeKey(writer, key, batch);
  return sealEnvelope(writer, checksum);
}

function writeKey(writer: WireWriter, key: string, batch: EarlierAppend & { readonly crc: number }): void {
  const bytes = new TextEncoder().encode(key);
  writer.varint(bytes.length).raw(bytes);
  writer.varint(batch.crc).varint(batch.recordCount).varint(batch.baseOffset).varint(batch.appendTimeMs);
}

/**
 * Fills `memory`, which is empty. False, with `memory` empty again, when the file is absent, damaged or of another offset;
 * without an `offset` any will do.
 */
export function decodeProducers(
  bytes: Uint8Array | undefined,
  offset: Offset | undefined,
  memory: ProducerMemory,
  checksum: Checksum,
): boolean {
  const filled = openEnvelope(bytes, magic, checksum, (reader) => {
    const found = toOffset(reader.varint());
    if (offset !== undefined && found !== offset) throw new DomainError('CORRUPT_LOG', 'a snapshot under another name');
    const producers = reader.varint();
    for (let i = 0; i < producers; i++) readProducer(reader, memory);
    const keys = reader.varint();
    for (let i = 0; i < keys; i++) readKey(reader, memory);
    return true;
  });
  if (filled === undefined) memory.clear();
  return filled === true;
}

function readProducer(reader: WireReader, memory: ProducerMemory): void {
  const producerId = reader.varint64();
  const producerEpoch = reader.varint();
  const lastAppendTimeMs = reader.varint();
  const count = reader.varint();
  const batches: StoredBatch[] = [];
  for (let i = 0; i < count; i++) {
    const baseSequence = reader.varint();
    const recordCount = reader.varint();
    batches.push({ baseSequence, recordCount, baseOffset: reader.varint(), appendTimeMs: reader.varint() });
  }
  memory.table.restore(producerId, { producerEpoch, batches, lastAppendTimeMs });
}

function readKey(reader: WireReader, memory: ProducerMemory): void {
  const key = utf8.decode(reader.view());
  const crc = reader.varint();
  const recordCount = reader.varint();
  memory.keys.restore(key, { crc, recordCount, baseOffset: reader.varint(), appendTimeMs: reader.varint() });
}
