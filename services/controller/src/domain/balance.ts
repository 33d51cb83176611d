/**
 * Which leaderships go back to their preferred replicas, the first of each assignment, over which leaders are spread evenly.
 * After failures and restarts they lie elsewhere; in-sync replicas that are in service take them back. Pure: metadata in,
 * commands out, each of which compares the leader epoch that it was made for. A partition without a leader is left alone:
 * its preferred replica would lead it, if it could.
 * Source: Kafka's auto.leader.rebalance.enable and leader.imbalance.per.broker.percentage.
 */
import { noBroker, type PartitionImage } from '@fleetmq/metadata';
import type { BrokerId, DomainError, TopicPartition } from '@fleetmq/shared';
import type { ElectLeader } from './commands.ts';
import type { MetadataView } from './view.ts';

/** An operator's wish. */
export interface LeaderChoice {
  readonly topicPartition: TopicPartition;
  /** 0: the preferred leader. */
  readonly targetId: BrokerId;
}

/** What became of it. */
export interface ElectedLeader {
  readonly topicPartition: TopicPartition;
  readonly oldLeaderId: BrokerId;
  readonly leaderId: BrokerId;
  /** Why nothing has changed. */
  readonly error?: DomainError;
}

/** Leaderships that could go back to their preferred replicas, by topic name, then number. */
export function preferredElections(view: MetadataView): readonly ElectLeader[] {
  return view.topics().flatMap(({ topicId }) => view.partitions(topicId).flatMap((each) => electionOf(view, each)));
}

/**
 * Of `preferredElections` those of brokers that miss more than `percentMax` percent of the leaderships that are theirs, whether
 * these could go back or not.
 */
export function balancingElections(view: MetadataView, percentMax: number): readonly ElectLeader[] {
  const missing = new Map<BrokerId, number>();
  for (const { topicId } of view.topics()) {
    for (const { leaderId, replicas } of view.partitions(topicId)) {
      const [preferred] = replicas;
      if (preferred !== undefined && leaderId !== preferred) missing.set(preferred, (missing.get(preferred) ?? 0) + 1);
    }
  }
  const isUneven = (brokerId: BrokerId): boolean =>
    (missing.get(brokerId) ?? 0) * 100 > percentMax * view.holding(brokerId).preferredCount;
  return preferredElections(view).filter(({ targetId }) => isUneven(targetId));
}

function electionOf(view: MetadataView, partition: PartitionImage): ElectLeader[] {
  const { topicId, partition: number, leaderId, leaderEpoch, replicas, inSyncReplicas } = partition;
  const [targetId] = replicas;
  if (targetId === undefined || leaderId === noBroker || leaderId === targetId) return [];
  if (!inSyncReplicas.includes(targetId) || view.broker(targetId)?.state !== 'active') return [];
  return [{ kind: 'elect-leader', topicId, partition: number, targetId, leaderEpoch }];
}
