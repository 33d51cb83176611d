/**
 * Events and snapshots of the metadata log: proto <-> image, both ways. An event that this version does not know is
 * refused with UNSUPPORTED_VERSION: to skip it would leave an image that silently differs from everybody else's.
 */
import { create } from '@bufbuild/protobuf';
import {
  type MetadataEvent as EventMessage,
  MetadataEventSchema,
  type MetadataSnapshot,
  MetadataSnapshotSchema,
} from '@fleetmq/gen/controller/metadata_log';
import { emptyCluster, type MetadataEvent, type MetadataSnapshotImage } from '@fleetmq/metadata';
import { DomainError, type MetadataVersion, toSafeInteger, unreachable } from '@fleetmq/shared';
import {
  brokerFromMessage,
  brokerIdFromProto,
  brokerStateMessage,
  clusterFromMessage,
  clusterStateMessage,
  partitionFromMessage,
  partitionStateMessage,
  reassignmentFromMessage,
  reassignmentStateMessage,
  topicFromMessage,
  topicIdFromProto,
  topicStateMessage,
} from './values.ts';

export function eventToProto(event: MetadataEvent): EventMessage {
  return create(MetadataEventSchema, { event: eventCase(event) });
}

function eventCase(event: MetadataEvent): EventMessage['event'] {
  switch (event.kind) {
    case 'broker-changed':
      return { case: 'brokerChanged', value: brokerStateMessage(event.broker) };
    case 'broker-removed':
      return { case: 'brokerRemoved', value: event.brokerId };
    case 'topic-changed':
      return { case: 'topicChanged', value: topicStateMessage(event.topic) };
    case 'topic-removed':
      return { case: 'topicRemoved', value: event.topicId };
    case 'partition-changed':
      return { case: 'partitionChanged', value: partitionStateMessage(event.partition) };
    case 'cluster-changed':
      return { case: 'clusterChanged', value: clusterStateMessage(event.cluster) };
    case 'reassignment-changed':
      return { case: 'reassignmentChanged', value: reassignmentStateMessage(event.reassignment) };
    case 'reassignment-removed':
      return { case: 'reassignmentRemoved', value: event.reassignmentId };
    default:
      return unreachable(event);
  }
}

/** UNSUPPORTED_VERSION for an unknown event, INVALID_REQUEST for a malformed value. */
export function eventFromProto(message: EventMessage): MetadataEvent {
  const { event } = message;
  switch (event.case) {
    case 'brokerChanged':
      return { kind: 'broker-changed', broker: brokerFromMessage(event.value) };
    case 'brokerRemoved':
      return { kind: 'broker-removed', brokerId: brokerIdFromProto(event.value) };
    case 'topicChanged':
      return { kind: 'topic-changed', topic: topicFromMessage(event.value) };
    case 'topicRemoved':
      return { kind: 'topic-removed', topicId: topicIdFromProto(event.value) };
    case 'partitionChanged':
      return { kind: 'partition-changed', partition: partitionFromMessage(event.value) };
    case 'clusterChanged':
      return { kind: 'cluster-changed', cluster: clusterFromMessage(event.value) };
    case 'reassignmentChanged':
      return { kind: 'reassignment-changed', reassignment: reassignmentFromMessage(event.value) };
    case 'reassignmentRemoved':
      return { kind: 'reassignment-removed', reassignmentId: event.value };
    case undefined:
      throw new DomainError(
        'UNSUPPORTED_VERSION',
        'the metadata has an event of a kind that this version does not know',
      );
    default:
      return unreachable(event);
  }
}

export function snapshotToProto(snapshot: MetadataSnapshotImage): MetadataSnapshot {
  return create(MetadataSnapshotSchema, {
    version: BigInt(snapshot.version),
    cluster: clusterStateMessage(snapshot.cluster),
    brokers: snapshot.brokers.map(brokerStateMessage),
    topics: snapshot.topics.map(topicStateMessage),
    partitions: snapshot.partitions.map(partitionStateMessage),
    reassignments: snapshot.reassignments.map(reassignmentStateMessage),
  });
}

export function snapshotFromProto(message: MetadataSnapshot): MetadataSnapshotImage {
  return {
    version: toSafeInteger<MetadataVersion>(message.version, 'metadata version'),
    cluster: message.cluster === undefined ? emptyCluster : clusterFromMessage(message.cluster),
    brokers: message.brokers.map(brokerFromMessage),
    topics: message.topics.map(topicFromMessage),
    partitions: message.partitions.map(partitionFromMessage),
    reassignments: message.reassignments.map(reassignmentFromMessage),
  };
}
