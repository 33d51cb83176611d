/**
 * What each broker holds, as counts: per topic, to find its partitions without looking at all of them, and in sum, for
 * whoever places new ones. No partition is kept here, so that the index grows with brokers and topics and not with
 * partitions, and a change that leaves the replicas alone does not touch it.
 */
import type { BrokerId, TopicId } from '@fleetmq/shared';
import { compareText, type PartitionImage } from './values.ts';

/** How many partitions a broker has. */
export interface BrokerHolding {
  /** Of which it is a replica. */
  readonly replicaCount: number;
  /** Of which it is the preferred leader. */
  readonly preferredCount: number;
}

interface Counts {
  replicaCount: number;
  preferredCount: number;
  /** Partitions of a topic of which it is a replica; never 0. */
  readonly topics: Map<TopicId, number>;
}

const nothing: BrokerHolding = { replicaCount: 0, preferredCount: 0 };

export class Holdings {
  readonly #brokers = new Map<BrokerId, Counts>();

  of(brokerId: BrokerId): BrokerHolding {
    const counts = this.#brokers.get(brokerId);
    if (counts === undefined) return nothing;
    return { replicaCount: counts.replicaCount, preferredCount: counts.preferredCount };
  }

  /** Of which it has partitions, by id. Sorts on each call. */
  topicsOf(brokerId: BrokerId): readonly TopicId[] {
    return [...(this.#brokers.get(brokerId)?.topics.keys() ?? [])].sort(compareText);
  }

  add(partition: PartitionImage): void {
    this.#count(partition, 1);
  }

  /** Of a partition that was added with these replicas. */
  remove(partition: PartitionImage): void {
    this.#count(partition, -1);
  }

  #count({ topicId, replicas }: PartitionImage, step: 1 | -1): void {
    for (const [position, brokerId] of replicas.entries()) {
      const counts = this.#brokers.get(brokerId) ?? { replicaCount: 0, preferredCount: 0, topics: new Map() };
      this.#brokers.set(brokerId, counts);
      counts.replicaCount += step;
      if (position === 0) counts.preferredCount += step;
      const ofTopic = (counts.topics.get(topicId) ?? 0) + step;
      if (ofTopic === 0) counts.topics.delete(topicId);
      else counts.topics.set(topicId, ofTopic);
      if (counts.replicaCount === 0) this.#brokers.delete(brokerId);
    }
  }
}
