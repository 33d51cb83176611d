/**
 * Subscribe as bytes. An answer is cut into its partitions and batches without a look at any record: a batch stays a view of
 * the received memory until its records are asked for. Unknown fields are stepped over.
 */
import { create, toBinary } from '@bufbuild/protobuf';
import { SubscribeRequestSchema } from '@fleetmq/gen/client/consumer';
import type { CompressionType } from '@fleetmq/gen/common/types';
import { WireReader, wireBytes } from '@fleetmq/shared';
import { toStartPosition } from '../offsets.ts';
import { toDuration } from '../rpc/errors.ts';

export interface SubscribeHead {
  readonly clientId: string;
  /** Of one answer, in bytes. */
  readonly maxBytes: number;
  readonly heartbeatMs: number;
  readonly maxAgeMs: number;
  /** Ids of the codecs that are read here. */
  readonly acceptedCodecs: readonly number[];
}

/** A SubscribeRequest. */
export function encodeSubscribe(
  head: SubscribeHead,
  partitions: readonly { readonly topic: string; readonly partition: number; readonly start: number }[],
): Uint8Array {
  const request = create(SubscribeRequestSchema, {
    clientId: head.clientId,
    maxBytes: head.maxBytes,
    heartbeatInterval: toDuration(head.heartbeatMs),
    maxAge: toDuration(head.maxAgeMs),
    acceptedCodecs: head.acceptedCodecs as CompressionType[],
    partitions: partitions.map(({ topic, partition, start }) => ({
      topicPartition: { topic, partition },
      start: toStartPosition(start),
    })),
  });
  return toBinary(SubscribeRequestSchema, request);
}

export interface FetchedPartition {
  topic: string;
  partition: number;
  errorCode: number;
  errorMessage: string;
  leaderHint: string;
  highWatermark: number;
  logStartOffset: number;
  /** 0 when the server did not say. */
  nextOffset: number;
  /** RecordBatch messages. */
  readonly batches: Uint8Array[];
}

export interface FetchedAnswer {
  errorCode: number;
  errorMessage: string;
  readonly partitions: FetchedPartition[];
}

const decoder = new TextDecoder();

/** A FetchResponse. INVALID_REQUEST when it is not protobuf. */
export function decodeFetchResponse(bytes: Uint8Array): FetchedAnswer {
  const answer: FetchedAnswer = { errorCode: 0, errorMessage: '', partitions: [] };
  const reader = new WireReader(bytes);
  while (!reader.done) {
    const tag = reader.varint();
    if (tag === 8) answer.errorCode = reader.varint();
    else if (tag === 18) answer.errorMessage = decoder.decode(reader.view());
    else if (tag === 26) answer.partitions.push(decodePartition(reader.view()));
    else reader.skip(tag & 7);
  }
  return answer;
}

/** Fields of FetchPartitionResponse. */
const field = {
  place: 1,
  errorCode: 2,
  highWatermark: 3,
  logStart: 5,
  batches: 6,
  errorMessage: 7,
  hint: 8,
  next: 10,
} as const;

function decodePartition(bytes: Uint8Array): FetchedPartition {
  const fetched: FetchedPartition = {
    topic: '',
    partition: 0,
    errorCode: 0,
    errorMessage: '',
    leaderHint: '',
    highWatermark: 0,
    logStartOffset: 0,
    nextOffset: 0,
    batches: [],
  };
  const reader = new WireReader(bytes);
  while (!reader.done) {
    const tag = reader.varint();
    const wireType = tag & 7;
    if (wireType === wireBytes) readBytesField(tag >>> 3, reader.view(), fetched);
    else if (wireType === 0) readNumberField(tag >>> 3, reader.varint(), fetched);
    else reader.skip(wireType);
  }
  return fetched;
}

function readBytesField(number: number, bytes: Uint8Array, fetched: FetchedPartition): void {
  if (number === field.batches) fetched.batches.push(bytes);
  else if (number === field.errorMessage) fetched.errorMessage = decoder.decode(bytes);
  else if (number === field.hint) fetched.leaderHint = decoder.decode(bytes);
  else if (number === field.place) {
    const place = new WireReader(bytes);
    while (!place.done) {
      const tag = place.varint();
      if (tag === 10) fetched.topic = decoder.decode(place.view());
      else if (tag === 16) fetched.partition = place.varint();
      else place.skip(tag & 7);
    }
  }
}

function readNumberField(number: number, value: number, fetched: FetchedPartition): void {
  if (number === field.errorCode) fetched.errorCode = value;
  else if (number === field.highWatermark) fetched.highWatermark = value;
  else if (number === field.logStart) fetched.logStartOffset = value;
  else if (number === field.next) fetched.nextOffset = value;
}
