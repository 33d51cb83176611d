/**
 * The values that the metadata is made of: brokers, topics, partitions, and what holds for the whole cluster. All are
 * immutable; a change is a new value. `controller/metadata_log.proto` has the same shapes on the wire.
 *
 * Invariants: ids are unique; `leaderId` is 0 or one of `replicas`; `inSyncReplicas` is a subset of `replicas`.
 */
import type {
  BrokerEpoch,
  BrokerId,
  LeaderEpoch,
  MetadataVersion,
  PartitionEpoch,
  PartitionId,
  TopicId,
} from '@fleetmq/shared';

/** Which listener of a node an address belongs to. */
export type ListenerName = 'client' | 'internal' | 'ops';

export interface EndpointImage {
  readonly listener: ListenerName;
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
}

/**
 * `fenced`: registered, but not heard of lately or not caught up; leads nothing and counts for no ISR. `active`: in
 * service. `draining`: hands over its leaderships before it stops.
 */
export type BrokerState = 'fenced' | 'active' | 'draining';

export interface BrokerImage {
  readonly brokerId: BrokerId;
  /** Raft index of its registration. */
  readonly brokerEpoch: BrokerEpoch;
  /** Random id of its process. */
  readonly incarnationId: string;
  /** Empty: none. */
  readonly rackId: string;
  readonly endpoints: readonly EndpointImage[];
  readonly state: BrokerState;
  /** Random id of its data folder. */
  readonly diskId: string;
  /** Highest level of each feature that it knows. */
  readonly features: ReadonlyMap<string, number>;
}

export interface TopicImage {
  readonly topicId: TopicId;
  readonly name: string;
  /** Settings that differ from the cluster's defaults; see `settings.ts`. */
  readonly config: ReadonlyMap<string, string>;
  /** Made and written by the cluster itself. */
  readonly internal: boolean;
  readonly partitionCount: number;
}

export interface PartitionImage {
  readonly topicId: TopicId;
  readonly partition: PartitionId;
  /** 0: nobody leads it at the moment. */
  readonly leaderId: BrokerId;
  readonly leaderEpoch: LeaderEpoch;
  /** The first is the preferred leader. */
  readonly replicas: readonly BrokerId[];
  readonly inSyncReplicas: readonly BrokerId[];
  readonly partitionEpoch: PartitionEpoch;
}

export interface ClusterImage {
  /** Empty until the cluster has been named. */
  readonly clusterId: string;
  /** Defaults of topic settings that differ from the built-in ones. */
  readonly config: ReadonlyMap<string, string>;
  /** First producer id that was not given out. */
  readonly nextProducerId: bigint;
  /** Levels in use. */
  readonly features: ReadonlyMap<string, number>;
}

/** All of the metadata as of one version: brokers and topics by id, partitions by topic id and number. */
export interface MetadataSnapshotImage {
  readonly version: MetadataVersion;
  readonly cluster: ClusterImage;
  readonly brokers: readonly BrokerImage[];
  readonly topics: readonly TopicImage[];
  readonly partitions: readonly PartitionImage[];
}

/** The id that stands for "no broker". */
export const noBroker: BrokerId = 0 as BrokerId;

export const emptyCluster: ClusterImage = {
  clusterId: '',
  config: new Map(),
  nextProducerId: 1n,
  features: new Map(),
};

/** The broker's address of this kind, if it has one. */
export function endpointOf(broker: BrokerImage, listener: ListenerName): EndpointImage | undefined {
  return broker.endpoints.find((endpoint) => endpoint.listener === listener);
}

/** Order of plain strings by UTF-16 code units: the same on every node, whatever its locale. */
export function compareText(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

/** Order of partitions: by topic id, then by number. */
export function comparePartitions(left: PartitionImage, right: PartitionImage): number {
  return compareText(left.topicId, right.topicId) || left.partition - right.partition;
}
