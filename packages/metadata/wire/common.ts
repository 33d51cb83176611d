/** Image values -> the messages that clients see (`common/metadata.proto`), and small conversions that all services share. */
import { create } from '@bufbuild/protobuf';
import { type Duration, DurationSchema } from '@bufbuild/protobuf/wkt';
import {
  type BrokerMetadata,
  BrokerMetadataSchema,
  type ConfigEntry,
  ConfigEntrySchema,
  ConfigSource,
  type TopicMetadata,
  TopicMetadataSchema,
} from '@fleetmq/gen/common/metadata';
import type { ApiVersion } from '@fleetmq/gen/common/types';
import type {
  BrokerImage,
  ListenerName,
  MetadataImage,
  PartitionImage,
  TopicConfigEntry,
  TopicImage,
} from '@fleetmq/metadata';
import { assertMajor, endpointOf } from '@fleetmq/metadata';
import { DomainError } from '@fleetmq/shared';
import { brokerStateToProto, endpointToProto, partitionToProto } from './values.ts';

/** UNSUPPORTED_VERSION for a major above ours. An absent version is 1.0.0, and 0 counts as absent. */
export function checkVersion(version: Pick<ApiVersion, 'major'> | undefined): void {
  assertMajor(version?.major ?? 0);
}

export function topicToProto(image: MetadataImage, topic: TopicImage): TopicMetadata {
  return create(TopicMetadataSchema, {
    name: topic.name,
    topicId: topic.topicId,
    partitions: image.partitions(topic.topicId).map(partitionToProto),
    internal: topic.internal,
    config: Object.fromEntries(topic.config),
  });
}

/** A broker with the one listener that the reader may know of; without an endpoint if it has no such listener. */
export function brokerToProto(broker: BrokerImage, listener: ListenerName): BrokerMetadata {
  const endpoint = endpointOf(broker, listener);
  return create(BrokerMetadataSchema, {
    broker: { id: String(broker.brokerId), rackId: broker.rackId },
    endpoints: endpoint === undefined ? [] : [endpointToProto(endpoint)],
    brokerEpoch: BigInt(broker.brokerEpoch),
    state: brokerStateToProto(broker.state),
    incarnationId: broker.incarnationId,
  });
}

/** `id@host:port` of the partition's leader on this listener; undefined while there is none that can be reached. */
export function leaderHintOf(
  image: MetadataImage,
  partition: PartitionImage,
  listener: ListenerName,
): string | undefined {
  const broker = image.broker(partition.leaderId);
  const endpoint = broker === undefined ? undefined : endpointOf(broker, listener);
  return endpoint === undefined ? undefined : `${partition.leaderId}@${endpoint.host}:${endpoint.port}`;
}

const sources: Readonly<Record<TopicConfigEntry['source'], ConfigSource>> = {
  default: ConfigSource.DEFAULT,
  cluster: ConfigSource.CLUSTER,
  topic: ConfigSource.TOPIC,
};

export function configEntryToProto(entry: TopicConfigEntry): ConfigEntry {
  return create(ConfigEntrySchema, { ...entry, source: sources[entry.source] });
}

/** Milliseconds, 0 or more, as a Duration. */
export function durationToProto(durationMs: number): Duration {
  const seconds = Math.floor(durationMs / 1_000);
  const nanos = Math.floor((durationMs - seconds * 1_000) * 1_000_000);
  return create(DurationSchema, { seconds: BigInt(seconds), nanos });
}

/** A Duration in milliseconds; undefined when it is absent. INVALID_REQUEST for a negative one. */
export function durationFromProto(duration: Duration | undefined, what: string): number | undefined {
  if (duration === undefined) return undefined;
  const durationMs = Number(duration.seconds) * 1_000 + duration.nanos / 1_000_000;
  if (durationMs < 0) throw new DomainError('INVALID_REQUEST', `${what} of ${durationMs} ms is negative`);
  return durationMs;
}
