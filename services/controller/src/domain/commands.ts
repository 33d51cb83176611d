/**
 * The commands of the metadata state machine as plain values, and what each of them answers. They are the data of the
 * controllers' log (`controller/metadata_log.proto`); `wire/commands.ts` maps both ways.
 *
 * A command says what shall happen and under which condition (epochs, counts); `apply.ts` decides. It holds everything
 * that was chosen at random or by a clock when it was proposed (ids, assignments), so that every node decides alike.
 */
import type { EndpointImage, FeatureLevels, PartitionImage } from '@fleetmq/metadata';
import type {
  BrokerEpoch,
  BrokerId,
  LeaderEpoch,
  MetadataVersion,
  PartitionEpoch,
  PartitionId,
  TopicId,
} from '@fleetmq/shared';

/** The brokers of one partition; the first is the preferred leader. */
export type Assignment = readonly BrokerId[];

export interface RegisterBroker {
  readonly kind: 'register-broker';
  readonly brokerId: BrokerId;
  /** Random id of the process; the same one again changes nothing. */
  readonly incarnationId: string;
  readonly rackId: string;
  readonly endpoints: readonly EndpointImage[];
  /** Random id of the data folder. */
  readonly diskId: string;
  /** The folder was closed cleanly, so that its logs are whole. */
  readonly cleanShutdown: boolean;
  readonly features: ReadonlyMap<string, number>;
}

/** Names one life of a broker: a command for another life is refused. */
export interface BrokerLife {
  readonly brokerId: BrokerId;
  readonly brokerEpoch: BrokerEpoch;
}

export interface FenceBroker extends BrokerLife {
  readonly kind: 'fence-broker';
}

/** Puts a fenced or draining broker in service; one that an operator has drained goes on draining. */
export interface UnfenceBroker extends BrokerLife {
  readonly kind: 'unfence-broker';
  /** It is drained no more; a fenced one stays fenced. */
  readonly cancelDrain?: true;
}

export interface UnregisterBroker {
  readonly kind: 'unregister-broker';
  readonly brokerId: BrokerId;
}

export interface DrainBroker extends BrokerLife {
  readonly kind: 'drain-broker';
  /** It is about to stop, and leaves each ISR that is large enough without it. */
  readonly stopping?: true;
  /** It stays drained, over restarts, until that is cancelled. */
  readonly keep?: true;
}

export interface CreateTopic {
  readonly kind: 'create-topic';
  readonly name: string;
  readonly topicId: TopicId;
  readonly assignments: readonly Assignment[];
  readonly config: ReadonlyMap<string, string>;
  readonly internal: boolean;
}

export interface DeleteTopic {
  readonly kind: 'delete-topic';
  readonly topicId: TopicId;
}

export interface AddPartitions {
  readonly kind: 'add-partitions';
  readonly topicId: TopicId;
  /** Compare-and-set. */
  readonly currentCount: number;
  readonly assignments: readonly Assignment[];
}

export interface AlterConfig {
  readonly kind: 'alter-config';
  /** Undefined: the cluster's defaults. */
  readonly topicId: TopicId | undefined;
  readonly set: ReadonlyMap<string, string>;
  readonly remove: readonly string[];
  /** Compare, for the cluster's defaults: they have not changed after this version. Undefined: do not. */
  readonly expectedVersion?: MetadataVersion | undefined;
}

export interface ChangeIsr extends BrokerLife {
  readonly kind: 'change-isr';
  readonly topicId: TopicId;
  readonly partition: PartitionId;
  readonly leaderEpoch: LeaderEpoch;
  readonly partitionEpoch: PartitionEpoch;
  readonly inSyncReplicas: readonly BrokerLife[];
}

export interface ElectLeader {
  readonly kind: 'elect-leader';
  readonly topicId: TopicId;
  readonly partition: PartitionId;
  /** 0: the preferred leader. */
  readonly targetId: BrokerId;
  /** Compare; undefined: do not. */
  readonly leaderEpoch: LeaderEpoch | undefined;
}

export interface AllocateProducerIds extends BrokerLife {
  readonly kind: 'allocate-producer-ids';
  readonly count: number;
}

export interface SetClusterId {
  readonly kind: 'set-cluster-id';
  readonly clusterId: string;
  /** Levels that the new cluster begins with. */
  readonly features: FeatureLevels;
}

export interface ReplicaMove {
  readonly topicId: TopicId;
  readonly partition: PartitionId;
  readonly targetReplicas: Assignment;
  /** Compare: the replicas that the plan was made for. */
  readonly sourceReplicas: Assignment;
}

export interface StartReassignment {
  readonly kind: 'start-reassignment';
  readonly reassignmentId: string;
  readonly moves: readonly ReplicaMove[];
  /** What each broker may send a second to the new replicas. Absent: all it can. */
  readonly bytesPerSecondMax?: number;
}

export interface CancelReassignment {
  readonly kind: 'cancel-reassignment';
  readonly reassignmentId: string;
}

export interface SetFeatures {
  readonly kind: 'set-features';
  readonly levels: FeatureLevels;
}

/** A replica whose log was found whole in this life of its broker. */
export interface ProvenReplica extends BrokerLife {
  readonly topicId: TopicId;
  readonly partition: PartitionId;
  /** Compare. */
  readonly leaderEpoch: LeaderEpoch;
}

export interface ElectProven {
  readonly kind: 'elect-proven';
  readonly replicas: readonly ProvenReplica[];
}

/** The replica's log is closed after an error. */
export interface FailReplica extends BrokerLife {
  readonly kind: 'fail-replica';
  readonly topicId: TopicId;
  readonly partition: PartitionId;
}

export type MetadataCommand =
  | RegisterBroker
  | FenceBroker
  | UnfenceBroker
  | UnregisterBroker
  | DrainBroker
  | CreateTopic
  | DeleteTopic
  | AddPartitions
  | AlterConfig
  | ChangeIsr
  | ElectLeader
  | AllocateProducerIds
  | SetClusterId
  | StartReassignment
  | CancelReassignment
  | SetFeatures
  | ElectProven
  | FailReplica;

export interface ProducerIdBlock {
  readonly first: bigint;
  readonly count: number;
}

/** How many partitions go back to their source replicas, and how many cannot. */
export interface CancelledMoves {
  readonly cancelled: number;
  readonly remaining: number;
}

/** What a command answers beyond "done". */
export interface CommandResults {
  'register-broker': BrokerEpoch;
  'change-isr': PartitionImage;
  'elect-leader': PartitionImage;
  'allocate-producer-ids': ProducerIdBlock;
  'cancel-reassignment': CancelledMoves;
}

export type ResultOf<Command extends MetadataCommand> = Command['kind'] extends keyof CommandResults
  ? CommandResults[Command['kind']]
  : undefined;
