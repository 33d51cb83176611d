/** What the services of a broker are made of; one value per listener. */

import type { ListenerName, MetadataImage } from '@fleetmq/metadata';
import type { ControllerCalls, MetadataWatch } from '@fleetmq/metadata/link';
import type { BufferPool, Checksum, Clock, Timers } from '@fleetmq/shared';
import { DomainError } from '@fleetmq/shared';
import type { FetchBounds } from '../domain/fetch.ts';
import type { ControllerLink } from '../shell/controller-link.ts';
import type { Fetcher } from '../shell/fetcher.ts';
import type { ReplicationReceiver } from '../shell/follower.ts';
import type { BrokerMetrics } from '../shell/metrics.ts';
import type { MetricsHistory } from '../shell/metrics-history.ts';
import type { Migrations } from '../shell/migrations.ts';
import type { Partitions } from '../shell/partitions.ts';
import type { Producer } from '../shell/producer.ts';
import type { ProducerIds } from '../shell/producer-ids.ts';
import type { Replicator } from '../shell/replicator.ts';

export interface StreamLimits {
  /** Unanswered requests of one ProduceStream. */
  readonly requestsMax: number;
  /** Unanswered bytes of one ProduceStream. */
  readonly bytesMax: number;
  readonly subscriptionsMax: number;
  /** Unanswered bytes of one ReplicateStream. */
  readonly replicationBytesMax: number;
}

export interface RpcContext {
  readonly localId: number;
  /** Whose addresses hints and metadata carry. */
  readonly listener: ListenerName;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly checksum: Checksum;
  /** Where long requests lie. */
  readonly buffers: BufferPool;
  readonly image: MetadataImage;
  readonly watch: MetadataWatch;
  readonly calls: ControllerCalls;
  readonly link: ControllerLink;
  readonly partitions: Partitions;
  readonly producer: Producer;
  readonly producerIds: ProducerIds;
  readonly fetcher: Fetcher;
  readonly receiver: ReplicationReceiver;
  readonly replicator: Replicator;
  readonly migrations: Migrations;
  readonly metrics: BrokerMetrics;
  readonly history: MetricsHistory;
  readonly fetchBounds: FetchBounds;
  readonly streams: StreamLimits;
  /** Open subscriptions of all listeners. */
  readonly subscriptions: { count: number };
  readonly securityMode: string;
  readonly serverVersion: string;
  /** Throws NOT_AVAILABLE or SHUTTING_DOWN while this broker may not serve. */
  readonly assertServing: () => void;
}

/** For calls of the contract that this version does not have. */
export function unimplemented(what: string): never {
  throw new DomainError('UNIMPLEMENTED', `${what} is not supported by this version of the broker`);
}
