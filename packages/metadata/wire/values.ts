/**
 * Brokers, topics, partitions and cluster-wide values: `controller/metadata_log.proto` <-> image values, both ways. What
 * comes from the wire is checked for shape (ids in range, known enum values) and refused with INVALID_REQUEST; whether a
 * change is allowed is not decided here.
 */
import { create } from '@bufbuild/protobuf';
import {
  type Endpoint,
  EndpointSchema,
  type PartitionMetadata,
  PartitionMetadataSchema,
  BrokerState as ProtoState,
} from '@fleetmq/gen/common/metadata';
import {
  type BrokerState as BrokerMessage,
  BrokerStateSchema,
  type ClusterState,
  ClusterStateSchema,
  type PartitionState,
  PartitionStateSchema,
  type ReassignmentState,
  ReassignmentStateSchema,
  type TopicState,
  TopicStateSchema,
} from '@fleetmq/gen/controller/metadata_log';
import {
  addingReplicas,
  type BrokerImage,
  type BrokerState,
  type ClusterImage,
  type EndpointImage,
  type ListenerName,
  type PartitionImage,
  type PartitionMove,
  type ReassignmentImage,
  removingReplicas,
  type TopicImage,
} from '@fleetmq/metadata';
import {
  type BrokerEpoch,
  type BrokerId,
  DomainError,
  type LeaderEpoch,
  type MetadataVersion,
  type PartitionEpoch,
  type PartitionId,
  type TopicId,
  toSafeInteger,
} from '@fleetmq/shared';

const protoStates: Readonly<Record<BrokerState, ProtoState>> = {
  fenced: ProtoState.FENCED,
  active: ProtoState.ACTIVE,
  draining: ProtoState.DRAINING,
};
const states = new Map<ProtoState, BrokerState>(
  Object.entries(protoStates).map(([name, state]) => [state, name as BrokerState]),
);
const listenerNames: ReadonlySet<string> = new Set<ListenerName>(['client', 'internal', 'ops']);

export function brokerStateToProto(state: BrokerState): ProtoState {
  return protoStates[state];
}

export function brokerStateFromProto(state: ProtoState): BrokerState {
  const known = states.get(state);
  if (known === undefined) throw new DomainError('INVALID_REQUEST', `there is no broker state ${state}`);
  return known;
}

export function endpointToProto(endpoint: EndpointImage): Endpoint {
  return create(EndpointSchema, endpoint);
}

/** INVALID_REQUEST for an unknown listener, an empty host or a port outside 1 to 65535. */
export function endpointFromProto(endpoint: Endpoint): EndpointImage {
  const { listener, host, port, tls } = endpoint;
  if (!isListenerName(listener)) throw new DomainError('INVALID_REQUEST', `there is no listener "${listener}"`);
  if (host === '' || port < 1 || port > 65_535) {
    throw new DomainError(
      'INVALID_REQUEST',
      `the ${listener} listener's address "${host}:${port}" has no host or port`,
    );
  }
  return { listener, host, port, tls };
}

export function brokerStateMessage(broker: BrokerImage): BrokerMessage {
  return create(BrokerStateSchema, {
    brokerId: broker.brokerId,
    brokerEpoch: BigInt(broker.brokerEpoch),
    incarnationId: broker.incarnationId,
    rackId: broker.rackId,
    endpoints: broker.endpoints.map(endpointToProto),
    state: brokerStateToProto(broker.state),
    diskId: broker.diskId,
    features: Object.fromEntries(broker.features),
    cleanStart: broker.cleanStart ?? false,
    drained: broker.drained ?? false,
    stopping: broker.stopping ?? false,
  });
}

export function brokerFromMessage(message: BrokerMessage): BrokerImage {
  return {
    brokerId: brokerIdFromProto(message.brokerId),
    brokerEpoch: toSafeInteger<BrokerEpoch>(message.brokerEpoch, 'broker epoch'),
    incarnationId: message.incarnationId,
    rackId: message.rackId,
    endpoints: message.endpoints.map(endpointFromProto),
    state: brokerStateFromProto(message.state),
    diskId: message.diskId,
    features: new Map(Object.entries(message.features)),
    ...(message.cleanStart ? { cleanStart: true } : {}),
    ...(message.drained ? { drained: true } : {}),
    ...(message.stopping ? { stopping: true } : {}),
  };
}

/** A broker number of 1 to 2^31-1. INVALID_REQUEST for anything else. */
export function brokerIdFromProto(brokerId: number): BrokerId {
  if (brokerId < 1 || brokerId > 2 ** 31 - 1) {
    throw new DomainError('INVALID_REQUEST', `broker id ${brokerId} is outside 1..2^31-1`);
  }
  return brokerId as BrokerId;
}

export function topicStateMessage(topic: TopicImage): TopicState {
  return create(TopicStateSchema, { ...topic, config: Object.fromEntries(topic.config) });
}

export function topicFromMessage(message: TopicState): TopicImage {
  return {
    topicId: topicIdFromProto(message.topicId),
    name: message.name,
    config: new Map(Object.entries(message.config)),
    internal: message.internal,
    partitionCount: message.partitionCount,
  };
}

const topicIdGrammar = /^[0-9a-f]{32}$/;

/** 32 hexadecimal digits in lower case. INVALID_REQUEST for anything else. */
export function topicIdFromProto(topicId: string): TopicId {
  if (!topicIdGrammar.test(topicId)) {
    throw new DomainError('INVALID_REQUEST', `topic id "${topicId.slice(0, 64)}" is not 32 hexadecimal digits`);
  }
  return topicId as TopicId;
}

export function partitionToProto(partition: PartitionImage): PartitionMetadata {
  return create(PartitionMetadataSchema, {
    partition: partition.partition,
    leaderId: partition.leaderId,
    leaderEpoch: partition.leaderEpoch,
    replicas: [...partition.replicas],
    inSyncReplicas: [...partition.inSyncReplicas],
    partitionEpoch: partition.partitionEpoch,
    addingReplicas: [...addingReplicas(partition)],
    removingReplicas: [...removingReplicas(partition)],
    eligibleReplicas: [...(partition.eligibleReplicas ?? [])],
  });
}

export function partitionStateMessage(partition: PartitionImage): PartitionState {
  const { topicId, move } = partition;
  return create(PartitionStateSchema, {
    topicId,
    partition: partitionToProto(partition),
    ...(move === undefined ? {} : { move: moveToProto(move) }),
  });
}

function moveToProto({ reassignmentId, sourceReplicas, targetReplicas }: PartitionMove) {
  return { reassignmentId, sourceReplicas: [...sourceReplicas], targetReplicas: [...targetReplicas] };
}

export function partitionFromMessage(message: PartitionState): PartitionImage {
  const { partition, move } = message;
  if (partition === undefined) throw new DomainError('INVALID_REQUEST', 'a partition state has no partition');
  const replicas = partition.replicas.map(brokerIdFromProto);
  const inSyncReplicas = partition.inSyncReplicas.map(brokerIdFromProto);
  const isWhole = inSyncReplicas.length === replicas.length && inSyncReplicas.every((id, at) => id === replicas[at]);
  return {
    topicId: topicIdFromProto(message.topicId),
    partition: partition.partition as PartitionId,
    leaderId: partition.leaderId as BrokerId,
    leaderEpoch: partition.leaderEpoch as LeaderEpoch,
    replicas,
    // Mostly all are in sync: one array for both.
    inSyncReplicas: isWhole ? replicas : inSyncReplicas,
    partitionEpoch: partition.partitionEpoch as PartitionEpoch,
    ...(partition.eligibleReplicas.length === 0
      ? {}
      : { eligibleReplicas: partition.eligibleReplicas.map(brokerIdFromProto) }),
    ...(move === undefined ? {} : { move: moveFromProto(move) }),
  };
}

export function moveFromProto(message: NonNullable<PartitionState['move']>): PartitionMove {
  return {
    reassignmentId: message.reassignmentId,
    sourceReplicas: message.sourceReplicas.map(brokerIdFromProto),
    targetReplicas: message.targetReplicas.map(brokerIdFromProto),
  };
}

export function reassignmentStateMessage(reassignment: ReassignmentImage): ReassignmentState {
  const { startedAtMs, endedAtMs, bytesPerSecondMax = 0, ...rest } = reassignment;
  return create(ReassignmentStateSchema, {
    ...rest,
    bytesPerSecondMax: BigInt(bytesPerSecondMax),
    startedAtMs: BigInt(startedAtMs),
    endedAtMs: BigInt(endedAtMs),
  });
}

export function reassignmentFromMessage(message: ReassignmentState): ReassignmentImage {
  const { reassignmentId, totalPartitions, donePartitions, cancelledPartitions } = message;
  const bytesPerSecondMax = toSafeInteger<number>(message.bytesPerSecondMax, 'throttle of a reassignment');
  return {
    reassignmentId,
    startedAtMs: toSafeInteger<number>(message.startedAtMs, 'start of a reassignment'),
    totalPartitions,
    donePartitions,
    cancelledPartitions,
    endedAtMs: toSafeInteger<number>(message.endedAtMs, 'end of a reassignment'),
    ...(bytesPerSecondMax === 0 ? {} : { bytesPerSecondMax }),
  };
}

export function clusterStateMessage(cluster: ClusterImage): ClusterState {
  return create(ClusterStateSchema, {
    clusterId: cluster.clusterId,
    config: Object.fromEntries(cluster.config),
    nextProducerId: cluster.nextProducerId,
    features: Object.fromEntries(cluster.features),
    configVersion: BigInt(cluster.configVersion),
  });
}

export function clusterFromMessage(message: ClusterState): ClusterImage {
  return {
    clusterId: message.clusterId,
    config: new Map(Object.entries(message.config)),
    nextProducerId: message.nextProducerId,
    features: new Map(Object.entries(message.features)),
    configVersion: toSafeInteger<MetadataVersion>(message.configVersion, 'version of the settings'),
  };
}

function isListenerName(name: string): name is ListenerName {
  return listenerNames.has(name);
}
