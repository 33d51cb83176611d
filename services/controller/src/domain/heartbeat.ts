/** What a broker says with a heartbeat, and what it is told. Nothing of it is in the log but what it leads to. */
import type { MetadataVersion, PartitionId, TopicId } from '@fleetmq/shared';
import type { BrokerLife } from './commands.ts';
import type { MovingPartition } from './copy-progress.ts';
import type { LogEnd } from './proven-logs.ts';

/** A log that is closed. */
export interface FailedReplica {
  readonly topicId: TopicId;
  readonly partition: PartitionId;
  /** For people. */
  readonly reason: string;
}

export interface Heartbeat extends BrokerLife {
  /** What the broker has applied. */
  readonly metadataVersion: number;
  /** It wants to hand over its leaderships before it stops. */
  readonly wantShutDown: boolean;
  /** Logs that are closed after an error. */
  readonly failedPartitions: readonly FailedReplica[];
  /** Of partitions that nobody leads. */
  readonly logEnds: readonly LogEnd[];
  /** Partitions that it leads and that move. */
  readonly moving: readonly MovingPartition[];
}

export interface HeartbeatAnswer {
  readonly fenced: boolean;
  /** It has applied everything up to its registration. */
  readonly caughtUp: boolean;
  /** It leads nothing that another replica could lead, and is in no ISR but those for which no other replica is on its way. */
  readonly mayShutDown: boolean;
  readonly metadataVersion: MetadataVersion;
}
