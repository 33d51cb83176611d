/**
 * Commands of the metadata log: `MetadataCommand` of the contract <-> values, both ways, and their bytes in log entries.
 * Equal commands have equal bytes (map entries are sorted). A command that this version does not know is refused with
 * UNSUPPORTED_VERSION: to skip it would make this node's metadata differ from everybody else's.
 */
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import {
  type ChangeIsrCommand,
  type MetadataCommand as CommandMessage,
  type ElectLeaderCommand,
  MetadataCommandSchema,
  type ProvenReplica as ProvenReplicaMessage,
  type RegisterBrokerCommand,
  type ReplicaMove as ReplicaMoveMessage,
} from '@fleetmq/gen/controller/metadata_log';
import { compareText } from '@fleetmq/metadata';
import { brokerIdFromProto, endpointFromProto, endpointToProto, topicIdFromProto } from '@fleetmq/metadata/wire';
import {
  type BrokerEpoch,
  DomainError,
  type LeaderEpoch,
  type MetadataVersion,
  type PartitionEpoch,
  type PartitionId,
  toSafeInteger,
  unreachable,
} from '@fleetmq/shared';
import type {
  Assignment,
  BrokerLife,
  ChangeIsr,
  DrainBroker,
  ElectLeader,
  MetadataCommand,
  ProvenReplica,
  RegisterBroker,
  ReplicaMove,
  StartReassignment,
} from '../domain/commands.ts';

type CommandCase = NonNullable<MessageInitShape<typeof MetadataCommandSchema>['command']>;

export function encodeCommand(command: MetadataCommand): Uint8Array {
  return toBinary(MetadataCommandSchema, create(MetadataCommandSchema, { command: commandCase(command) }));
}

/** UNSUPPORTED_VERSION, INVALID_REQUEST. */
export function decodeCommand(bytes: Uint8Array): MetadataCommand {
  return commandFromProto(fromBinary(MetadataCommandSchema, bytes));
}

function commandCase(command: MetadataCommand): CommandCase {
  switch (command.kind) {
    case 'register-broker': {
      const { endpoints, features, ...rest } = command;
      const value = { ...rest, endpoints: endpoints.map(endpointToProto), features: toObject(features) };
      return { case: 'registerBroker', value };
    }
    case 'fence-broker':
      return { case: 'fenceBroker', value: lifeToProto(command) };
    case 'unfence-broker':
      return { case: 'unfenceBroker', value: { ...lifeToProto(command), cancelDrain: command.cancelDrain ?? false } };
    case 'unregister-broker':
      return { case: 'unregisterBroker', value: { brokerId: command.brokerId } };
    case 'drain-broker':
      return { case: 'drainBroker', value: drainToProto(command) };
    case 'create-topic': {
      const { name, topicId, config, internal } = command;
      const assignments = command.assignments.map(assignmentToProto);
      return { case: 'createTopic', value: { name, topicId, assignments, config: toObject(config), internal } };
    }
    case 'delete-topic':
      return { case: 'deleteTopic', value: { topicId: command.topicId } };
    case 'add-partitions': {
      const { topicId, currentCount } = command;
      const assignments = command.assignments.map(assignmentToProto);
      return { case: 'addPartitions', value: { topicId, currentCount, assignments } };
    }
    case 'alter-config': {
      const { topicId = '', set, expectedVersion = 0 } = command;
      const remove = [...command.remove].sort(compareText);
      const value = { topicId, set: toObject(set), remove, expectedVersion: BigInt(expectedVersion) };
      return { case: 'alterConfig', value };
    }
    case 'change-isr': {
      const { topicId, partition, leaderEpoch, partitionEpoch } = command;
      const inSyncReplicas = command.inSyncReplicas.map(lifeToProto);
      const compare = { topicId, partition, leaderEpoch, partitionEpoch };
      return { case: 'changeIsr', value: { ...lifeToProto(command), ...compare, inSyncReplicas } };
    }
    case 'elect-leader': {
      const { topicId, partition, targetId, leaderEpoch = 0 } = command;
      return { case: 'electLeader', value: { topicId, partition, targetId, leaderEpoch } };
    }
    case 'allocate-producer-ids':
      return { case: 'allocateProducerIds', value: { ...lifeToProto(command), count: command.count } };
    case 'set-cluster-id':
      return {
        case: 'setClusterId',
        value: { clusterId: command.clusterId, features: toObject(command.features) },
      };
    case 'start-reassignment': {
      const { reassignmentId, moves, bytesPerSecondMax = 0 } = command;
      const value = { reassignmentId, moves: moves.map(moveToProto), bytesPerSecondMax: BigInt(bytesPerSecondMax) };
      return { case: 'startReassignment', value };
    }
    case 'cancel-reassignment':
      return { case: 'cancelReassignment', value: { reassignmentId: command.reassignmentId } };
    case 'elect-proven': {
      const replicas = command.replicas.map(({ topicId, partition, leaderEpoch, ...life }) => ({
        ...{ topicId, partition, leaderEpoch },
        ...lifeToProto(life),
      }));
      return { case: 'electProven', value: { replicas } };
    }
    case 'fail-replica': {
      const { topicId, partition } = command;
      return { case: 'failReplica', value: { ...lifeToProto(command), topicId, partition } };
    }
    case 'set-features':
      return { case: 'setFeatures', value: { levels: toObject(command.levels) } };
    default:
      return unreachable(command);
  }
}

function commandFromProto(message: CommandMessage): MetadataCommand {
  const { command } = message;
  switch (command.case) {
    case 'registerBroker':
      return registerFromProto(command.value);
    case 'fenceBroker':
      return { kind: 'fence-broker', ...lifeFromProto(command.value) };
    case 'unfenceBroker':
      return {
        kind: 'unfence-broker',
        ...lifeFromProto(command.value),
        ...(command.value.cancelDrain ? { cancelDrain: true } : {}),
      };
    case 'unregisterBroker':
      return { kind: 'unregister-broker', brokerId: brokerIdFromProto(command.value.brokerId) };
    case 'drainBroker':
      return {
        kind: 'drain-broker',
        ...lifeFromProto(command.value),
        ...(command.value.stopping ? { stopping: true } : {}),
        ...(command.value.keep ? { keep: true } : {}),
      };
    case 'createTopic': {
      const { name, assignments, config, internal } = command.value;
      const topicId = topicIdFromProto(command.value.topicId);
      const replicas = assignments.map(assignmentFromProto);
      return { kind: 'create-topic', name, topicId, assignments: replicas, config: toMap(config), internal };
    }
    case 'deleteTopic':
      return { kind: 'delete-topic', topicId: topicIdFromProto(command.value.topicId) };
    case 'addPartitions': {
      const { currentCount, assignments } = command.value;
      const topicId = topicIdFromProto(command.value.topicId);
      return { kind: 'add-partitions', topicId, currentCount, assignments: assignments.map(assignmentFromProto) };
    }
    case 'alterConfig': {
      const { topicId, set, remove } = command.value;
      const target = topicId === '' ? undefined : topicIdFromProto(topicId);
      const expectedVersion = versionFromProto(command.value.expectedVersion);
      return { kind: 'alter-config', topicId: target, set: toMap(set), remove, expectedVersion };
    }
    case 'changeIsr':
      return changeIsrFromProto(command.value);
    case 'electLeader':
      return electFromProto(command.value);
    case 'allocateProducerIds':
      return { kind: 'allocate-producer-ids', ...lifeFromProto(command.value), count: command.value.count };
    case 'setClusterId':
      return {
        kind: 'set-cluster-id',
        clusterId: command.value.clusterId,
        features: toMap(command.value.features),
      };
    case 'startReassignment': {
      const { reassignmentId, moves, bytesPerSecondMax } = command.value;
      const throttle = throttleFromProto(bytesPerSecondMax);
      return { kind: 'start-reassignment', reassignmentId, moves: moves.map(moveFromProto), ...throttle };
    }
    case 'cancelReassignment':
      return { kind: 'cancel-reassignment', reassignmentId: command.value.reassignmentId };
    case 'electProven':
      return { kind: 'elect-proven', replicas: command.value.replicas.map(provenFromProto) };
    case 'failReplica': {
      const topicId = topicIdFromProto(command.value.topicId);
      const partition = command.value.partition as PartitionId;
      return { kind: 'fail-replica', ...lifeFromProto(command.value), topicId, partition };
    }
    case 'setFeatures':
      return { kind: 'set-features', levels: toMap(command.value.levels) };
    case undefined:
      throw new DomainError(
        'UNSUPPORTED_VERSION',
        'the metadata log has a command that this version does not know: upgrade this controller',
      );
    default:
      return unreachable(command);
  }
}

function drainToProto(command: DrainBroker) {
  return { ...lifeToProto(command), stopping: command.stopping ?? false, keep: command.keep ?? false };
}

function registerFromProto(message: RegisterBrokerCommand): RegisterBroker {
  const { incarnationId, rackId, diskId, cleanShutdown } = message;
  return {
    kind: 'register-broker',
    brokerId: brokerIdFromProto(message.brokerId),
    incarnationId,
    rackId,
    endpoints: message.endpoints.map(endpointFromProto),
    diskId,
    cleanShutdown,
    features: toMap(message.features),
  };
}

/** The command and the leader's request have the same fields. */
interface IsrChangeMessage
  extends Pick<
    ChangeIsrCommand,
    'brokerId' | 'brokerEpoch' | 'topicId' | 'partition' | 'leaderEpoch' | 'partitionEpoch'
  > {
  readonly inSyncReplicas: readonly { readonly brokerId: number; readonly brokerEpoch: bigint }[];
}

export function changeIsrFromProto(message: IsrChangeMessage): ChangeIsr {
  return {
    kind: 'change-isr',
    ...lifeFromProto(message),
    topicId: topicIdFromProto(message.topicId),
    partition: message.partition as PartitionId,
    leaderEpoch: message.leaderEpoch as LeaderEpoch,
    partitionEpoch: message.partitionEpoch as PartitionEpoch,
    inSyncReplicas: message.inSyncReplicas.map(lifeFromProto),
  };
}

function lifeToProto(life: BrokerLife): { brokerId: number; brokerEpoch: bigint } {
  return { brokerId: life.brokerId, brokerEpoch: BigInt(life.brokerEpoch) };
}

export function lifeFromProto(message: { readonly brokerId: number; readonly brokerEpoch: bigint }): BrokerLife {
  return {
    brokerId: brokerIdFromProto(message.brokerId),
    brokerEpoch: toSafeInteger<BrokerEpoch>(message.brokerEpoch, 'broker epoch'),
  };
}

function assignmentToProto(assignment: Assignment): { replicas: number[] } {
  return { replicas: [...assignment] };
}

export function assignmentFromProto(message: { readonly replicas: readonly number[] }): Assignment {
  return message.replicas.map(brokerIdFromProto);
}

function moveToProto({ topicId, partition, targetReplicas, sourceReplicas }: ReplicaMove) {
  return { topicId, partition, targetReplicas: [...targetReplicas], sourceReplicas: [...sourceReplicas] };
}

function moveFromProto(message: ReplicaMoveMessage): ReplicaMove {
  return {
    topicId: topicIdFromProto(message.topicId),
    partition: message.partition as PartitionId,
    targetReplicas: message.targetReplicas.map(brokerIdFromProto),
    sourceReplicas: message.sourceReplicas.map(brokerIdFromProto),
  };
}

function electFromProto({ topicId, partition, targetId, leaderEpoch }: ElectLeaderCommand): ElectLeader {
  return {
    kind: 'elect-leader',
    topicId: topicIdFromProto(topicId),
    partition: partition as PartitionId,
    targetId: targetId as BrokerLife['brokerId'],
    leaderEpoch: leaderEpoch === 0 ? undefined : (leaderEpoch as LeaderEpoch),
  };
}

function provenFromProto(message: ProvenReplicaMessage): ProvenReplica {
  return {
    ...lifeFromProto(message),
    topicId: topicIdFromProto(message.topicId),
    partition: message.partition as PartitionId,
    leaderEpoch: message.leaderEpoch as LeaderEpoch,
  };
}

/** 0 stands for none. */
export function throttleFromProto(bytesPerSecondMax: bigint): Pick<StartReassignment, 'bytesPerSecondMax'> {
  if (bytesPerSecondMax === 0n) return {};
  return { bytesPerSecondMax: toSafeInteger<number>(bytesPerSecondMax, 'bytes_per_second_max') };
}

/** 0 stands for none. */
export function versionFromProto(version: bigint): MetadataVersion | undefined {
  return version === 0n ? undefined : toSafeInteger<MetadataVersion>(version, 'expected_version');
}

/** Map entries of the wire, by name. */
export function toMap<Value>(object: Readonly<Record<string, Value>>): ReadonlyMap<string, Value> {
  return new Map(Object.entries(object).sort(([left], [right]) => compareText(left, right)));
}

function toObject<Value>(map: ReadonlyMap<string, Value>): Record<string, Value> {
  return Object.fromEntries([...map].sort(([left], [right]) => compareText(left, right)));
}
