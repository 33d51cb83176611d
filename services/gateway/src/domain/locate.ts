/** Where the calls for a partition go: its leader's internal listener, as the metadata has it. */
import { endpointOf, type MetadataImage } from '@fleetmq/metadata';
import { DomainError, isTopicName, type TopicPartitionName } from '@fleetmq/shared';

/** A broker that can be called. */
export interface Leader {
  readonly brokerId: number;
  /** `http://host:port` of its internal listener. */
  readonly url: string;
}

export type Location =
  | { readonly kind: 'leader'; readonly leader: Leader }
  /** It exists and nobody leads it at the moment, or its leader cannot be reached. */
  | { readonly kind: 'none' }
  /** There is no such partition: TOPIC_NOT_FOUND, PARTITION_NOT_FOUND or INVALID_REQUEST. */
  | { readonly kind: 'missing'; readonly error: DomainError };

export function locate(image: MetadataImage, { topic: name, partition: number }: TopicPartitionName): Location {
  const topic = image.topicByName(name);
  if (topic === undefined) return { kind: 'missing', error: missingTopic(name) };
  const partition = image.partition(topic.topicId, number);
  if (partition === undefined) {
    const text = `topic ${name} has partitions 0 to ${topic.partitionCount - 1}, not ${number}`;
    return { kind: 'missing', error: new DomainError('PARTITION_NOT_FOUND', text) };
  }
  const leader = leaderOf(image, partition.leaderId);
  return leader === undefined ? { kind: 'none' } : { kind: 'leader', leader };
}

/** The address of a broker's internal listener, if it is registered with one. */
function leaderOf(image: MetadataImage, brokerId: number): Leader | undefined {
  const broker = image.broker(brokerId as Parameters<MetadataImage['broker']>[0]);
  const endpoint = broker === undefined ? undefined : endpointOf(broker, 'internal');
  if (endpoint === undefined) return undefined;
  const host = endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host;
  return { brokerId, url: `${endpoint.tls ? 'https' : 'http'}://${host}:${endpoint.port}` };
}

/** Brokers in service that can be called, by id. */
export function activeBrokers(image: MetadataImage): Leader[] {
  return image
    .brokers()
    .filter((broker) => broker.state === 'active')
    .map((broker) => leaderOf(image, broker.brokerId))
    .filter((leader) => leader !== undefined);
}

function missingTopic(name: string): DomainError {
  if (isTopicName(name)) return new DomainError('TOPIC_NOT_FOUND', `there is no topic ${name}`);
  const grammar = '1 to 249 characters of A-Z a-z 0-9 . _ - and neither "." nor ".."';
  return new DomainError('INVALID_REQUEST', `topic_partition.topic is not a topic name: ${grammar}`);
}
