/**
 * The metadata image: the fold of all metadata events up to one version, with the indexes that its readers need. The
 * controllers' state machine, every broker and every gateway hold one. It decides nothing; it has one owner, who alone
 * calls `apply`, and hands out immutable values.
 *
 * Invariants: `version` never goes back; a name belongs to one topic; the partitions of a topic are numbered 0, 1, 2 ...
 * without a gap; every iteration has an order that depends on the content alone, never on its history, so that two nodes
 * of the same version walk it alike. Breaking them is a bug in the events, hence an assertion.
 */
import { assert, type BrokerId, type MetadataVersion, type TopicId, unreachable } from '@fleetmq/shared';
import { type MetadataEvent, partitionKey } from './events.ts';
import { type BrokerHolding, Holdings } from './holdings.ts';
import {
  type BrokerImage,
  type ClusterImage,
  comparePartitions,
  compareReassignments,
  compareText,
  emptyCluster,
  type MetadataSnapshotImage,
  type PartitionImage,
  type ReassignmentImage,
  replicationFactorOf,
  type TopicImage,
} from './values.ts';

const noPartitions: readonly PartitionImage[] = [];
/** Topics that are put at their places one by one; with more, all are sorted. */
const unsortedMax = 64;

export class MetadataImage {
  #version = 0 as MetadataVersion;
  #cluster = emptyCluster;
  readonly #brokers = new Map<BrokerId, BrokerImage>();
  readonly #topics = new Map<TopicId, TopicImage>();
  readonly #topicsByName = new Map<string, TopicImage>();
  /** By number. */
  readonly #partitions = new Map<TopicId, PartitionImage[]>();
  #partitionCount = 0;
  readonly #holdings = new Holdings();
  /** The partitions that move, by their keys. */
  readonly #moving = new Map<string, PartitionImage>();
  readonly #reassignments = new Map<string, ReassignmentImage>();
  #sortedBrokers: readonly BrokerImage[] | undefined;
  #sortedTopics: readonly TopicImage[] | undefined;
  /** Names of topics that have changed since they were sorted. */
  readonly #unsorted = new Set<string>();

  /** The image that `snapshot` describes. */
  static fromSnapshot(snapshot: MetadataSnapshotImage): MetadataImage {
    const image = new MetadataImage();
    const brokers = snapshot.brokers.map((broker): MetadataEvent => ({ kind: 'broker-changed', broker }));
    const topics = snapshot.topics.map((topic): MetadataEvent => ({ kind: 'topic-changed', topic }));
    const partitions = snapshot.partitions.map(
      (partition): MetadataEvent => ({ kind: 'partition-changed', partition }),
    );
    const reassignments = snapshot.reassignments.map(
      (reassignment): MetadataEvent => ({ kind: 'reassignment-changed', reassignment }),
    );
    image.apply(snapshot.version, [
      { kind: 'cluster-changed', cluster: snapshot.cluster },
      ...brokers,
      ...topics,
      ...partitions,
      ...reassignments,
    ]);
    return image;
  }

  /** Version after the last events that were applied; 0: nothing yet. */
  get version(): MetadataVersion {
    return this.#version;
  }

  get cluster(): ClusterImage {
    return this.#cluster;
  }

  broker(brokerId: BrokerId): BrokerImage | undefined {
    return this.#brokers.get(brokerId);
  }

  /** By id. The same array until a broker changes. */
  brokers(): readonly BrokerImage[] {
    this.#sortedBrokers ??= [...this.#brokers.values()].sort((left, right) => left.brokerId - right.brokerId);
    return this.#sortedBrokers;
  }

  topicByName(name: string): TopicImage | undefined {
    return this.#topicsByName.get(name);
  }

  topicById(topicId: TopicId): TopicImage | undefined {
    return this.#topics.get(topicId);
  }

  get topicCount(): number {
    return this.#topics.size;
  }

  /** By name. The same array until a topic changes. */
  topics(): readonly TopicImage[] {
    if (this.#sortedTopics === undefined) {
      this.#sortedTopics = [...this.#topics.values()].sort((left, right) => compareText(left.name, right.name));
    } else if (this.#unsorted.size > 0) {
      this.#sortedTopics = this.#sortedAnew(this.#sortedTopics);
    }
    this.#unsorted.clear();
    return this.#sortedTopics;
  }

  partition(topicId: TopicId, partition: number): PartitionImage | undefined {
    return this.#partitions.get(topicId)?.[partition];
  }

  /** Of all topics. */
  get partitionCount(): number {
    return this.#partitionCount;
  }

  /** By number; empty for a topic that does not exist. */
  partitions(topicId: TopicId): readonly PartitionImage[] {
    return this.#partitions.get(topicId) ?? noPartitions;
  }

  /** Replicas of the topic's partitions; 0 for one that does not exist. */
  replicationFactor(topicId: TopicId): number {
    const first = this.partition(topicId, 0);
    return first === undefined ? 0 : replicationFactorOf(first);
  }

  /** The partitions that this broker is a replica of, by topic id, then number. Looks through their topics on each call. */
  partitionsOfBroker(brokerId: BrokerId): readonly PartitionImage[] {
    return this.#holdings
      .topicsOf(brokerId)
      .flatMap((topicId) => this.partitions(topicId).filter(({ replicas }) => replicas.includes(brokerId)));
  }

  /** How many partitions this broker has; zeroes for one that has none. */
  holding(brokerId: BrokerId): BrokerHolding {
    return this.#holdings.of(brokerId);
  }

  /** The partitions that move to other brokers now, by topic id, then number. Sorts on each call. */
  movingPartitions(): readonly PartitionImage[] {
    return [...this.#moving.values()].sort(comparePartitions);
  }

  reassignment(reassignmentId: string): ReassignmentImage | undefined {
    return this.#reassignments.get(reassignmentId);
  }

  /** Running ones and some that ended, by start. Sorts on each call. */
  reassignments(): readonly ReassignmentImage[] {
    return [...this.#reassignments.values()].sort(compareReassignments);
  }

  /** Applies the events in their order; afterwards the image has `version`, which is not below the one it had. */
  apply(version: MetadataVersion, events: readonly MetadataEvent[]): void {
    assert(version >= this.#version, `metadata version ${version} is older than ${this.#version}`);
    for (const event of events) this.#applyOne(event);
    this.#version = version;
  }

  /** All of it, sorted by ids. */
  snapshot(): MetadataSnapshotImage {
    const topics = [...this.#topics.values()].sort((left, right) => compareText(left.topicId, right.topicId));
    return {
      version: this.#version,
      cluster: this.#cluster,
      brokers: this.brokers(),
      topics,
      partitions: topics.flatMap((topic) => this.partitions(topic.topicId)),
      reassignments: this.reassignments(),
    };
  }

  #applyOne(event: MetadataEvent): void {
    switch (event.kind) {
      case 'broker-changed':
        this.#sortedBrokers = undefined;
        this.#brokers.set(event.broker.brokerId, event.broker);
        return;
      case 'broker-removed':
        this.#sortedBrokers = undefined;
        this.#brokers.delete(event.brokerId);
        return;
      case 'topic-changed':
        this.#changeTopic(event.topic);
        return;
      case 'topic-removed':
        this.#removeTopic(event.topicId);
        return;
      case 'partition-changed':
        this.#changePartition(event.partition);
        return;
      case 'cluster-changed':
        this.#cluster = event.cluster;
        return;
      case 'reassignment-changed':
        this.#reassignments.set(event.reassignment.reassignmentId, event.reassignment);
        return;
      case 'reassignment-removed':
        this.#reassignments.delete(event.reassignmentId);
        return;
      default:
        unreachable(event);
    }
  }

  #changeTopic(topic: TopicImage): void {
    const known = this.#topics.get(topic.topicId);
    const holder = this.#topicsByName.get(topic.name);
    assert(known === undefined || known.name === topic.name, `topic ${topic.topicId} changed its name`);
    assert(holder === undefined || holder.topicId === topic.topicId, `two topics are named ${topic.name}`);
    assert(
      topic.partitionCount >= this.partitions(topic.topicId).length,
      `topic ${topic.name} shrank to ${topic.partitionCount} partitions`,
    );
    this.#noteUnsorted(topic.name);
    this.#topics.set(topic.topicId, topic);
    this.#topicsByName.set(topic.name, topic);
  }

  #removeTopic(topicId: TopicId): void {
    const topic = this.#topics.get(topicId);
    if (topic === undefined) return;
    for (const partition of this.partitions(topicId)) {
      this.#holdings.remove(partition);
      this.#noteMove(partition, undefined);
    }
    this.#partitionCount -= this.partitions(topicId).length;
    this.#noteUnsorted(topic.name);
    this.#partitions.delete(topicId);
    this.#topics.delete(topicId);
    this.#topicsByName.delete(topic.name);
  }

  #changePartition(partition: PartitionImage): void {
    const { topicId, partition: number } = partition;
    const topic = this.#topics.get(topicId);
    assert(topic !== undefined, `partition ${number} of the unknown topic ${topicId}`);
    assert(number < topic.partitionCount, `topic ${topic.name} has no partition ${number}`);
    const partitions = this.#partitions.get(topicId) ?? [];
    assert(number <= partitions.length, `topic ${topic.name} has a gap before partition ${number}`);
    const before = partitions[number];
    partitions[number] = partition;
    this.#partitions.set(topicId, partitions);
    if (before === undefined) this.#partitionCount++;
    if (before?.replicas !== partition.replicas) {
      if (before !== undefined) this.#holdings.remove(before);
      this.#holdings.add(partition);
    }
    this.#noteMove(before, partition);
  }

  /** Many changes are sorted with all the others; so nothing piles up where nobody asks for the order. */
  #noteUnsorted(name: string): void {
    if (this.#sortedTopics === undefined) return;
    this.#unsorted.add(name);
    if (this.#unsorted.size > unsortedMax) this.#sortedTopics = undefined;
  }

  /** Each topic that has changed at its place. */
  #sortedAnew(sorted: readonly TopicImage[]): readonly TopicImage[] {
    const topics = [...sorted];
    for (const name of this.#unsorted) {
      const position = positionOf(topics, name);
      const topic = this.#topicsByName.get(name);
      const was = topics[position]?.name === name ? 1 : 0;
      topics.splice(position, was, ...(topic === undefined ? [] : [topic]));
    }
    return topics;
  }

  #noteMove(before: PartitionImage | undefined, after: PartitionImage | undefined): void {
    if (after?.move !== undefined) this.#moving.set(partitionKey(after), after);
    else if (before?.move !== undefined) this.#moving.delete(partitionKey(before));
  }
}

/** Of the first topic whose name is not below this one. */
function positionOf(topics: readonly TopicImage[], name: string): number {
  let low = 0;
  let high = topics.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((topics[middle] as TopicImage).name < name) low = middle + 1;
    else high = middle;
  }
  return low;
}
