/**
 * The values that the metadata is made of: brokers, topics, partitions, and what holds for the whole cluster. All are
 * immutable; a change is a new value. `controller/metadata_log.proto` has the same shapes on the wire.
 *
 * Invariants: ids are unique; `leaderId` is 0 or one of `replicas`; `inSyncReplicas` and `eligibleReplicas` are subsets of
 * `replicas` without a common member; while a partition moves, `replicas` are its target replicas and, behind them, the source replicas that are to go (KIP-455).
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
 * service. `draining`: hands over its leaderships, because it is about to stop or an operator wants it.
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
  /** This life began with logs that were closed in order, or with none. Absent: not known, or before metadata.version 3. */
  readonly cleanStart?: true;
  /** By an operator, until it is cancelled: `draining` whenever it is in service. From metadata.version 3 on. */
  readonly drained?: true;
  /** About to stop: it joins no ISR. From metadata.version 3 on. */
  readonly stopping?: true;
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
  /** Not in sync, but with every committed record (KIP-966). Absent: none, or before metadata.version 3. */
  readonly eligibleReplicas?: readonly BrokerId[];
  /** Absent: its replicas stay where they are. */
  readonly move?: PartitionMove;
}

/** A partition on its way to other brokers. */
export interface PartitionMove {
  readonly reassignmentId: string;
  /** Replicas as before. */
  readonly sourceReplicas: readonly BrokerId[];
  /** Replicas once all of these are in sync. */
  readonly targetReplicas: readonly BrokerId[];
}

/** Moves of replicas that were asked for together. */
export interface ReassignmentImage {
  /** 32 hexadecimal digits. */
  readonly reassignmentId: string;
  /** By the wall clock of the leader that proposed it. */
  readonly startedAtMs: number;
  readonly totalPartitions: number;
  readonly donePartitions: number;
  /** Back on their source replicas, or deleted with their topic. */
  readonly cancelledPartitions: number;
  /** 0: it runs. */
  readonly endedAtMs: number;
  /** What each broker may send a second to the replicas that it brings. Absent: all it can. */
  readonly bytesPerSecondMax?: number;
}

export interface ClusterImage {
  /** Empty until the cluster has been named. */
  readonly clusterId: string;
  /** Defaults of topic settings that differ from the built-in ones. */
  readonly config: ReadonlyMap<string, string>;
  /** First producer id that was not given out. */
  readonly nextProducerId: bigint;
  /** Levels in use; see `features.ts`. */
  readonly features: ReadonlyMap<string, number>;
  /** Version of the last change of `config`; 0 before metadata.version 2. */
  readonly configVersion: MetadataVersion;
}

/** All of the metadata as of one version: brokers and topics by id, partitions by topic id and number, reassignments by start. */
export interface MetadataSnapshotImage {
  readonly version: MetadataVersion;
  readonly cluster: ClusterImage;
  readonly brokers: readonly BrokerImage[];
  readonly topics: readonly TopicImage[];
  readonly partitions: readonly PartitionImage[];
  readonly reassignments: readonly ReassignmentImage[];
}

/** The id that stands for "no broker". */
export const noBroker: BrokerId = 0 as BrokerId;

export const emptyCluster: ClusterImage = {
  clusterId: '',
  config: new Map(),
  nextProducerId: 1n,
  features: new Map(),
  configVersion: 0 as MetadataVersion,
};

/** How many replicas the partition has, but for those that come and go while it moves. */
export function replicationFactorOf({ replicas, move }: Pick<PartitionImage, 'replicas' | 'move'>): number {
  return (move?.targetReplicas ?? replicas).length;
}

/** Replicas that a move brings. */
export function addingReplicas({ move }: PartitionImage): readonly BrokerId[] {
  return move === undefined ? [] : move.targetReplicas.filter((brokerId) => !move.sourceReplicas.includes(brokerId));
}

/** Replicas that a move takes away in the end. */
export function removingReplicas({ move }: PartitionImage): readonly BrokerId[] {
  return move === undefined ? [] : move.sourceReplicas.filter((brokerId) => !move.targetReplicas.includes(brokerId));
}

/** Whether a leader may take the broker into its ISR. */
export function mayJoinIsr({ state, drained, stopping }: BrokerImage): boolean {
  return state === 'active' || (state === 'draining' && drained === true && stopping !== true);
}

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

/** Order of reassignments: by start, then by id. */
export function compareReassignments(left: ReassignmentImage, right: ReassignmentImage): number {
  return left.startedAtMs - right.startedAtMs || compareText(left.reassignmentId, right.reassignmentId);
}
