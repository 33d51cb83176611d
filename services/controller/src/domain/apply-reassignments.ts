/**
 * Commands that move replicas to other brokers: a reassignment of many partitions begins as a whole or not at all, and can
 * be cancelled. `moves.ts` has what a move is; it goes on with every change of an ISR (`apply-partitions.ts`) and of a broker
 * (`apply-brokers.ts`).
 */
import { type MetadataEvent, type PartitionImage, requireLevel } from '@fleetmq/metadata';
import { DomainError, formatTopicPartition } from '@fleetmq/shared';
import { statesOf } from './apply-brokers.ts';
import { requirePartition } from './apply-partitions.ts';
import type { CancelledMoves, CancelReassignment, ReplicaMove, StartReassignment } from './commands.ts';
import { equalIds } from './elect.ts';
import { broughtBack, counted, forgotten, MoveTally, sentOff } from './moves.ts';
import type { Applied, ApplyContext, MetadataView } from './view.ts';

export function applyStartReassignment(
  view: MetadataView,
  command: StartReassignment,
  { timestampMs }: ApplyContext,
): Applied<undefined> {
  const { reassignmentId, moves, bytesPerSecondMax } = command;
  if (reassignmentId === '' || view.reassignment(reassignmentId) !== undefined) {
    throw new DomainError('INVALID_REQUEST', `reassignment id "${reassignmentId}" is empty or taken`);
  }
  if (bytesPerSecondMax !== undefined) {
    requireLevel(view.cluster.features, { name: 'metadata.version', level: 3, what: 'throttling a reassignment' });
  }
  if (moves.length === 0) throw new DomainError('INVALID_REQUEST', 'a reassignment without partitions');
  const stateOf = statesOf(view);
  const seen = new Set<PartitionImage>();
  const events: MetadataEvent[] = [];
  let done = 0;
  for (const move of moves) {
    const before = checkMove(view, move);
    if (seen.has(before)) {
      throw new DomainError('INVALID_REQUEST', `partition ${move.topicId}/${move.partition} is named twice`);
    }
    seen.add(before);
    const partition = sentOff(before, { reassignmentId, targetReplicas: move.targetReplicas }, stateOf);
    if (partition.move === undefined) done++;
    events.push({ kind: 'partition-changed', partition });
  }
  const begun = {
    reassignmentId,
    startedAtMs: timestampMs,
    totalPartitions: moves.length,
    donePartitions: 0,
    cancelledPartitions: 0,
    endedAtMs: 0,
    ...(bytesPerSecondMax === undefined ? {} : { bytesPerSecondMax }),
  };
  const reassignment = counted(begun, { done, cancelled: 0, nowMs: timestampMs });
  const started: MetadataEvent = { kind: 'reassignment-changed', reassignment };
  return { events: [...events, started, ...forgotten(view, [started])], result: undefined };
}

export function applyCancelReassignment(
  view: MetadataView,
  command: CancelReassignment,
  { timestampMs }: ApplyContext,
): Applied<CancelledMoves> {
  requireReassignment(view, command.reassignmentId);
  const stateOf = statesOf(view);
  const tally = new MoveTally();
  const events: MetadataEvent[] = [];
  let remaining = 0;
  for (const before of view.movingPartitions()) {
    if (before.move?.reassignmentId !== command.reassignmentId) continue;
    const partition = broughtBack(before, stateOf);
    if (partition === undefined) {
      remaining++;
      continue;
    }
    tally.note(before, partition);
    events.push({ kind: 'partition-changed', partition });
  }
  const result = { cancelled: events.length, remaining };
  return { events: [...events, ...tally.events(view, timestampMs)], result };
}

/** Throws REASSIGNMENT_NOT_FOUND. */
export function requireReassignment(view: MetadataView, reassignmentId: string) {
  const reassignment = view.reassignment(reassignmentId);
  if (reassignment !== undefined) return reassignment;
  throw new DomainError('REASSIGNMENT_NOT_FOUND', `there is no reassignment "${reassignmentId.slice(0, 64)}"`);
}

function checkMove(view: MetadataView, move: ReplicaMove): PartitionImage {
  const { topic, partition } = requirePartition(view, move.topicId, move.partition);
  const name = formatTopicPartition(topic.name, partition.partition);
  refuseIfMoving(partition, name);
  if (!equalIds(partition.replicas, move.sourceReplicas)) {
    throw new DomainError(
      'STALE_EPOCH',
      `${name} has the replicas ${partition.replicas.join(', ')}, not ${move.sourceReplicas.join(', ')}`,
    );
  }
  const { targetReplicas } = move;
  if (targetReplicas.length === 0 || new Set(targetReplicas).size !== targetReplicas.length) {
    throw new DomainError(
      'INVALID_REQUEST',
      `${name} cannot have the replicas [${targetReplicas.join(', ')}]: at least one, each of another broker`,
    );
  }
  const unknown = targetReplicas.find((brokerId) => view.broker(brokerId) === undefined);
  if (unknown !== undefined) throw new DomainError('BROKER_NOT_FOUND', `no broker ${unknown} is registered`);
  return partition;
}

/** REASSIGNMENT_IN_PROGRESS. */
export function refuseIfMoving({ move }: PartitionImage, name: string): void {
  if (move === undefined) return;
  throw new DomainError('REASSIGNMENT_IN_PROGRESS', `${name} is moved by reassignment ${move.reassignmentId}`);
}
