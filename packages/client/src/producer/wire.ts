/**
 * ProduceBatch, and Produce on a stream, as bytes. Batches go into the request as pieces, uncopied; results are read with the generated message, since
 * there is one per batch and not one per record.
 */
import { fromBinary } from '@bufbuild/protobuf';
import { type ProduceBatchResponse, ProduceBatchResponseSchema } from '@fleetmq/gen/client/producer';
import { AcknowledgmentLevel } from '@fleetmq/gen/common/types';
import { DomainError, encodeMs, encodeTopicPartition, varintSize, WireWriter, writeText } from '@fleetmq/shared';

/** When a write counts as done. A number: durable on so many replicas, the leader among them. */
export type Acks = 'none' | 'leader' | 'majority' | 'all' | number;

const ackLevels = {
  none: AcknowledgmentLevel.ACK_NONE,
  leader: AcknowledgmentLevel.ACK_LEADER,
  majority: AcknowledgmentLevel.ACK_MAJORITY,
  all: AcknowledgmentLevel.ACK_ALL,
} as const;

/** INVALID_ACKS for what is no level. */
export function checkAcks(acks: Acks): void {
  const isCount = typeof acks === 'number' && Number.isInteger(acks) && acks >= 1;
  if (!isCount && !(typeof acks === 'string' && Object.hasOwn(ackLevels, acks))) {
    throw new DomainError(
      'INVALID_ACKS',
      `acks is ${acks}, expected none, leader, majority, all or a count of 1 or more`,
    );
  }
}

export interface ProducePart {
  readonly topic: string;
  readonly partition: number;
  /** The RecordBatch, as pieces. */
  readonly batch: readonly Uint8Array[];
}

export interface LoosePart {
  readonly topic: string;
  readonly partition: number;
  /** As `looseRecords` makes them. */
  readonly records: Uint8Array;
  readonly identity:
    | { readonly producerId: bigint; readonly producerEpoch: number; readonly baseSequence: number }
    | undefined;
}

export interface ProduceHead {
  readonly clientId: string;
  readonly acks: Acks;
  /** How long the server waits for acknowledgments, in milliseconds. */
  readonly timeoutMs: number;
}

/** A ProduceBatchRequest. */
export function encodeProduceBatch(head: ProduceHead, parts: readonly ProducePart[]): Uint8Array[] {
  const pieces = [encodeHead(head)];
  for (const { topic, partition, batch } of parts) {
    const place = encodeTopicPartition({ topic, partition });
    let batchLength = 0;
    for (const piece of batch) batchLength += piece.length;
    const length = 1 + varintSize(place.length) + place.length + 1 + varintSize(batchLength) + batchLength;
    const lead = new WireWriter(64 + place.length)
      .bytesHeader(3, length)
      .bytesField(1, place)
      .bytesHeader(2, batchLength);
    pieces.push(lead.finish(), ...batch);
  }
  return pieces;
}

/** A batch as a ProduceRequest: its records loose, its identity beside them. */
export function encodeProduce(
  head: ProduceHead,
  { topic, partition, records, identity, correlationId }: LoosePart & { readonly correlationId: number },
): Uint8Array[] {
  const { clientId, acks, timeoutMs } = head;
  const place = encodeTopicPartition({ topic, partition });
  const writer = writeText(new WireWriter(96 + place.length), 2, clientId)
    .bytesField(3, place)
    .varintField(5, ackLevel(acks))
    .varintField(6, customAckCount(acks))
    .bytesField(7, encodeMs(timeoutMs))
    .varintField(9, correlationId);
  if (identity !== undefined) {
    writer
      .varint64Field(10, identity.producerId)
      .varintField(11, identity.producerEpoch)
      .varintField(12, identity.baseSequence);
  }
  return [writer.finish(), records];
}

function ackLevel(acks: Acks): AcknowledgmentLevel {
  return typeof acks === 'number' ? AcknowledgmentLevel.ACK_CUSTOM : ackLevels[acks];
}

function customAckCount(acks: Acks): number {
  return typeof acks === 'number' ? acks : 0;
}

function encodeHead({ clientId, acks, timeoutMs }: ProduceHead): Uint8Array {
  return writeText(new WireWriter(64), 2, clientId)
    .varintField(4, ackLevel(acks))
    .bytesField(5, encodeMs(timeoutMs))
    .varintField(6, customAckCount(acks))
    .finish();
}

export function decodeProduceBatchResponse(bytes: Uint8Array): ProduceBatchResponse {
  return fromBinary(ProduceBatchResponseSchema, bytes);
}
