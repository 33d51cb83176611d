/**
 * Commands of the metadata log: `MetadataCommand` of the contract <-> values, both ways, and their bytes in log entries.
 * Equal commands have equal bytes (map entries are sorted). A command that this version does not know is refused with
 * UNSUPPORTED_VERSION: to skip it would make this node's metadata differ from everybody else's.
 */
import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { type MetadataCommand as CommandMessage, MetadataCommandSchema } from '@fleetmq/gen/controller/metadata_log';
import { compareText } from '@fleetmq/metadata';
import { brokerIdFromProto, endpointFromProto, endpointToProto, topicIdFromProto } from '@fleetmq/metadata/wire';
import {
  type BrokerEpoch,
  DomainError,
  type LeaderEpoch,
  type PartitionEpoch,
  type PartitionId,
  toSafeInteger,
  unreachable,
} from '@fleetmq/shared';
import type { Assignment, BrokerLife, MetadataCommand } from '../domain/commands.ts';

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
      return { case: 'unfenceBroker', value: lifeToProto(command) };
    case 'unregister-broker':
      return { case: 'unregisterBroker', value: { brokerId: command.brokerId } };
    case 'drain-broker':
      return { case: 'drainBroker', value: lifeToProto(command) };
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
      const { topicId = '', set, remove } = command;
      return { case: 'alterConfig', value: { topicId, set: toObject(set), remove: [...remove].sort(compareText) } };
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
      return { case: 'setClusterId', value: { clusterId: command.clusterId } };
    default:
      return unreachable(command);
  }
}

function commandFromProto(message: CommandMessage): MetadataCommand {
  const { command } = message;
  switch (command.case) {
    case 'registerBroker': {
      const { incarnationId, rackId, endpoints, diskId, cleanShutdown, features } = command.value;
      return {
        kind: 'register-broker',
        brokerId: brokerIdFromProto(command.value.brokerId),
        incarnationId,
        rackId,
        endpoints: endpoints.map(endpointFromProto),
        diskId,
        cleanShutdown,
        features: toMap(features),
      };
    }
    case 'fenceBroker':
      return { kind: 'fence-broker', ...lifeFromProto(command.value) };
    case 'unfenceBroker':
      return { kind: 'unfence-broker', ...lifeFromProto(command.value) };
    case 'unregisterBroker':
      return { kind: 'unregister-broker', brokerId: brokerIdFromProto(command.value.brokerId) };
    case 'drainBroker':
      return { kind: 'drain-broker', ...lifeFromProto(command.value) };
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
      return { kind: 'alter-config', topicId: target, set: toMap(set), remove };
    }
    case 'changeIsr': {
      const { topicId, partition, leaderEpoch, partitionEpoch, inSyncReplicas } = command.value;
      return {
        kind: 'change-isr',
        ...lifeFromProto(command.value),
        topicId: topicIdFromProto(topicId),
        partition: partition as PartitionId,
        leaderEpoch: leaderEpoch as LeaderEpoch,
        partitionEpoch: partitionEpoch as PartitionEpoch,
        inSyncReplicas: inSyncReplicas.map(lifeFromProto),
      };
    }
    case 'electLeader': {
      const { topicId, partition, targetId, leaderEpoch } = command.value;
      return {
        kind: 'elect-leader',
        topicId: topicIdFromProto(topicId),
        partition: partition as PartitionId,
        targetId: targetId as BrokerLife['brokerId'],
        leaderEpoch: leaderEpoch === 0 ? undefined : (leaderEpoch as LeaderEpoch),
      };
    }
    case 'allocateProducerIds':
      return { kind: 'allocate-producer-ids', ...lifeFromProto(command.value), count: command.value.count };
    case 'setClusterId':
      return { kind: 'set-cluster-id', clusterId: command.value.clusterId };
    case undefined:
      throw new DomainError(
        'UNSUPPORTED_VERSION',
        'the metadata log has a command that this version does not know: upgrade this controller',
      );
    default:
      return unreachable(command);
  }
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

/** Map entries of the wire, by name. */
export function toMap<Value>(object: Readonly<Record<string, Value>>): ReadonlyMap<string, Value> {
  return new Map(Object.entries(object).sort(([left], [right]) => compareText(left, right)));
}

function toObject<Value>(map: ReadonlyMap<string, Value>): Record<string, Value> {
  return Object.fromEntries([...map].sort(([left], [right]) => compareText(left, right)));
}
