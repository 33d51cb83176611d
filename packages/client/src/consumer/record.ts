/**
 * Records and batches as callers see them. Nothing is decoded before it is asked for: a record's fields are read when they
 * are read. Keys and values without a serde are views of the batch's memory: copy what must outlive it.
 */
import { attribute, type OpenBatch, type RecordHeader, type RecordView, viewRecords } from '@fleetmq/record';
import type { Offset } from '@fleetmq/shared';
import type { Serde } from '../serde.ts';
import type { PartitionProgress } from './progress.ts';

export interface Serdes<Key, Value> {
  readonly key: Serde<Key>;
  readonly value: Serde<Value>;
}

export class ConsumedRecord<Key, Value> {
  readonly topic: string;
  readonly partition: number;
  readonly #view: RecordView;
  readonly #serdes: Serdes<Key, Value>;

  constructor(progress: PartitionProgress, view: RecordView, serdes: Serdes<Key, Value>) {
    this.topic = progress.topic;
    this.partition = progress.partition;
    this.#view = view;
    this.#serdes = serdes;
  }

  get offset(): Offset {
    return this.#view.offset;
  }

  /** Null: no key. Throws what its serde throws. */
  get key(): Key | null {
    const bytes = this.#view.key;
    return bytes === undefined ? null : this.#serdes.key.decode(bytes);
  }

  /** Null: a tombstone. Throws what its serde throws. */
  get value(): Value | null {
    const bytes = this.#view.value;
    return bytes === undefined ? null : this.#serdes.value.decode(bytes);
  }

  get keyBytes(): Uint8Array | undefined {
    return this.#view.key;
  }

  get valueBytes(): Uint8Array | undefined {
    return this.#view.value;
  }

  /** In order, duplicates kept. */
  get headers(): readonly RecordHeader[] {
    return this.#view.headers;
  }

  /** The producer's time, or else the append time, in milliseconds since 1970-01-01 UTC. */
  get timestampMs(): number {
    return this.#view.timestampMs;
  }
}

/** A batch that is buffered: still as it was received. */
export interface BufferedBatch {
  readonly progress: PartitionProgress;
  readonly generation: number;
  /** Absent: only the position moves. */
  readonly bytes: Uint8Array | undefined;
  readonly size: number;
  /** The offset after it. */
  readonly endOffset: number;
}

/** Some records of one partition, in offset order. */
export interface ConsumedBatch<Key, Value> {
  readonly topic: string;
  readonly partition: number;
  /** The offset after the last record. */
  readonly nextOffset: Offset;
  /** Offset after the last committed record of the partition when the batch came; the lag is this less `nextOffset`. */
  readonly highWatermark: number;
  readonly records: readonly ConsumedRecord<Key, Value>[];
}

/** The records of a batch that lie in [from, end). Control batches (transaction markers) hold none. CORRUPT_BATCH. */
export function recordsOf<Key, Value>(
  progress: PartitionProgress,
  batch: OpenBatch,
  range: { readonly from: number; readonly end: number; readonly countMax: number },
  serdes: Serdes<Key, Value>,
): ConsumedRecord<Key, Value>[] {
  const records: ConsumedRecord<Key, Value>[] = [];
  if ((batch.header.attributes & attribute.control) !== 0) return records;
  for (const view of viewRecords(batch)) {
    if (view.offset < range.from) continue;
    if (view.offset >= range.end || records.length >= range.countMax) break;
    records.push(new ConsumedRecord(progress, view, serdes));
  }
  return records;
}
