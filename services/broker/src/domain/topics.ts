/**
 * The metadata as one broker needs it for a call: which partition a name means, who leads it, and how to say that it is
 * somebody else. Reads the image and decides nothing about it.
 */
import {
  endpointOf,
  type ListenerName,
  type MetadataImage,
  type PartitionImage,
  type TopicImage,
} from '@fleetmq/metadata';
import { type BrokerId, DomainError, formatTopicPartition, isTopicName } from '@fleetmq/shared';

/** INVALID_REQUEST for a name that no topic can have, TOPIC_NOT_FOUND for one that none has. */
export function locateTopic(image: MetadataImage, topic: string): TopicImage {
  const found = image.topicByName(topic);
  if (found !== undefined) return found;
  if (!isTopicName(topic)) throw new DomainError('INVALID_REQUEST', `"${topic.slice(0, 300)}" is no topic name`);
  throw new DomainError('TOPIC_NOT_FOUND', `there is no topic "${topic}"`);
}

/** As `locateTopic`, and PARTITION_NOT_FOUND. */
export function locatePartition(image: MetadataImage, topic: string, partition: number): PartitionImage {
  const found = locateTopic(image, topic);
  const held = image.partition(found.topicId, partition);
  if (held !== undefined) return held;
  throw new DomainError(
    'PARTITION_NOT_FOUND',
    `topic "${topic}" has no partition ${partition}; it has ${image.partitions(found.topicId).length}`,
  );
}

/** `id@host:port` of a broker on listeners of this kind; empty when it is not known. */
function brokerHint(image: MetadataImage, brokerId: number, listener: ListenerName): string {
  const broker = image.broker(brokerId as BrokerId);
  const endpoint = broker === undefined ? undefined : endpointOf(broker, listener);
  return endpoint === undefined ? '' : `${brokerId}@${endpoint.host}:${endpoint.port}`;
}

/** NOT_LEADER with the leader's address, or NOT_AVAILABLE while nobody leads. */
export function notLeader(
  image: MetadataImage,
  topic: string,
  partition: PartitionImage,
  listener: ListenerName,
): DomainError {
  const name = formatTopicPartition(topic, partition.partition);
  if (partition.leaderId === 0) {
    return new DomainError('NOT_AVAILABLE', `${name} has no leader at the moment`, { retryAfterMs: 100 });
  }
  return new DomainError('NOT_LEADER', `broker ${partition.leaderId} leads ${name} in epoch ${partition.leaderEpoch}`, {
    leaderHint: brokerHint(image, partition.leaderId, listener),
  });
}
