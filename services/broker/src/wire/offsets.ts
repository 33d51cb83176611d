/** ListOffsets and DeleteRecords: positions in, answers out. */
import { create } from '@bufbuild/protobuf';
import {
  type DeleteRecordsPartitionResponse,
  DeleteRecordsPartitionResponseSchema,
  type ListOffsetsPartitionResponse,
  ListOffsetsPartitionResponseSchema,
  OffsetBoundary,
  type StartPosition,
} from '@fleetmq/gen/client/consumer';
import type { ErrorCode } from '@fleetmq/gen/common/errors';
import type { TopicPartition } from '@fleetmq/gen/common/types';
import { boundText, type DomainError, errorNumber, type TopicPartitionName, toOffset } from '@fleetmq/shared';
import { earliest, type Position } from './fetch.ts';

export function targetOf(topicPartition: TopicPartition | undefined): TopicPartitionName {
  return { topic: topicPartition?.topic ?? '', partition: topicPartition?.partition ?? 0 };
}

/** OFFSET_OUT_OF_RANGE for an offset that no log can have. */
export function positionOf(position: StartPosition | undefined): Position {
  switch (position?.position.case) {
    case 'offset':
      return { kind: 'offset', offset: toOffset(position.position.value) };
    case 'timestamp': {
      const { seconds, nanos } = position.position.value;
      return { kind: 'time', timestampMs: Number(seconds) * 1_000 + Math.floor(nanos / 1_000_000) };
    }
    case 'boundary':
      return position.position.value === OffsetBoundary.LATEST ? { kind: 'latest' } : earliest;
    default:
      return earliest;
  }
}

export function locatedToProto(
  target: TopicPartitionName,
  located: { readonly offset: number; readonly timestampMs: number | undefined; readonly leaderEpoch: number },
): ListOffsetsPartitionResponse {
  const { offset, timestampMs, leaderEpoch } = located;
  const answer = { topicPartition: target, offset: BigInt(offset), leaderEpoch };
  if (timestampMs === undefined) return create(ListOffsetsPartitionResponseSchema, answer);
  const seconds = Math.floor(timestampMs / 1_000);
  const timestamp = { seconds: BigInt(seconds), nanos: (timestampMs - seconds * 1_000) * 1_000_000 };
  return create(ListOffsetsPartitionResponseSchema, { ...answer, timestamp });
}

export function failedOffset(target: TopicPartitionName, error: DomainError): ListOffsetsPartitionResponse {
  return create(ListOffsetsPartitionResponseSchema, { topicPartition: target, ...failure(error) });
}

export function deletedToProto(target: TopicPartitionName, logStartOffset: number): DeleteRecordsPartitionResponse {
  return create(DeleteRecordsPartitionResponseSchema, {
    topicPartition: target,
    logStartOffset: BigInt(logStartOffset),
  });
}

export function failedDeletion(target: TopicPartitionName, error: DomainError): DeleteRecordsPartitionResponse {
  return create(DeleteRecordsPartitionResponseSchema, { topicPartition: target, ...failure(error) });
}

function failure(error: DomainError): { errorCode: ErrorCode; errorMessage: string; leaderHint: string } {
  return {
    errorCode: errorNumber(error.code) as ErrorCode,
    errorMessage: boundText(error.message),
    leaderHint: error.leaderHint ?? '',
  };
}
