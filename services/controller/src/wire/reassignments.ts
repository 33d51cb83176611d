/** Requests and answers about moves of replicas: messages <-> values. */
import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import {
  type ListReassignmentsResponse,
  ListReassignmentsResponseSchema,
  type ReassignmentProgress,
  ReassignmentProgressSchema,
  ReassignmentSchema,
} from '@fleetmq/gen/controller/admin';
import {
  type PartitionReassignment,
  type PlannedMove as PlannedMoveMessage,
  PlannedMoveSchema,
  type ReassignPartitionsProgress,
  ReassignPartitionsProgressSchema,
} from '@fleetmq/gen/controller/cluster';
import { compareText, type MetadataImage, type PartitionMove, type ReassignmentImage } from '@fleetmq/metadata';
import { brokerIdFromProto } from '@fleetmq/metadata/wire';
import { DomainError } from '@fleetmq/shared';
import type { CopiedBytes } from '../domain/copy-progress.ts';
import type { PlannedMove, ReassignmentWish } from '../domain/plan-reassignment.ts';
import { topicPartitionFromProto } from './admin.ts';

export function wishFromProto(message: PartitionReassignment): ReassignmentWish {
  const { replicas, replicationFactor } = message;
  if (replicas.length > 0 && replicationFactor !== 0) {
    throw new DomainError('INVALID_REQUEST', 'replicas and a replication factor were given: give one of them');
  }
  return {
    topicPartition: topicPartitionFromProto(message.topicPartition),
    replicas: replicas.map(brokerIdFromProto),
    replicationFactor: replicationFactor === 0 ? undefined : replicationFactor,
  };
}

export function plannedMoveToProto(move: PlannedMove): PlannedMoveMessage {
  return create(PlannedMoveSchema, {
    topicPartition: { topic: move.topic, partition: move.partition },
    sourceReplicas: [...move.sourceReplicas],
    targetReplicas: [...move.targetReplicas],
  });
}

/** What moves as part of this reassignment, as a plan. */
export function movesOf(image: MetadataImage, reassignmentId: string): PlannedMoveMessage[] {
  return movingPartitions(image)
    .filter(({ move }) => move.reassignmentId === reassignmentId)
    .map(({ topicPartition, move }) =>
      create(PlannedMoveSchema, {
        topicPartition,
        sourceReplicas: [...move.sourceReplicas],
        targetReplicas: [...move.targetReplicas],
      }),
    );
}

export function reassignProgress(
  { reassignment, copiedBytes, totalBytes }: { readonly reassignment: ReassignmentImage } & CopiedBytes,
  moves: PlannedMoveMessage[] = [],
): ReassignPartitionsProgress {
  return create(ReassignPartitionsProgressSchema, {
    reassignmentId: reassignment.reassignmentId,
    totalPartitions: reassignment.totalPartitions,
    donePartitions: reassignment.donePartitions,
    cancelledPartitions: reassignment.cancelledPartitions,
    ended: reassignment.endedAtMs > 0,
    copiedBytes: BigInt(copiedBytes),
    totalBytes: BigInt(totalBytes),
    moves,
  });
}

export function listReassignments(
  image: MetadataImage,
  bytesOf: (reassignmentId: string) => CopiedBytes,
): ListReassignmentsResponse {
  const moving = movingPartitions(image).map(({ topicPartition, move }) => {
    const startedAtMs = image.reassignment(move.reassignmentId)?.startedAtMs;
    return create(ReassignmentSchema, {
      reassignmentId: move.reassignmentId,
      topicPartition,
      sourceReplicas: [...move.sourceReplicas],
      targetReplicas: [...move.targetReplicas],
      ...(startedAtMs === undefined ? {} : { startTime: timestampFromMs(startedAtMs) }),
    });
  });
  return create(ListReassignmentsResponseSchema, {
    reassignments: moving,
    progress: image.reassignments().map((each) => progressToProto(each, bytesOf(each.reassignmentId))),
    metadataVersion: BigInt(image.version),
  });
}

function progressToProto(
  { startedAtMs, endedAtMs, bytesPerSecondMax = 0, ...counts }: ReassignmentImage,
  { copiedBytes, totalBytes }: CopiedBytes,
): ReassignmentProgress {
  return create(ReassignmentProgressSchema, {
    ...counts,
    copiedBytes: BigInt(copiedBytes),
    totalBytes: BigInt(totalBytes),
    bytesPerSecondMax: BigInt(bytesPerSecondMax),
    startTime: timestampFromMs(startedAtMs),
    ...(endedAtMs === 0 ? {} : { endTime: timestampFromMs(endedAtMs) }),
  });
}

interface MovingPartition {
  readonly topicPartition: { readonly topic: string; readonly partition: number };
  readonly move: PartitionMove;
}

/** By name and number. */
function movingPartitions(image: MetadataImage): readonly MovingPartition[] {
  return image
    .movingPartitions()
    .flatMap(({ topicId, partition, move }) => {
      const topic = image.topicById(topicId)?.name;
      return topic === undefined || move === undefined ? [] : [{ topicPartition: { topic, partition }, move }];
    })
    .sort((left, right) => compareText(left.topicPartition.topic, right.topicPartition.topic));
}
