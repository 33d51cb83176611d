/**
 * Who leads a partition. The rules of every change of leader or in-sync replicas are here, as functions from a partition
 * to its next value; `apply-*.ts` choose which of them a command needs.
 *
 * Invariants: a leader is a member of the ISR and not fenced; a partition without such a member has no leader (0) until
 * one is unfenced; the ISR is never empty and its last member is never taken out, because only it is known to have all
 * committed records; the leader epoch rises with each change of leader, the partition epoch with each change at all.
 * Sources: KIP-497 (ISR by compare-and-set), KIP-841 (fenced replicas), KIP-966 (last in-sync replica).
 */
import { type BrokerState, noBroker, type PartitionImage, type PartitionMove } from '@fleetmq/metadata';
import type { BrokerId, LeaderEpoch, PartitionEpoch } from '@fleetmq/shared';

/** State of a broker as it will be after the command; undefined for one that is not registered. */
export type StateOf = (brokerId: BrokerId) => BrokerState | undefined;

/**
 * The first in-sync replica in the order of the assignment that is active; else the first that is draining, since it can
 * still serve; else 0.
 */
export function chooseLeader(
  partition: Pick<PartitionImage, 'replicas' | 'inSyncReplicas'>,
  stateOf: StateOf,
): BrokerId {
  const candidates = partition.replicas.filter((brokerId) => partition.inSyncReplicas.includes(brokerId));
  const inState = (state: BrokerState): BrokerId | undefined =>
    candidates.find((brokerId) => stateOf(brokerId) === state);
  return inState('active') ?? inState('draining') ?? noBroker;
}

/** The broker is fenced or begins a new life: it leads nothing, and leaves the ISR unless it is alone there or `staysInSync`. */
export function withoutBroker(
  partition: PartitionImage,
  brokerId: BrokerId,
  options: { readonly staysInSync: boolean; readonly stateOf: StateOf },
): PartitionImage {
  const others = partition.inSyncReplicas.filter((member) => member !== brokerId);
  const inSyncReplicas = options.staysInSync || others.length === 0 ? partition.inSyncReplicas : others;
  const leaderId =
    partition.leaderId === brokerId || partition.leaderId === noBroker
      ? chooseLeader({ replicas: partition.replicas, inSyncReplicas }, options.stateOf)
      : partition.leaderId;
  return changePartition(partition, { leaderId, inSyncReplicas });
}

/** The broker came into service: it leads what has no leader and what it is in sync with. */
export function withBroker(partition: PartitionImage, stateOf: StateOf): PartitionImage {
  if (partition.leaderId !== noBroker) return partition;
  return changePartition(partition, { leaderId: chooseLeader(partition, stateOf) });
}

/** The broker hands its leadership over, if an active in-sync replica can take it. */
export function handedOver(partition: PartitionImage, brokerId: BrokerId, stateOf: StateOf): PartitionImage {
  if (partition.leaderId !== brokerId) return partition;
  const target = chooseLeader(partition, stateOf);
  return stateOf(target) === 'active' ? changePartition(partition, { leaderId: target }) : partition;
}

/** What becomes of a partition. Absent: as it was. */
export interface PartitionChange {
  readonly leaderId?: BrokerId;
  readonly inSyncReplicas?: readonly BrokerId[];
  readonly replicas?: readonly BrokerId[];
  /** `none`: it moves no more. */
  readonly move?: PartitionMove | 'none';
}

/** The partition with the fields that differ, epochs raised accordingly; the same value when nothing differs. */
export function changePartition(before: PartitionImage, change: PartitionChange): PartitionImage {
  const { leaderId = before.leaderId, replicas = before.replicas } = change;
  const inSyncReplicas = membersOf(replicas, change.inSyncReplicas ?? before.inSyncReplicas);
  const move = change.move === 'none' ? undefined : (change.move ?? before.move);
  const isSame =
    leaderId === before.leaderId &&
    move === before.move &&
    equalIds(replicas, before.replicas) &&
    equalIds(inSyncReplicas, before.inSyncReplicas);
  if (isSame) return before;
  const { topicId, partition, leaderEpoch, partitionEpoch } = before;
  const leaderStep = leaderId === before.leaderId ? 0 : 1;
  return {
    topicId,
    partition,
    leaderId,
    leaderEpoch: (leaderEpoch + leaderStep) as LeaderEpoch,
    replicas,
    inSyncReplicas,
    partitionEpoch: (partitionEpoch + 1) as PartitionEpoch,
    ...(move === undefined ? {} : { move }),
  };
}

/** Those of the replicas that are named, in the order of the assignment: equal sets are equal values, and all of them are `replicas`. */
export function membersOf(replicas: readonly BrokerId[], named: readonly BrokerId[]): readonly BrokerId[] {
  const members = replicas.filter((brokerId) => named.includes(brokerId));
  return members.length === replicas.length ? replicas : members;
}

export function equalIds(left: readonly BrokerId[], right: readonly BrokerId[]): boolean {
  return left.length === right.length && left.every((brokerId, position) => brokerId === right[position]);
}
