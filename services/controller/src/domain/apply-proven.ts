/**
 * Leaders for partitions of which no in-sync replica could lead without proof: all of them came back from an unclean stop. A
 * log that was opened is whole up to the end that it had recorded as durable (a shorter one does not open), so every in-sync
 * or eligible replica whose log is open has all committed records. The controllers' leader chooses the one with the highest
 * (last epoch, end) of those who have told theirs (`proven-logs.ts`); this command checks that it still holds (P14).
 */
import type { MetadataEvent, PartitionImage } from '@fleetmq/metadata';
import { noBroker, requireLevel } from '@fleetmq/metadata';
import type { BrokerId } from '@fleetmq/shared';
import { statesOf } from './apply-brokers.ts';
import type { ElectProven, ProvenReplica } from './commands.ts';
import { changePartition } from './elect.ts';
import { arrived, MoveTally } from './moves.ts';
import type { Applied, ApplyContext, MetadataView } from './view.ts';

/** Replicas whose compare fails are left out: what they were chosen for has changed. */
export function applyElectProven(
  view: MetadataView,
  { replicas }: ElectProven,
  { timestampMs }: ApplyContext,
): Applied<undefined> {
  requireLevel(view.cluster.features, { name: 'metadata.version', level: 3, what: 'electing proven replicas' });
  const tally = new MoveTally();
  const changes = new Map<PartitionImage, PartitionImage>();
  for (const replica of replicas) {
    const before = view.partition(replica.topicId, replica.partition);
    if (before === undefined || changes.has(before) || !mayLead(view, before, replica)) continue;
    const { brokerId } = replica;
    const partition = arrived(
      changePartition(before, { leaderId: brokerId, inSyncReplicas: [brokerId] }),
      statesOf(view),
    );
    tally.note(before, partition);
    changes.set(before, partition);
  }
  const events = [...changes.values()].map((partition): MetadataEvent => ({ kind: 'partition-changed', partition }));
  return { events: [...events, ...tally.events(view, timestampMs)], result: undefined };
}

function mayLead(view: MetadataView, partition: PartitionImage, replica: ProvenReplica): boolean {
  const { leaderId, leaderEpoch } = partition;
  const broker = view.broker(replica.brokerId);
  return (
    leaderId === noBroker &&
    leaderEpoch === replica.leaderEpoch &&
    broker?.brokerEpoch === replica.brokerEpoch &&
    broker.state !== 'fenced' &&
    possibleLeaders(partition).includes(replica.brokerId)
  );
}

/** Those who have all committed records, as far as their disks kept them. */
export function possibleLeaders({ inSyncReplicas, eligibleReplicas = [] }: PartitionImage): readonly BrokerId[] {
  return [...inSyncReplicas, ...eligibleReplicas];
}
