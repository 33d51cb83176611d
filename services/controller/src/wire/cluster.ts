/** Requests and answers of ControllerBrokerService: messages <-> values. Shape is checked here, meaning is not. */
import { create } from '@bufbuild/protobuf';
import {
  type BrokerHeartbeatRequest,
  type BrokerHeartbeatResponse,
  BrokerHeartbeatResponseSchema,
  type CreatePartitionsRequest,
  type LogEnd as LogEndMessage,
  type MovingPartition as MovingMessage,
  type RegisterBrokerRequest,
} from '@fleetmq/gen/controller/cluster';
import { brokerIdFromProto, endpointFromProto, topicIdFromProto } from '@fleetmq/metadata/wire';
import { DomainError, type LeaderEpoch, type PartitionId, toOffset, toSafeInteger } from '@fleetmq/shared';
import type { RegisterBroker } from '../domain/commands.ts';
import type { MovingPartition } from '../domain/copy-progress.ts';
import type { Heartbeat, HeartbeatAnswer } from '../domain/heartbeat.ts';
import type { AddPartitionsPlan } from '../domain/plan.ts';
import type { LogEnd } from '../domain/proven-logs.ts';
import { assignmentFromProto, lifeFromProto, toMap } from './commands.ts';

const textMax = 256;
const partitionsMax = 10_000;
export const topicIdsMax = 1_000;
const producerIdsDefault = 1_000;
const producerIdsMax = 100_000;

export function registrationFromProto(request: RegisterBrokerRequest): RegisterBroker {
  const { incarnationId, rackId, diskId, cleanShutdown, endpoints, features } = request;
  requireText('incarnation_id', incarnationId);
  requireText('disk_id', diskId);
  if (rackId.length > textMax) throw new DomainError('INVALID_REQUEST', `rack_id has ${rackId.length} characters`);
  if (endpoints.length === 0) throw new DomainError('INVALID_REQUEST', 'a broker registers without endpoints');
  return {
    kind: 'register-broker',
    brokerId: brokerIdFromProto(request.brokerId),
    incarnationId,
    rackId,
    endpoints: endpoints.map(endpointFromProto),
    diskId,
    cleanShutdown,
    features: toMap(features),
  };
}

export function heartbeatFromProto(request: BrokerHeartbeatRequest): Heartbeat {
  const { failedPartitions, logEnds, moving } = request;
  const most = Math.max(failedPartitions.length, logEnds.length, moving.length);
  if (most > partitionsMax) throw new DomainError('INVALID_REQUEST', `${most} partitions are too many at once`);
  return {
    ...lifeFromProto(request),
    metadataVersion: toSafeInteger<number>(request.metadataVersion, 'metadata version'),
    wantShutDown: request.wantShutDown,
    failedPartitions: failedPartitions.map(({ topicId, partition, reason }) => ({
      topicId: topicIdFromProto(topicId),
      partition: partition as PartitionId,
      reason: reason.slice(0, textMax),
    })),
    logEnds: request.logEnds.map(logEndFromProto),
    moving: moving.map(movingFromProto),
  };
}

function logEndFromProto({ topicId, partition, lastEpoch, endOffset }: LogEndMessage): LogEnd {
  return {
    topicId: topicIdFromProto(topicId),
    partition: partition as PartitionId,
    lastEpoch: lastEpoch as LeaderEpoch,
    endOffset: toOffset(endOffset),
  };
}

function movingFromProto({ topicId, partition, copiedBytes, totalBytes }: MovingMessage): MovingPartition {
  return {
    topicId: topicIdFromProto(topicId),
    partition: partition as PartitionId,
    copiedBytes: toSafeInteger<number>(copiedBytes, 'copied bytes'),
    totalBytes: toSafeInteger<number>(totalBytes, 'bytes to copy'),
  };
}

export function heartbeatToProto(answer: HeartbeatAnswer): BrokerHeartbeatResponse {
  return create(BrokerHeartbeatResponseSchema, { ...answer, metadataVersion: BigInt(answer.metadataVersion) });
}

export function addPartitionsFromProto(request: CreatePartitionsRequest): AddPartitionsPlan {
  const { topic, totalCount, assignments } = request;
  return { name: topic, totalCount, assignments: assignments.map(assignmentFromProto) };
}

/** 1,000 unless the caller says how many, and 100,000 at most. */
export function producerIdCount(count: number): number {
  if (count > producerIdsMax) {
    throw new DomainError('INVALID_REQUEST', `${count} producer ids are more than ${producerIdsMax} at once`);
  }
  return count === 0 ? producerIdsDefault : count;
}

function requireText(name: string, text: string): void {
  if (text !== '' && text.length <= textMax) return;
  throw new DomainError('INVALID_REQUEST', `${name} has ${text.length} characters: it must have 1 to ${textMax}`);
}
