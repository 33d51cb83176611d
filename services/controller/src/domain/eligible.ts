/**
 * Which replicas are eligible (KIP-966): not in sync, but with every committed record. A member that leaves the ISR had them all,
 * and while the ISR has fewer members than min.insync.replicas its leader commits nothing more (P4). So those who leave an
 * ISR that is too small then stay eligible, and they are forgotten in the very step that makes it large enough again, be it
 * by a change of the ISR, of the replicas or of the setting. Brokers let no ISR count before they know the settings of the
 * same metadata version; hence the leader never works with a smaller minimum than the one that was reckoned with here.
 *
 * Invariants: eligible replicas are replicas and not in sync; there are none where the ISR has min.insync.replicas members. A
 * disk that was replaced is not eligible (`apply-brokers.ts` says so).
 */
import type { MetadataEvent, PartitionImage } from '@fleetmq/metadata';
import type { BrokerId } from '@fleetmq/shared';
import { changePartition, equalIds } from './elect.ts';
import { MinInsync } from './min-insync.ts';
import { type MetadataView, metadataLevel } from './view.ts';

/**
 * The events of a command with the eligible replicas that follow from them: in the partitions that it changes anyway, and in
 * those whose settings it changes.
 */
export function withEligible(view: MetadataView, events: readonly MetadataEvent[]): readonly MetadataEvent[] {
  if (metadataLevel(view) < 3) return events;
  const minimum = new MinInsync(view, events);
  const lost = lostDisk(view, events);
  const changed = events.map((event) => {
    if (event.kind !== 'partition-changed') return event;
    const { partition } = event;
    const before = view.partition(partition.topicId, partition.partition);
    const mayCommit = partition.inSyncReplicas.length >= minimum.of(partition);
    return {
      ...event,
      partition: reckoned(before, partition, mayCommit ? [] : partition.replicas.filter((id) => id !== lost)),
    };
  });
  return [...changed, ...forgetting(view, events, minimum)];
}

/** The partition with its eligible replicas, which are among `possible`. It has changed already: its epoch stays. */
function reckoned(
  before: PartitionImage | undefined,
  after: PartitionImage,
  possible: readonly BrokerId[],
): PartitionImage {
  const { eligibleReplicas: kept = [], ...rest } = after;
  const had = [...kept, ...(before?.inSyncReplicas ?? [])];
  const eligible = possible.filter((id) => had.includes(id) && !after.inSyncReplicas.includes(id));
  if (equalIds(eligible, kept)) return after;
  return eligible.length === 0 ? rest : { ...rest, eligibleReplicas: eligible };
}

/** The broker that these events remove, or give another data folder. A command is about one broker. */
function lostDisk(view: MetadataView, events: readonly MetadataEvent[]): BrokerId | undefined {
  for (const event of events) {
    if (event.kind === 'broker-removed') return event.brokerId;
    if (event.kind !== 'broker-changed') continue;
    const { brokerId, diskId } = event.broker;
    if (view.broker(brokerId)?.diskId !== diskId) return brokerId;
  }
  return undefined;
}

/** Partitions whose leaders may commit again with the settings that these events bring. */
function forgetting(view: MetadataView, events: readonly MetadataEvent[], minimum: MinInsync): MetadataEvent[] {
  const isForAll = events.some(
    (event) => event.kind === 'cluster-changed' && event.cluster.config !== view.cluster.config,
  );
  const topicIds = isForAll
    ? view.topics().map(({ topicId }) => topicId)
    : events.flatMap((event) => (event.kind === 'topic-changed' ? [event.topic.topicId] : []));
  return topicIds.flatMap((topicId) =>
    view
      .partitions(topicId)
      .filter((each) => each.eligibleReplicas !== undefined && each.inSyncReplicas.length >= minimum.of(each))
      .map((each) => ({ kind: 'partition-changed', partition: changePartition(each, { eligibleReplicas: [] }) })),
  );
}
