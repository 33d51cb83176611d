/**
 * Snapshots from their bytes. Partitions are most of one: they are read field by field, without a message each, and what many
 * of them have in common (the topic's id, the brokers) is there once. Everything else goes the way of messages.
 * The values are those of `snapshotFromProto`, and so is what is refused.
 */
import { fromBinary } from '@bufbuild/protobuf';
import {
  type MetadataSnapshot,
  MetadataSnapshotSchema,
  PartitionMoveSchema,
} from '@fleetmq/gen/controller/metadata_log';
import type { MetadataSnapshotImage, PartitionImage, PartitionMove } from '@fleetmq/metadata';
import {
  type BrokerId,
  DomainError,
  type FieldTable,
  type LeaderEpoch,
  type PartitionEpoch,
  type PartitionId,
  property,
  readBytes,
  readFields,
  readMessage,
  readUint32,
  type TopicId,
  visitFields,
  WireReader,
  WireWriter,
} from '@fleetmq/shared';
import { snapshotFromProto } from './log.ts';
import { brokerIdFromProto, moveFromProto, topicIdFromProto } from './values.ts';

const partitionsField = 5;
/** So many bytes make a number that is exact. */
const sharedBytesMax = 6;
const noBytes: Uint8Array = new Uint8Array(0);

export interface DecodedSnapshot {
  readonly snapshot: MetadataSnapshotImage;
  /** As it came, but for the partitions. */
  readonly message: MetadataSnapshot;
}

/** INVALID_REQUEST for bytes that are no snapshot. */
export function decodeSnapshot(bytes: Uint8Array): DecodedSnapshot {
  const partitions: PartitionImage[] = [];
  const shared = new Shared();
  const rest = new WireWriter(64 * 1024);
  visitFields(new WireReader(bytes), (field, reader, start) => {
    if (field === partitionsField) {
      partitions.push(readPartition(readMessage(reader, 'partitions'), shared));
      return;
    }
    reader.skip(reader.wireType);
    rest.raw(bytes.subarray(start, reader.position));
  });
  const message = fromBinary(MetadataSnapshotSchema, rest.finish());
  return { message, snapshot: { ...snapshotFromProto(message), partitions } };
}

/** What one snapshot has many times. */
class Shared {
  /** By their bytes, read as one number. */
  readonly #replicas = new Map<number, readonly BrokerId[]>();
  #topicIdBytes: Uint8Array | undefined;
  #topicId = '' as TopicId;

  /** Partitions of a topic follow each other. */
  topicId(bytes: Uint8Array): TopicId {
    if (this.#topicIdBytes === undefined || !equalBytes(bytes, this.#topicIdBytes)) {
      this.#topicId = topicIdFromProto(String.fromCharCode(...bytes.subarray(0, 64)));
      this.#topicIdBytes = bytes;
    }
    return this.#topicId;
  }

  replicas(bytes: Uint8Array): readonly BrokerId[] {
    if (bytes.length > sharedBytesMax) return readReplicas(bytes);
    let key = 1;
    for (const byte of bytes) key = key * 256 + byte;
    let replicas = this.#replicas.get(key);
    if (replicas === undefined) {
      replicas = readReplicas(bytes);
      this.#replicas.set(key, replicas);
    }
    return replicas;
  }
}

function readReplicas(bytes: Uint8Array): readonly BrokerId[] {
  const replicas: BrokerId[] = [];
  for (const reader = new WireReader(bytes); !reader.done; ) replicas.push(brokerIdFromProto(reader.varint()));
  return replicas;
}

interface PartitionFields {
  partition: number;
  leaderId: number;
  leaderEpoch: number;
  replicas: Uint8Array;
  inSyncReplicas: Uint8Array;
  partitionEpoch: number;
  eligibleReplicas: Uint8Array;
}

/** PartitionMetadata. What a move adds and removes is in the move itself. */
const partitionFields: FieldTable<PartitionFields> = {
  1: property('partition', 'partition', readUint32),
  2: property('leaderId', 'leader_id', readUint32),
  3: property('leaderEpoch', 'leader_epoch', readUint32),
  4: property('replicas', 'replicas', readBytes),
  5: property('inSyncReplicas', 'in_sync_replicas', readBytes),
  6: property('partitionEpoch', 'partition_epoch', readUint32),
  9: property('eligibleReplicas', 'eligible_replicas', readBytes),
};

function readPartition(state: WireReader, shared: Shared): PartitionImage {
  let topicId: Uint8Array = noBytes;
  let fields: PartitionFields | undefined;
  let move: PartitionMove | undefined;
  while (!state.done) {
    const field = state.next();
    if (field === 1) topicId = readBytes(state, 'topic_id');
    else if (field === 2) fields = readFields(readMessage(state, 'partition'), partitionFields, noPartition());
    else if (field === 3) move = moveFromProto(fromBinary(PartitionMoveSchema, readBytes(state, 'move')));
    else state.skip(state.wireType);
  }
  if (fields === undefined) throw new DomainError('INVALID_REQUEST', 'a partition state has no partition');
  return {
    topicId: shared.topicId(topicId),
    partition: fields.partition as PartitionId,
    leaderId: fields.leaderId as BrokerId,
    leaderEpoch: fields.leaderEpoch as LeaderEpoch,
    replicas: shared.replicas(fields.replicas),
    inSyncReplicas: shared.replicas(fields.inSyncReplicas),
    partitionEpoch: fields.partitionEpoch as PartitionEpoch,
    ...(fields.eligibleReplicas.length === 0 ? {} : { eligibleReplicas: shared.replicas(fields.eligibleReplicas) }),
    ...(move === undefined ? {} : { move }),
  };
}

function noPartition(): PartitionFields {
  return {
    partition: 0,
    leaderId: 0,
    leaderEpoch: 0,
    replicas: noBytes,
    inSyncReplicas: noBytes,
    partitionEpoch: 0,
    eligibleReplicas: noBytes,
  };
}

function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  if (left.length !== right.length) return false;
  for (let position = 0; position < left.length; position++) if (left[position] !== right[position]) return false;
  return true;
}
