/**
 * The number of in-sync replicas without which a partition's leader commits nothing: as brokers reckon it, from the settings of
 * topic and cluster as they will be after a command's events, and the replicas that the partition has or is to have.
 * For one command: each topic is looked up once.
 */
import {
  effectiveTopicConfig,
  type MetadataEvent,
  type PartitionImage,
  replicationFactorOf,
  type TopicImage,
} from '@fleetmq/metadata';
import type { TopicId } from '@fleetmq/shared';
import type { MetadataView } from './view.ts';

export class MinInsync {
  readonly #view: MetadataView;
  readonly #topics = new Map<TopicId, TopicImage>();
  readonly #known = new Map<string, number>();
  #cluster: MetadataView['cluster'];

  constructor(view: MetadataView, events: readonly MetadataEvent[] = []) {
    this.#view = view;
    this.#cluster = view.cluster;
    for (const event of events) {
      if (event.kind === 'cluster-changed') this.#cluster = event.cluster;
      else if (event.kind === 'topic-changed') this.#topics.set(event.topic.topicId, event.topic);
    }
  }

  of(partition: PartitionImage): number {
    const replicationFactor = replicationFactorOf(partition);
    const key = `${partition.topicId}:${replicationFactor}`;
    let known = this.#known.get(key);
    if (known === undefined) {
      const topic = this.#topics.get(partition.topicId) ?? this.#view.topicById(partition.topicId);
      const config = topic?.config ?? new Map<string, string>();
      known = effectiveTopicConfig({ config }, this.#cluster, replicationFactor).minInsyncReplicas;
      this.#known.set(key, known);
    }
    return known;
  }
}
