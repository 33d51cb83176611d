/**
 * A snapshot in parts, so that no message that carries one grows with the cluster. The parts are snapshots themselves,
 * each with some of the items, in the snapshot's order; every part carries the version and the cluster-wide values.
 */
import { assert } from '@fleetmq/shared';
import type { MetadataSnapshotImage } from './values.ts';

/** At least one part, each of at most `itemsMax` brokers, topics, partitions and reassignments taken together. */
export function* snapshotParts(snapshot: MetadataSnapshotImage, itemsMax = 1_000): Generator<MetadataSnapshotImage> {
  assert(Number.isSafeInteger(itemsMax) && itemsMax > 0, `a part cannot hold ${itemsMax} items`);
  const { brokers, topics, partitions, reassignments } = snapshot;
  const beforePartitions = brokers.length + topics.length;
  const beforeReassignments = beforePartitions + partitions.length;
  const total = beforeReassignments + reassignments.length;
  for (let from = 0; from === 0 || from < total; from += itemsMax) {
    const slice = <Item>(items: readonly Item[], before: number): readonly Item[] =>
      items.slice(Math.max(0, from - before), Math.max(0, from + itemsMax - before));
    yield {
      ...snapshot,
      brokers: slice(brokers, 0),
      topics: slice(topics, brokers.length),
      partitions: slice(partitions, beforePartitions),
      reassignments: slice(reassignments, beforeReassignments),
    };
  }
}

/** The reverse of `snapshotParts`: what several parts of one snapshot describe together. */
export function joinSnapshotParts(parts: readonly MetadataSnapshotImage[]): MetadataSnapshotImage {
  const last = parts.at(-1);
  assert(last !== undefined, 'a snapshot has at least one part');
  return {
    version: last.version,
    cluster: last.cluster,
    brokers: parts.flatMap((part) => part.brokers),
    topics: parts.flatMap((part) => part.topics),
    partitions: parts.flatMap((part) => part.partitions),
    reassignments: parts.flatMap((part) => part.reassignments),
  };
}
