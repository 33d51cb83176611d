/** What a broker counts. The hot path bumps plain fields; the rest is read when somebody asks. */

import { addMetadataMetrics, type MetadataWatch } from '@fleetmq/metadata/link';
import type { AnswerMemory } from '@fleetmq/shared';
import {
  type Counter,
  type Histogram,
  latencyBounds,
  type MetricsRegistry,
  observeAnswers,
  type Reading,
} from '@fleetmq/shared/runtime';
import type { ByteBudget } from './byte-budget.ts';
import type { ControllerLink } from './controller-link.ts';
import type { BatchInflater } from './inflater.ts';
import type { MoveProgress } from './move-progress.ts';
import type { Partitions } from './partitions.ts';
import type { Replicator } from './replicator.ts';

export interface BrokerMetrics {
  readonly recordsIn: Counter;
  readonly bytesIn: Counter;
  readonly bytesOut: Counter;
  readonly batchesIn: Counter;
  readonly refused: { series(code: string): Counter };
  readonly replicatedIn: Counter;
  readonly inflatedBytes: Counter;
  readonly scrubbedBytes: Counter;
  readonly scrubbedDamage: Counter;
  readonly compactedBytes: Counter;
  readonly compactionRemovedRecords: Counter;
  readonly compactionRemovedBytes: Counter;
  readonly compactionFailures: Counter;
  readonly isrChanges: { series(kind: string): Counter };
  readonly syncSeconds: Histogram;
}

export function createBrokerMetrics(metrics: MetricsRegistry): BrokerMetrics {
  const counter = (name: string, help: string): Counter => metrics.counter({ name: `fleetmq_broker_${name}`, help });
  return {
    recordsIn: counter('records_in', 'Records that producers have appended.'),
    bytesIn: counter('bytes_in', 'Bytes of batches that producers have appended.'),
    bytesOut: counter('bytes_out', 'Bytes of batches that were sent to consumers.'),
    batchesIn: counter('batches_in', 'Batches that producers have appended.'),
    refused: metrics.counters({
      name: 'fleetmq_broker_refused_batches',
      help: 'Batches that were not appended, by error code.',
      labels: ['code'],
    }),
    replicatedIn: counter('replication_bytes_in', 'Bytes of batches that leaders have sent to this broker.'),
    inflatedBytes: counter('inflated_bytes', 'Bytes of answers that were inflated for readers without the codec.'),
    scrubbedBytes: counter('scrubbed_bytes', 'Bytes of logs that were read again to find damage.'),
    scrubbedDamage: counter('scrubbed_damage', 'Times that damage was found so.'),
    compactedBytes: counter('compacted_bytes', 'Bytes of logs that compaction has read.'),
    compactionRemovedRecords: counter('compaction_removed_records', 'Records that compaction has removed.'),
    compactionRemovedBytes: counter('compaction_removed_bytes', 'Bytes of logs that compaction has freed.'),
    compactionFailures: counter('compaction_failures', 'Compactions of a log that have ended early.'),
    isrChanges: metrics.counters({
      name: 'fleetmq_broker_isr_changes',
      help: 'Changes of in-sync replicas that this broker has asked for and got.',
      labels: ['kind'],
    }),
    syncSeconds: metrics.histogram({
      name: 'fleetmq_broker_sync_seconds',
      help: 'How long it took to make a log durable: fdatasync, or a write that does as much.',
      bounds: latencyBounds,
    }),
  };
}

export interface ObservedParts {
  readonly partitions: Partitions;
  readonly replicator: Replicator;
  readonly moves: () => readonly MoveProgress[];
  readonly link: ControllerLink;
  readonly pendingBudget: ByteBudget;
  readonly answers: AnswerMemory;
  readonly inflater: Pick<BatchInflater, 'size'>;
  readonly subscriptions: () => number;
  readonly watch: MetadataWatch;
}

export function observeBroker(metrics: MetricsRegistry, parts: ObservedParts): void {
  const { partitions, replicator, link, pendingBudget, answers, inflater } = parts;
  const gauge = (name: string, help: string, read: () => number): void =>
    metrics.observed({ name: `fleetmq_broker_${name}`, help }, read);
  gauge('partitions', 'Replicas that this broker holds.', () => partitions.size);
  gauge('leaders', 'Partitions that this broker leads.', () => countLeaders(partitions));
  gauge('under_replicated_partitions', 'Led partitions that lack an in-sync replica.', () =>
    underReplicated(partitions),
  );
  gauge('offline_partitions', 'Replicas whose log has failed.', () => partitions.failures().length);
  gauge('bytes_to_move', 'Of led partitions that move: what their new replicas still lack.', () =>
    parts.moves().reduce((sum, { copiedBytes, totalBytes }) => sum + totalBytes - copiedBytes, 0),
  );
  gauge('pending_bytes', 'Bytes of batches that are not durable yet.', () => pendingBudget.bytes);
  observeAnswers(metrics, 'fleetmq_broker', answers);
  gauge('inflations', 'Reads that are inflated, or wait for it.', () => inflater.size);
  gauge('subscriptions', 'Open subscriptions.', parts.subscriptions);
  gauge('epoch', 'Registration of this broker.', () => link.brokerEpoch);
  gauge('fenced', '1 while the controllers keep this broker out of service.', () => (link.state === 'active' ? 0 : 1));
  metrics.observedCounter(
    { name: 'fleetmq_broker_replication_bytes_out', help: 'Bytes of batches that were sent to followers.' },
    () => replicator.totals().bytes,
  );
  addMetadataMetrics(metrics, parts.watch);
  const detail = { labels: ['topic', 'partition'], detail: true, seriesMax: 20_000 };
  metrics.observed(
    { ...detail, name: 'fleetmq_partition_high_watermark', help: 'Offset after the last committed record.' },
    () => readings(partitions, ({ state }) => state.highWatermark),
  );
  metrics.observed({ ...detail, name: 'fleetmq_partition_end_offset', help: 'Offset after the last record.' }, () =>
    readings(partitions, ({ log }) => log?.endOffset ?? 0),
  );
  metrics.observed({ ...detail, name: 'fleetmq_partition_size_bytes', help: 'Bytes of the log on disk.' }, () =>
    readings(partitions, ({ log }) => log?.sizeBytes ?? 0),
  );
}

export function countLeaders(partitions: Partitions): number {
  let count = 0;
  for (const { state } of partitions.all()) if (state.leader !== undefined) count++;
  return count;
}

export function underReplicated(partitions: Partitions): number {
  let count = 0;
  for (const { state } of partitions.all()) if (state.leader?.isUnderReplicated === true) count++;
  return count;
}

type ReplicaOf = ReturnType<Partitions['all']> extends IterableIterator<infer Item> ? Item : never;

function readings(partitions: Partitions, read: (replica: ReplicaOf) => number): Reading[] {
  return [...partitions.all()].map((replica) => ({
    labels: [replica.topic, String(replica.partition)],
    value: read(replica),
  }));
}
