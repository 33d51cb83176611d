/**
 * A partition that moves to other brokers (KIP-455), as functions from a partition to its next value. While it moves, its
 * replicas are the target ones and, behind them, the source ones that are to go; all of them take part as replicas do. It has
 * arrived once every target replica is in sync and one of them can lead; then, in the same step, the others go.
 *
 * Invariants: no step empties the ISR, so what is committed stays on at least one member of it; a move back keeps a source
 * replica that is in sync, or does not take place; a partition is part of one reassignment at a time.
 * A reassignment (`ReassignmentImage`) only counts: it ends with its last partition.
 */
import { type MetadataEvent, noBroker, type PartitionImage, type ReassignmentImage } from '@fleetmq/metadata';
import type { BrokerId } from '@fleetmq/shared';
import { changePartition, chooseLeader, equalIds, type StateOf } from './elect.ts';
import type { MetadataView } from './view.ts';

/** Reassignments that ended and are still known. */
const endedMax = 100;

/** The partition on its way to `targetReplicas`; or there already, when all of these are in sync. */
export function sentOff(
  partition: PartitionImage,
  { reassignmentId, targetReplicas }: { readonly reassignmentId: string; readonly targetReplicas: readonly BrokerId[] },
  stateOf: StateOf,
): PartitionImage {
  const sourceReplicas = partition.replicas;
  const leaving = sourceReplicas.filter((brokerId) => !targetReplicas.includes(brokerId));
  const moving = changePartition(partition, {
    replicas: [...targetReplicas, ...leaving],
    move: { reassignmentId, sourceReplicas, targetReplicas },
  });
  return arrived(moving, stateOf);
}

/** The partition on its target replicas, if it has arrived; else as it is. */
export function arrived(partition: PartitionImage, stateOf: StateOf): PartitionImage {
  const { move, inSyncReplicas } = partition;
  if (move === undefined || !move.targetReplicas.every((brokerId) => inSyncReplicas.includes(brokerId))) {
    return partition;
  }
  return placedOn(partition, move.targetReplicas, stateOf) ?? partition;
}

/** The partition back on its source replicas; undefined when none of these could lead it. */
export function broughtBack(partition: PartitionImage, stateOf: StateOf): PartitionImage | undefined {
  return partition.move === undefined ? partition : placedOn(partition, partition.move.sourceReplicas, stateOf);
}

function placedOn(
  partition: PartitionImage,
  replicas: readonly BrokerId[],
  stateOf: StateOf,
): PartitionImage | undefined {
  const inSyncReplicas = replicas.filter((brokerId) => partition.inSyncReplicas.includes(brokerId));
  const leaderId = replicas.includes(partition.leaderId)
    ? partition.leaderId
    : chooseLeader({ replicas, inSyncReplicas }, stateOf);
  if (leaderId === noBroker) return undefined;
  return changePartition(partition, { replicas, inSyncReplicas, leaderId, move: 'none' });
}

/** What became of the partitions of reassignments in one command. */
export class MoveTally {
  readonly #counts = new Map<string, { done: number; cancelled: number }>();

  /** Compares a partition before and after the command; undefined when it is gone. */
  note(before: PartitionImage, after: PartitionImage | undefined): void {
    if (before.move === undefined || after?.move !== undefined) return;
    const { reassignmentId, targetReplicas } = before.move;
    const counts = this.#counts.get(reassignmentId) ?? { done: 0, cancelled: 0 };
    counts[after !== undefined && equalIds(after.replicas, targetReplicas) ? 'done' : 'cancelled']++;
    this.#counts.set(reassignmentId, counts);
  }

  events(view: MetadataView, nowMs: number): MetadataEvent[] {
    const events: MetadataEvent[] = [];
    for (const [reassignmentId, { done, cancelled }] of this.#counts) {
      const before = view.reassignment(reassignmentId);
      if (before === undefined) continue;
      const reassignment = counted(before, { done, cancelled, nowMs });
      events.push({ kind: 'reassignment-changed', reassignment });
    }
    return [...events, ...forgotten(view, events)];
  }
}

/** With more partitions done or cancelled; ended if these were the last. */
export function counted(
  before: ReassignmentImage,
  { done, cancelled, nowMs }: { readonly done: number; readonly cancelled: number; readonly nowMs: number },
): ReassignmentImage {
  const donePartitions = before.donePartitions + done;
  const cancelledPartitions = before.cancelledPartitions + cancelled;
  const hasEnded = donePartitions + cancelledPartitions >= before.totalPartitions;
  // By a clock that may have gone back since, but never before its start.
  const endedAtMs = hasEnded ? Math.max(nowMs, before.startedAtMs, 1) : 0;
  return { ...before, donePartitions, cancelledPartitions, endedAtMs };
}

/** Of the reassignments that have ended the oldest go. */
export function forgotten(view: MetadataView, changes: readonly MetadataEvent[]): MetadataEvent[] {
  const ending = changes.filter((event) => event.kind === 'reassignment-changed' && event.reassignment.endedAtMs > 0);
  if (ending.length === 0) return [];
  const ended = view.reassignments().filter(({ endedAtMs }) => endedAtMs > 0);
  const surplus = Math.max(0, ended.length + ending.length - endedMax);
  return ended.slice(0, surplus).map(({ reassignmentId }) => ({ kind: 'reassignment-removed', reassignmentId }));
}
