/**
 * Chooses partitions. A key decides by Kafka's murmur2, so equal keys meet in one partition, the same one that a Kafka client
 * would take. Records without a key stick to one partition until its batch is closed, then move on (KIP-480): full batches
 * rather than many small ones. Partitions without a leader are left out of that choice, never out of the keyed one.
 */
import { DomainError, type Random } from '@fleetmq/shared';
import type { TopicView } from '../metadata.ts';
import { partitionOfKey } from './murmur2.ts';

/** A caller's own rule: answers a partition number, or undefined to leave it to the default. */
export type Partitioner = (record: {
  readonly topic: string;
  readonly key: Uint8Array | undefined;
  readonly partitionCount: number;
}) => number | undefined;

/** Sticky choice for one topic. */
export class StickyChoice {
  readonly #random: Random;
  #partition: number | undefined;

  constructor(random: Random) {
    this.#random = random;
  }

  /** The current partition; another one if `isUsedUp` says that its batch is closed. */
  choose(topic: TopicView, isUsedUp: (partition: number) => boolean): number {
    const current = this.#partition;
    if (current !== undefined && current < topic.partitions.length && !isUsedUp(current)) return current;
    const led = topic.partitions.filter(({ leaderId }) => leaderId !== 0);
    const candidates = led.length > 0 ? led : topic.partitions;
    const others = candidates.filter(({ partition }) => partition !== current);
    const choice = (others.length > 0 ? others : candidates)[
      Math.floor(this.#random.next() * Math.max(1, others.length))
    ];
    this.#partition = choice?.partition ?? 0;
    return this.#partition;
  }
}

/** The partition that a record's own fields decide, or undefined: then it is the sticky one. */
export function fixedPartition(
  topic: TopicView,
  record: { readonly key: Uint8Array | undefined; readonly partition: number | undefined },
  partitioner: Partitioner | undefined,
): number | undefined {
  const partitionCount = topic.partitions.length;
  const { key } = record;
  const chosen = record.partition ?? partitioner?.({ topic: topic.name, key, partitionCount });
  if (chosen === undefined) return key === undefined ? undefined : partitionOfKey(key, partitionCount);
  if (!Number.isInteger(chosen) || chosen < 0 || chosen >= partitionCount) {
    throw new DomainError(
      'PARTITION_NOT_FOUND',
      `topic ${topic.name} has ${partitionCount} partitions, not number ${chosen}`,
    );
  }
  return chosen;
}
