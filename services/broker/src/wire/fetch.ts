/**
 * FetchRequest, FetchBatchRequest, SubscribeRequest and their answers (client/consumer.proto). An answer is a list of pieces:
 * small encoded headers, and between them the stored bytes of the log exactly as they were read. A stretch of log is a run of
 * `batches` entries of FetchPartitionResponse, so the pieces put one behind the other are the message.
 */
import { DomainError, fieldTag, WireReader, WireWriter, wireBytes } from '@fleetmq/shared';
import {
  encodeTopicPartition,
  readBytes,
  readDurationMs,
  readText,
  readTimestampMs,
  readTopicPartition,
  readUint32,
  readUint53,
  readVersion,
  type TopicPartitionName,
  writeError,
} from './fields.ts';
import { noTarget } from './produce.ts';

const clientIdBytesMax = 249;
const cursorBytesMax = 256 * 1024;

export interface FetchPartitionAsk {
  readonly target: TopicPartitionName;
  readonly fetchOffset: number;
  /** 0: as much as the whole answer. */
  readonly maxBytes: number;
  /** 0: do not check. */
  readonly leaderEpoch: number;
}

export interface FetchRequest {
  readonly replicaId: number;
  readonly maxWaitMs: number;
  readonly minBytes: number;
  readonly maxBytes: number;
  readonly partitions: readonly FetchPartitionAsk[];
  readonly isolationLevel: number;
  readonly acceptedCodecs: ReadonlySet<number>;
}

type Mutable<Type> = { -readonly [Key in keyof Type]: Type[Key] };
type AssertCount = (count: number) => void;

/** A place in a partition; undefined: earliest. */
export type Position =
  | { readonly kind: 'offset'; readonly offset: number }
  | { readonly kind: 'time'; readonly timestampMs: number }
  | { readonly kind: 'earliest' }
  | { readonly kind: 'latest' };

export const earliest: Position = { kind: 'earliest' };

export function decodeFetch(bytes: Uint8Array, assertCount: AssertCount): FetchRequest {
  const partitions: FetchPartitionAsk[] = [];
  const codecs = new Set<number>();
  const ask: Mutable<FetchRequest> = {
    replicaId: 0,
    maxWaitMs: 0,
    minBytes: 0,
    maxBytes: 0,
    partitions,
    isolationLevel: 0,
    acceptedCodecs: codecs,
  };
  const reader = new WireReader(bytes);
  while (!reader.done) {
    const tag = reader.varint();
    const wireType = tag & 7;
    switch (tag >>> 3) {
      case 1:
        readVersion(reader, wireType);
        break;
      case 2:
        readText(reader, wireType, 'client_id', clientIdBytesMax);
        break;
      case 3:
        ask.replicaId = readUint32(reader, wireType, 'replica_id');
        break;
      case 4:
        ask.maxWaitMs = readDurationMs(reader, wireType, 'max_wait');
        break;
      case 5:
        ask.minBytes = readUint32(reader, wireType, 'min_bytes');
        break;
      case 6:
        ask.maxBytes = readUint32(reader, wireType, 'max_bytes');
        break;
      case 7:
        assertCount(partitions.length + 1);
        partitions.push(readFetchPartition(readBytes(reader, wireType, 'partitions')));
        break;
      case 8:
        ask.isolationLevel = readUint32(reader, wireType, 'isolation_level');
        break;
      case 9:
        readCodecs(reader, wireType, codecs);
        break;
      default:
        reader.skip(wireType);
    }
  }
  assertCount(partitions.length);
  return ask;
}

function readFetchPartition(bytes: Uint8Array): FetchPartitionAsk {
  const ask: Mutable<FetchPartitionAsk> = { target: noTarget, fetchOffset: 0, maxBytes: 0, leaderEpoch: 0 };
  const reader = new WireReader(bytes);
  while (!reader.done) {
    const tag = reader.varint();
    const wireType = tag & 7;
    switch (tag >>> 3) {
      case 1:
        ask.target = readTopicPartition(reader, wireType);
        break;
      case 2:
        ask.fetchOffset = readUint53(reader, wireType, 'fetch_offset');
        break;
      case 4:
        ask.maxBytes = readUint32(reader, wireType, 'partition_max_bytes');
        break;
      case 5:
        ask.leaderEpoch = readUint32(reader, wireType, 'current_leader_epoch');
        break;
      default:
        reader.skip(wireType);
    }
  }
  return ask;
}

/** Packed or not, as protobuf allows both. */
function readCodecs(reader: WireReader, wireType: number, codecs: Set<number>): void {
  if (wireType !== wireBytes) {
    codecs.add(readUint32(reader, wireType, 'accepted_codecs'));
    return;
  }
  const packed = new WireReader(reader.view());
  while (!packed.done) codecs.add(packed.varint());
}

export interface FetchBatchRequest {
  readonly topics: readonly string[];
  readonly cursor: Uint8Array;
  readonly start: Position;
  readonly maxWaitMs: number;
  readonly minBytes: number;
  readonly maxBytes: number;
  readonly isolationLevel: number;
  readonly acceptedCodecs: ReadonlySet<number>;
}

const noBytes: Uint8Array = new Uint8Array(0);

export function decodeFetchBatch(bytes: Uint8Array, assertCount: AssertCount): FetchBatchRequest {
  const topics: string[] = [];
  const codecs = new Set<number>();
  const ask: Mutable<FetchBatchRequest> = {
    topics,
    cursor: noBytes,
    start: earliest,
    maxWaitMs: 0,
    minBytes: 0,
    maxBytes: 0,
    isolationLevel: 0,
    acceptedCodecs: codecs,
  };
  const reader = new WireReader(bytes);
  while (!reader.done) {
    const tag = reader.varint();
    const wireType = tag & 7;
    switch (tag >>> 3) {
      case 1:
        readVersion(reader, wireType);
        break;
      case 2:
        readText(reader, wireType, 'client_id', clientIdBytesMax);
        break;
      case 3:
        assertCount(topics.length + 1);
        topics.push(readText(reader, wireType, 'topics', 1_024));
        break;
      case 4:
        ask.cursor = readCursor(reader, wireType);
        break;
      case 5:
        ask.start = readPosition(readBytes(reader, wireType, 'start'));
        break;
      case 6:
        ask.maxWaitMs = readDurationMs(reader, wireType, 'max_wait');
        break;
      case 7:
        ask.minBytes = readUint32(reader, wireType, 'min_bytes');
        break;
      case 8:
        ask.maxBytes = readUint32(reader, wireType, 'max_bytes');
        break;
      case 9:
        ask.isolationLevel = readUint32(reader, wireType, 'isolation_level');
        break;
      case 10:
        readCodecs(reader, wireType, codecs);
        break;
      default:
        reader.skip(wireType);
    }
  }
  assertCount(topics.length);
  return ask;
}

export interface SubscribePartitionAsk {
  readonly target: TopicPartitionName;
  readonly start: Position;
}

export interface SubscribeRequest {
  readonly partitions: readonly SubscribePartitionAsk[];
  readonly cursor: Uint8Array;
  readonly isolationLevel: number;
  readonly acceptedCodecs: ReadonlySet<number>;
  readonly maxBytes: number;
  readonly heartbeatMs: number | undefined;
  readonly maxAgeMs: number | undefined;
  readonly groupId: string;
}

/** `assertCount` is asked only when no group is named. */
export function decodeSubscribe(bytes: Uint8Array, assertCount: AssertCount): SubscribeRequest {
  const partitions: SubscribePartitionAsk[] = [];
  const codecs = new Set<number>();
  const ask: Mutable<SubscribeRequest> = {
    partitions,
    cursor: noBytes,
    isolationLevel: 0,
    acceptedCodecs: codecs,
    maxBytes: 0,
    heartbeatMs: undefined,
    maxAgeMs: undefined,
    groupId: '',
  };
  const reader = new WireReader(bytes);
  while (!reader.done) {
    const tag = reader.varint();
    const wireType = tag & 7;
    switch (tag >>> 3) {
      case 1:
        readVersion(reader, wireType);
        break;
      case 2:
        readText(reader, wireType, 'client_id', clientIdBytesMax);
        break;
      case 3:
        assertCount(partitions.length + 1);
        partitions.push(readSubscribePartition(readBytes(reader, wireType, 'partitions')));
        break;
      case 4:
        ask.cursor = readCursor(reader, wireType);
        break;
      case 5:
        ask.isolationLevel = readUint32(reader, wireType, 'isolation_level');
        break;
      case 6:
        readCodecs(reader, wireType, codecs);
        break;
      case 7:
        ask.maxBytes = readUint32(reader, wireType, 'max_bytes');
        break;
      case 8:
        ask.heartbeatMs = readDurationMs(reader, wireType, 'heartbeat_interval');
        break;
      case 9:
        ask.maxAgeMs = readDurationMs(reader, wireType, 'max_age');
        break;
      case 10:
        ask.groupId = readText(reader, wireType, 'group_id', 1_024);
        break;
      default:
        reader.skip(wireType);
    }
  }
  if (ask.groupId === '') assertCount(partitions.length);
  return ask;
}

function readSubscribePartition(bytes: Uint8Array): SubscribePartitionAsk {
  const reader = new WireReader(bytes);
  let target = noTarget;
  let start = earliest;
  while (!reader.done) {
    const tag = reader.varint();
    if (tag >>> 3 === 1) target = readTopicPartition(reader, tag & 7);
    else if (tag >>> 3 === 2) start = readPosition(readBytes(reader, tag & 7, 'start'));
    else reader.skip(tag & 7);
  }
  return { target, start };
}

/** StartPosition. */
function readPosition(bytes: Uint8Array): Position {
  const reader = new WireReader(bytes);
  let position = earliest;
  while (!reader.done) {
    const tag = reader.varint();
    const wireType = tag & 7;
    if (tag >>> 3 === 1) position = { kind: 'offset', offset: readUint53(reader, wireType, 'offset') };
    else if (tag >>> 3 === 2) {
      position = { kind: 'time', timestampMs: readTimestampMs(readBytes(reader, wireType, 'timestamp'), 'timestamp') };
    } else if (tag >>> 3 === 3) {
      position = readUint32(reader, wireType, 'boundary') === 2 ? { kind: 'latest' } : earliest;
    } else reader.skip(wireType);
  }
  return position;
}

function readCursor(reader: WireReader, wireType: number): Uint8Array {
  const cursor = readBytes(reader, wireType, 'cursor');
  if (cursor.length <= cursorBytesMax) return cursor;
  throw new DomainError('INVALID_REQUEST', `cursor of ${cursor.length} bytes is over ${cursorBytesMax}`);
}

/** What one partition answers. */
export interface PartitionAnswer {
  readonly target: TopicPartitionName;
  readonly error: DomainError | undefined;
  readonly highWatermark: number;
  readonly logStartOffset: number;
  readonly leaderEpoch: number;
  readonly nextOffset: number;
  /** Frames as stored; empty: none. */
  readonly batches: Uint8Array;
}

const partitionsTag = fieldTag(3, wireBytes);

/** FetchResponse or FetchBatchResponse: the two have the same fields. `cursor` is left out when it is undefined. */
export function encodeFetchAnswer(partitions: readonly PartitionAnswer[], cursor?: Uint8Array): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let small: WireWriter | undefined;
  for (const partition of partitions) {
    const header = encodePartitionHeader(partition);
    small ??= new WireWriter(256);
    small
      .varint(partitionsTag)
      .varint(header.length + partition.batches.length)
      .raw(header);
    if (partition.batches.length === 0) continue;
    pieces.push(small.finish(), partition.batches);
    small = undefined;
  }
  if (cursor !== undefined) {
    small ??= new WireWriter(cursor.length + 8);
    small.bytesField(4, cursor);
  }
  if (small !== undefined) pieces.push(small.finish());
  return pieces;
}

/** Everything of FetchPartitionResponse but the batches. */
function encodePartitionHeader(partition: PartitionAnswer): Uint8Array {
  const { target, error } = partition;
  const writer = new WireWriter(128);
  writer.bytesField(1, encodeTopicPartition(target));
  if (error !== undefined) writeError(writer, error, { code: 2, message: 7, hint: 8 });
  writer.varintField(3, partition.highWatermark);
  writer.varintField(4, partition.highWatermark);
  writer.varintField(5, partition.logStartOffset);
  writer.varintField(9, partition.leaderEpoch);
  return writer.varintField(10, partition.nextOffset).finish();
}

/** Bytes that a partition costs in an answer beside its batches; a little more than it really is. */
export function partitionOverhead(target: TopicPartitionName): number {
  return target.topic.length + 64;
}
