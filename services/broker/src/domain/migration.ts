/**
 * The move of one partition from one broker to another, as the metadata tells it: whether it still has to be asked for, how far
 * it is, and when it is over. Nothing is remembered between two looks, so whoever asks for the same move again, at any broker,
 * sees it where it is.
 */
import type { PartitionImage } from '@fleetmq/metadata';
import { type BrokerId, DomainError } from '@fleetmq/shared';

export interface Migration {
  /** Gives the partition up. */
  readonly sourceId: BrokerId;
  /** Gets it, in the source's place among the replicas. */
  readonly targetId: BrokerId;
}

export type MigrationStage =
  /** It has to be asked for, with these replicas. */
  | { readonly kind: 'to-start'; readonly replicas: readonly BrokerId[] }
  | { readonly kind: 'copying' }
  /** The target is in sync; the source has not gone yet. */
  | { readonly kind: 'swapping' }
  | { readonly kind: 'done' };

/**
 * INVALID_REQUEST when these two are no such pair of brokers, REASSIGNMENT_IN_PROGRESS while the partition moves otherwise.
 * `partition` is as the metadata has it.
 */
export function migrationStage(partition: PartitionImage, { sourceId, targetId }: Migration): MigrationStage {
  if (sourceId === targetId) throw new DomainError('INVALID_REQUEST', `broker ${sourceId} is source and target`);
  const { move, replicas, inSyncReplicas } = partition;
  const isMove = (before: readonly BrokerId[], after: readonly BrokerId[]): boolean =>
    before.includes(sourceId) && !before.includes(targetId) && after.includes(targetId) && !after.includes(sourceId);
  if (move !== undefined) {
    if (isMove(move.sourceReplicas, move.targetReplicas)) {
      return { kind: inSyncReplicas.includes(targetId) ? 'swapping' : 'copying' };
    }
    const text = `the partition moves to brokers ${move.targetReplicas.join(', ')} by reassignment ${move.reassignmentId}`;
    throw new DomainError('REASSIGNMENT_IN_PROGRESS', text);
  }
  const after = replicas.map((brokerId) => (brokerId === sourceId ? targetId : brokerId));
  if (isMove(replicas, after)) return { kind: 'to-start', replicas: after };
  if (replicas.includes(targetId) && !replicas.includes(sourceId)) return { kind: 'done' };
  const text = `the replicas are brokers ${replicas.join(', ')}: nothing can move from broker ${sourceId} to ${targetId}`;
  throw new DomainError('INVALID_REQUEST', text);
}

/** Milliseconds until the rest is copied at the pace so far; undefined as long as there is none. */
export function remainingMs(
  copied: { readonly bytes: number; readonly sinceBytes: number; readonly elapsedMs: number },
  totalBytes: number,
): number | undefined {
  const progress = copied.bytes - copied.sinceBytes;
  if (progress <= 0 || copied.elapsedMs <= 0) return undefined;
  return Math.ceil((Math.max(0, totalBytes - copied.bytes) * copied.elapsedMs) / progress);
}
