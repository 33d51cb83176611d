/**
 * FetchRequest, FetchBatchRequest, SubscribeRequest and their answers (client/consumer.proto). An answer is a list of pieces:
 * small encoded headers, and between them the stored bytes of the log exactly as they were read. A stretch of log is a run of
 * `batches` entries of FetchPartitionResponse, so the pieces put one behind the other are the message.
 */
import {
  DomainError,
  encodeTopicPartition,
  type FieldTable,
  type Lease,
  noTopicPartition,
  property,
  readBytes,
  readDurationMs,
  readField,
  readFields,
  readMessage,
  readText,
  readTimestampMs,
  readTopicPartition,
  readUint32,
  readUint53,
  type TopicPartitionName,
  text,
  visitFields,
  WireReader,
  WireWriter,
  wireBytes,
  writeError,
} from '@fleetmq/shared';
import { headFields } from './head.ts';

const cursorBytesMax = 256 * 1024;
/** Of the name of a topic or a group: more than any may have, so that what is wrong with it is said further on. */
const nameBytesMax = 1_024;

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
  readonly acceptedCodecs: Set<number>;
}

type AssertCount = (count: number) => void;

/** A place in a partition; undefined: earliest. */
export type Position =
  | { readonly kind: 'offset'; readonly offset: number }
  | { readonly kind: 'time'; readonly timestampMs: number }
  | { readonly kind: 'earliest' }
  | { readonly kind: 'latest' };

export const earliest: Position = { kind: 'earliest' };

const fetchFields: FieldTable<FetchRequest> = {
  ...headFields,
  3: property('replicaId', 'replica_id', readUint32),
  4: property('maxWaitMs', 'max_wait', readDurationMs),
  5: property('minBytes', 'min_bytes', readUint32),
  6: property('maxBytes', 'max_bytes', readUint32),
  8: property('isolationLevel', 'isolation_level', readUint32),
  9: (reader, { acceptedCodecs }) => readCodecs(reader, acceptedCodecs),
};

export function decodeFetch(bytes: Uint8Array, assertCount: AssertCount): FetchRequest {
  const partitions: FetchPartitionAsk[] = [];
  const ask: FetchRequest = {
    replicaId: 0,
    maxWaitMs: 0,
    minBytes: 0,
    maxBytes: 0,
    partitions,
    isolationLevel: 0,
    acceptedCodecs: new Set(),
  };
  const reader = new WireReader(bytes);
  while (!reader.done) {
    const field = reader.next();
    if (field === 7) {
      assertCount(partitions.length + 1);
      partitions.push(readFetchPartition(reader));
    } else readField(reader, field, fetchFields, ask);
  }
  assertCount(partitions.length);
  return ask;
}

const fetchPartitionFields: FieldTable<FetchPartitionAsk> = {
  1: property('target', 'topic_partition', readTopicPartition),
  2: property('fetchOffset', 'fetch_offset', readUint53),
  4: property('maxBytes', 'partition_max_bytes', readUint32),
  5: property('leaderEpoch', 'current_leader_epoch', readUint32),
};

function readFetchPartition(reader: WireReader): FetchPartitionAsk {
  const ask: FetchPartitionAsk = { target: noTopicPartition, fetchOffset: 0, maxBytes: 0, leaderEpoch: 0 };
  return readFields(readMessage(reader, 'partitions'), fetchPartitionFields, ask);
}

/** Packed or not, as protobuf allows both. */
function readCodecs(reader: WireReader, codecs: Set<number>): void {
  if (reader.wireType !== wireBytes) {
    codecs.add(readUint32(reader, 'accepted_codecs'));
    return;
  }
  const packed = reader.message();
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
  readonly acceptedCodecs: Set<number>;
}

const noBytes: Uint8Array = new Uint8Array(0);

const fetchBatchFields: FieldTable<FetchBatchRequest> = {
  ...headFields,
  4: property('cursor', 'cursor', readCursor),
  5: property('start', 'start', readPosition),
  6: property('maxWaitMs', 'max_wait', readDurationMs),
  7: property('minBytes', 'min_bytes', readUint32),
  8: property('maxBytes', 'max_bytes', readUint32),
  9: property('isolationLevel', 'isolation_level', readUint32),
  10: (reader, { acceptedCodecs }) => readCodecs(reader, acceptedCodecs),
};

export function decodeFetchBatch(bytes: Uint8Array, assertCount: AssertCount): FetchBatchRequest {
  const topics: string[] = [];
  const ask: FetchBatchRequest = {
    topics,
    cursor: noBytes,
    start: earliest,
    maxWaitMs: 0,
    minBytes: 0,
    maxBytes: 0,
    isolationLevel: 0,
    acceptedCodecs: new Set(),
  };
  const reader = new WireReader(bytes);
  while (!reader.done) {
    const field = reader.next();
    if (field === 3) {
      assertCount(topics.length + 1);
      topics.push(readText(reader, 'topics', nameBytesMax));
    } else readField(reader, field, fetchBatchFields, ask);
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
  readonly acceptedCodecs: Set<number>;
  readonly maxBytes: number;
  readonly heartbeatMs: number | undefined;
  readonly maxAgeMs: number | undefined;
  readonly groupId: string;
}

const subscribeFields: FieldTable<SubscribeRequest> = {
  ...headFields,
  4: property('cursor', 'cursor', readCursor),
  5: property('isolationLevel', 'isolation_level', readUint32),
  6: (reader, { acceptedCodecs }) => readCodecs(reader, acceptedCodecs),
  7: property('maxBytes', 'max_bytes', readUint32),
  8: property('heartbeatMs', 'heartbeat_interval', readDurationMs),
  9: property('maxAgeMs', 'max_age', readDurationMs),
  10: property('groupId', 'group_id', text(nameBytesMax)),
};

/** `assertCount` is asked only when no group is named. */
export function decodeSubscribe(bytes: Uint8Array, assertCount: AssertCount): SubscribeRequest {
  const partitions: SubscribePartitionAsk[] = [];
  const ask: SubscribeRequest = {
    partitions,
    cursor: noBytes,
    isolationLevel: 0,
    acceptedCodecs: new Set(),
    maxBytes: 0,
    heartbeatMs: undefined,
    maxAgeMs: undefined,
    groupId: '',
  };
  const reader = new WireReader(bytes);
  while (!reader.done) {
    const field = reader.next();
    if (field === 3) {
      assertCount(partitions.length + 1);
      partitions.push(readSubscribePartition(reader));
    } else readField(reader, field, subscribeFields, ask);
  }
  if (ask.groupId === '') assertCount(partitions.length);
  return ask;
}

const subscribePartitionFields: FieldTable<SubscribePartitionAsk> = {
  1: property('target', 'topic_partition', readTopicPartition),
  2: property('start', 'start', readPosition),
};

function readSubscribePartition(reader: WireReader): SubscribePartitionAsk {
  const ask: SubscribePartitionAsk = { target: noTopicPartition, start: earliest };
  return readFields(readMessage(reader, 'partitions'), subscribePartitionFields, ask);
}

/** StartPosition. */
function readPosition(reader: WireReader, name: string): Position {
  let position = earliest;
  visitFields(readMessage(reader, name), (field, value) => {
    if (field === 1) position = { kind: 'offset', offset: readUint53(value, 'offset') };
    else if (field === 2) position = { kind: 'time', timestampMs: readTimestampMs(value, 'timestamp') };
    else if (field === 3) position = readUint32(value, 'boundary') === 2 ? { kind: 'latest' } : earliest;
  });
  return position;
}

function readCursor(reader: WireReader, name: string): Uint8Array {
  const cursor = readBytes(reader, name);
  if (cursor.length <= cursorBytesMax) return cursor;
  throw new DomainError('INVALID_REQUEST', `${name} of ${cursor.length} bytes is over ${cursorBytesMax}`);
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
  /** A use of the memory of `batches`. */
  readonly lease?: Lease | undefined;
}

/** Lets go of what the answers use. */
export function releaseAnswers(answers: readonly PartitionAnswer[]): void {
  for (const { lease } of answers) lease?.release();
}

/** The answer as it is sent: the memory of its batches is let go when they have left. See `encodeFetchAnswer`. */
export function fetchMessage(answers: readonly PartitionAnswer[], cursor?: Uint8Array) {
  return { pieces: encodeFetchAnswer(answers, cursor), release: () => releaseAnswers(answers) };
}

/** FetchResponse or FetchBatchResponse: the two have the same fields. `cursor` is left out when it is undefined. */
export function encodeFetchAnswer(partitions: readonly PartitionAnswer[], cursor?: Uint8Array): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let small: WireWriter | undefined;
  for (const partition of partitions) {
    const header = encodePartitionHeader(partition);
    small ??= new WireWriter(256);
    small.bytesHeader(3, header.length + partition.batches.length).raw(header);
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
