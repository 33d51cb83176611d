/**
 * Partitions to bytes without a message each: they are most of every snapshot, and of the news when a broker comes or goes. The
 * bytes are those that protobuf makes of `partitionStateMessage`; a partition that moves or has eligible replicas, which is rare,
 * goes that way itself.
 */
import { toBinary } from '@bufbuild/protobuf';
import { PartitionStateSchema } from '@fleetmq/gen/controller/metadata_log';
import type { PartitionImage } from '@fleetmq/metadata';
import { type BrokerId, type TopicId, varintSize, type WireWriter } from '@fleetmq/shared';
import { partitionStateMessage } from './values.ts';

/** Partitions of a topic follow each other: the bytes of its id are made once. */
export class PartitionWriter {
  readonly #writer: WireWriter;
  #topicId: TopicId | undefined;
  #topicIdBytes: Uint8Array = new Uint8Array(0);

  constructor(writer: WireWriter) {
    this.#writer = writer;
  }

  /** A field of type PartitionState. */
  writeField(field: number, partition: PartitionImage): void {
    const writer = this.#writer;
    if (!isPlain(partition)) {
      writer.bytesField(field, toBinary(PartitionStateSchema, partitionStateMessage(partition)));
      return;
    }
    const innerBytes = sizeOf(partition);
    writer.bytesHeader(field, this.#stateSize(partition.topicId, innerBytes));
    writer.bytesField(1, this.#topicIdBytes).bytesHeader(2, innerBytes);
    writer.varintField(1, partition.partition).varintField(2, partition.leaderId);
    writer.varintField(3, partition.leaderEpoch);
    writeIds(writer, 4, partition.replicas);
    writeIds(writer, 5, partition.inSyncReplicas);
    writer.varintField(6, partition.partitionEpoch);
  }

  /** A field of type MetadataEvent: the partition has changed. */
  writeEventField(field: number, partition: PartitionImage): void {
    if (!isPlain(partition)) {
      const state = toBinary(PartitionStateSchema, partitionStateMessage(partition));
      this.#writer.bytesHeader(field, headerSize(state.length) + state.length).bytesField(partitionChanged, state);
      return;
    }
    const stateBytes = this.#stateSize(partition.topicId, sizeOf(partition));
    this.#writer.bytesHeader(field, headerSize(stateBytes) + stateBytes);
    this.writeField(partitionChanged, partition);
  }

  #stateSize(topicId: TopicId, innerBytes: number): number {
    if (topicId !== this.#topicId) {
      this.#topicId = topicId;
      // Hexadecimal digits.
      this.#topicIdBytes = Uint8Array.from(topicId, (digit) => digit.charCodeAt(0));
    }
    const { length } = this.#topicIdBytes;
    return headerSize(length) + length + headerSize(innerBytes) + innerBytes;
  }
}

/** Number of the field in MetadataEvent. */
const partitionChanged = 5;

function isPlain({ move, eligibleReplicas }: PartitionImage): boolean {
  return move === undefined && eligibleReplicas === undefined;
}

/** Of PartitionMetadata. */
function sizeOf(partition: PartitionImage): number {
  const { leaderId, leaderEpoch, replicas, inSyncReplicas, partitionEpoch } = partition;
  return (
    numberSize(partition.partition) +
    numberSize(leaderId) +
    numberSize(leaderEpoch) +
    idsSize(replicas) +
    idsSize(inSyncReplicas) +
    numberSize(partitionEpoch)
  );
}

/** Tag and length of a field with a number below 16. */
function headerSize(length: number): number {
  return 1 + varintSize(length);
}

function numberSize(value: number): number {
  return value === 0 ? 0 : 1 + varintSize(value);
}

function idsSize(ids: readonly BrokerId[]): number {
  const length = packedSize(ids);
  return length === 0 ? 0 : headerSize(length) + length;
}

function packedSize(ids: readonly BrokerId[]): number {
  let size = 0;
  for (const brokerId of ids) size += varintSize(brokerId);
  return size;
}

function writeIds(writer: WireWriter, field: number, ids: readonly BrokerId[]): void {
  if (ids.length === 0) return;
  writer.bytesHeader(field, packedSize(ids));
  for (const brokerId of ids) writer.varint(brokerId);
}
