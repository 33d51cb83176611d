/**
 * Who leads a partition. The rules of every change of leader or in-sync replicas are here, as functions from a partition
 * to its next value; `apply-*.ts` choose which of them a command needs.
 *
 * Invariants: a leader is a member of the ISR and not fenced; a partition without such a member has no leader (0) until
 * one is unfenced; the ISR is never empty, and its last member only goes when an eligible replica takes its place (see
 * `eligible.ts`), because nobody else is known to have all committed records; who alone could lead and came back from an
 * unclean stop does not, before its log is proven whole (`apply-proven.ts`); the leader epoch rises with each change of
 * leader, the partition epoch with each change at all.
 * Sources: KIP-497 (ISR by compare-and-set), KIP-841 (fenced replicas), KIP-966 (eligible leader replicas).
 */
import { type BrokerState, noBroker, type PartitionImage, type PartitionMove } from '@fleetmq/metadata';
import type { BrokerId, LeaderEpoch, PartitionEpoch } from '@fleetmq/shared';

/** State of a broker as it will be after the command; undefined for one that is not registered. */
export type StateOf = (brokerId: BrokerId) => BrokerState | undefined;

/** What is known of the brokers as they will be after the command. */
export interface Standing {
  readonly stateOf: StateOf;
  /** Whether its logs are as they were when it left: it has not stopped uncleanly since. */
  readonly isProven: (brokerId: BrokerId) => boolean;
}

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

/** What a broker takes along: `nothing`, its place in the ISR (unless it is alone there), or that and its log for ever. */
export type Leaving = 'nothing' | 'sync' | 'log';

/** The broker is fenced, begins a new life or is removed: it leads nothing. */
export function withoutBroker(
  partition: PartitionImage,
  brokerId: BrokerId,
  { leaving, standing }: { readonly leaving: Leaving; readonly standing: Standing },
): PartitionImage {
  const others = partition.inSyncReplicas.filter((member) => member !== brokerId);
  const inSyncReplicas = leaving === 'nothing' || others.length === 0 ? partition.inSyncReplicas : others;
  const { eligibleReplicas: eligible = [] } = partition;
  const eligibleReplicas = leaving === 'log' ? eligible.filter((replica) => replica !== brokerId) : eligible;
  const hasLeader = partition.leaderId !== brokerId && partition.leaderId !== noBroker;
  const leader = hasLeader ? {} : elected(partition, inSyncReplicas, standing);
  return changePartition(partition, { inSyncReplicas, eligibleReplicas, ...leader });
}

/** The broker came into service: it leads what has no leader and what it is in sync with, or eligible for. */
export function withBroker(partition: PartitionImage, standing: Standing): PartitionImage {
  if (partition.leaderId !== noBroker) return partition;
  return changePartition(partition, elected(partition, partition.inSyncReplicas, standing));
}

/**
 * Who leads next, of the in-sync replicas that are left or else of the eligible ones, and what is in sync then. A member that
 * has company in the ISR is proven: an unclean stop would have taken it out.
 */
function elected(
  { replicas, inSyncReplicas: before, eligibleReplicas = [] }: PartitionImage,
  inSyncReplicas: readonly BrokerId[],
  { stateOf, isProven }: Standing,
): Pick<PartitionChange, 'inSyncReplicas'> & { readonly leaderId: BrokerId } {
  const proven = before.length > 1 ? inSyncReplicas : inSyncReplicas.filter(isProven);
  const leaderId = chooseLeader({ replicas, inSyncReplicas: proven }, stateOf);
  if (leaderId !== noBroker) return { leaderId };
  const eligibleId = chooseLeader({ replicas, inSyncReplicas: eligibleReplicas.filter(isProven) }, stateOf);
  return eligibleId === noBroker ? { leaderId } : { leaderId: eligibleId, inSyncReplicas: [eligibleId] };
}

/**
 * The broker's log of this partition has failed: an active replica leads in its place if one can, in sync or eligible; and it is
 * not eligible itself while there is a leader, from whom it may then get its records anew.
 */
export function withFailedLog(partition: PartitionImage, brokerId: BrokerId, standing: Standing): PartitionImage {
  const { leaderId, replicas, inSyncReplicas, eligibleReplicas = [] } = partition;
  if (leaderId === noBroker) return partition;
  if (leaderId !== brokerId) {
    return changePartition(partition, { eligibleReplicas: eligibleReplicas.filter((replica) => replica !== brokerId) });
  }
  const isActive = (replica: BrokerId): boolean => replica !== brokerId && standing.stateOf(replica) === 'active';
  const inSync = replicas.find((replica) => inSyncReplicas.includes(replica) && isActive(replica));
  if (inSync !== undefined) return changePartition(partition, { leaderId: inSync });
  const eligible = eligibleReplicas.find((replica) => isActive(replica) && standing.isProven(replica));
  return eligible === undefined
    ? partition
    : changePartition(partition, { leaderId: eligible, inSyncReplicas: [eligible] });
}

/** The broker hands its leadership over, if an active in-sync replica can take it. */
export function handedOver(partition: PartitionImage, brokerId: BrokerId, stateOf: StateOf): PartitionImage {
  if (partition.leaderId !== brokerId) return partition;
  const target = chooseLeader(partition, stateOf);
  return stateOf(target) === 'active' ? changePartition(partition, { leaderId: target }) : partition;
}

/** The broker is about to stop: it hands over, and leaves the ISR if `minInsync` others are in it. */
export function withStopping(
  partition: PartitionImage,
  brokerId: BrokerId,
  { stateOf, minInsync }: { readonly stateOf: StateOf; readonly minInsync: number },
): PartitionImage {
  const target = partition.leaderId === brokerId ? chooseLeader(partition, stateOf) : partition.leaderId;
  const leaderId = target === partition.leaderId || stateOf(target) === 'active' ? target : partition.leaderId;
  const others = partition.inSyncReplicas.filter((member) => member !== brokerId);
  const mayLeave = leaderId !== brokerId && leaderId !== noBroker && others.length >= minInsync;
  return changePartition(partition, { leaderId, ...(mayLeave ? { inSyncReplicas: others } : {}) });
}

/** What becomes of a partition. Absent: as it was. */
export interface PartitionChange {
  readonly leaderId?: BrokerId;
  readonly inSyncReplicas?: readonly BrokerId[];
  readonly replicas?: readonly BrokerId[];
  readonly eligibleReplicas?: readonly BrokerId[];
  /** `none`: it moves no more. */
  readonly move?: PartitionMove | 'none';
}

/** The partition with the fields that differ, epochs raised accordingly; the same value when nothing differs. */
export function changePartition(before: PartitionImage, change: PartitionChange): PartitionImage {
  const { leaderId = before.leaderId, replicas = before.replicas } = change;
  const inSyncReplicas = membersOf(replicas, change.inSyncReplicas ?? before.inSyncReplicas);
  const eligibleReplicas = change.eligibleReplicas ?? before.eligibleReplicas ?? [];
  const move = change.move === 'none' ? undefined : (change.move ?? before.move);
  const isSame =
    leaderId === before.leaderId &&
    move === before.move &&
    equalIds(replicas, before.replicas) &&
    equalIds(inSyncReplicas, before.inSyncReplicas) &&
    equalIds(eligibleReplicas, before.eligibleReplicas ?? []);
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
    ...(eligibleReplicas.length === 0 ? {} : { eligibleReplicas }),
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
