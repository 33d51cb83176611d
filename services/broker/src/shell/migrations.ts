/**
 * MigratePartition: asks the controllers for the move of one partition, unless it runs already, and tells how far it is until it
 * is over. The move is the controllers' (docs: reassignments); a caller that goes away changes nothing about it, and one that asks
 * again, here or at another broker, goes on where it is. Bytes come from the partition's leader, which alone counts them.
 */
import { PartitionManagementService } from '@fleetmq/gen/broker/partition';
import { AdminService } from '@fleetmq/gen/controller/admin';
import { apiVersion, endpointOf, type PartitionImage } from '@fleetmq/metadata';
import { authorityOf, type ControllerCalls, type MetadataWatch } from '@fleetmq/metadata/link';
import { type Clock, DomainError, isDomainError, type Timers } from '@fleetmq/shared';
import type { LaneTransport } from '@fleetmq/shared/runtime';
import { type Migration, type MigrationStage, migrationStage, remainingMs } from '../domain/migration.ts';
import { locatePartition } from '../domain/topics.ts';
import { assertOk } from './assert-ok.ts';
import type { Partitions } from './partitions.ts';
import type { Replicator } from './replicator.ts';

export interface MigrationsOptions {
  readonly localId: number;
  readonly watch: MetadataWatch;
  readonly partitions: Partitions;
  readonly replicator: Pick<Replicator, 'copiedBytesOf'>;
  readonly calls: ControllerCalls;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly transportOf: (url: string) => LaneTransport;
}

export interface MigrationAsk extends Migration {
  readonly topic: string;
  readonly partition: number;
  /** Of a move that is started for this; 0: no bound. One that runs already keeps its own. */
  readonly bytesPerSecondMax: bigint;
}

export type MigrationPhase = 'copy' | 'catch_up' | 'swap' | 'done';

export interface MigrationReport {
  readonly phase: MigrationPhase;
  readonly copiedBytes: number;
  readonly totalBytes: number;
  /** Undefined: not known. */
  readonly remainingMs: number | undefined;
}

interface Copied {
  readonly copiedBytes: number;
  readonly totalBytes: number;
}

const lookMs = 250;
/** Between two reports, also when nothing has changed. */
const quietMaxMs = 5_000;
const startTimeoutMs = 10_000;
const leaderTimeoutMs = 2_000;

export class Migrations {
  readonly #options: MigrationsOptions;

  constructor(options: MigrationsOptions) {
    this.#options = options;
  }

  /**
   * Reports until the partition has moved; the last one says "done". TOPIC_NOT_FOUND, PARTITION_NOT_FOUND, INVALID_REQUEST (no such
   * pair of brokers), REASSIGNMENT_IN_PROGRESS (it moves otherwise), REASSIGNMENT_NOT_FOUND (the move was cancelled), and what the
   * controllers refuse it with.
   */
  async *run(ask: MigrationAsk, signal: AbortSignal): AsyncGenerator<MigrationReport, void> {
    const { clock } = this.#options;
    if (this.#stageOf(ask).kind === 'to-start') await this.#start(ask, signal);
    const sinceMs = clock.monotonicMs();
    let first: Copied | undefined;
    let last: Copied = { copiedBytes: 0, totalBytes: 0 };
    let lastReport: MigrationReport | undefined;
    let reportedAtMs = 0;
    while (!signal.aborted) {
      const stage = this.#stageOf(ask);
      if (stage.kind === 'to-start') {
        throw new DomainError('REASSIGNMENT_NOT_FOUND', `the move of ${ask.topic}-${ask.partition} was cancelled`);
      }
      if (stage.kind !== 'done') last = (await this.#copied(ask, signal)) ?? last;
      first ??= last;
      const nowMs = clock.monotonicMs();
      const pace = { bytes: last.copiedBytes, sinceBytes: first.copiedBytes, elapsedMs: nowMs - sinceMs };
      const report = reportOf(stage, last, remainingMs(pace, last.totalBytes));
      if (!isSame(report, lastReport) || nowMs - reportedAtMs >= quietMaxMs) {
        yield report;
        lastReport = report;
        reportedAtMs = nowMs;
      }
      if (stage.kind === 'done') return;
      await this.#nextLook(signal);
    }
  }

  #partitionOf({ topic, partition }: MigrationAsk): PartitionImage {
    return locatePartition(this.#options.watch.image, topic, partition);
  }

  #stageOf(ask: MigrationAsk): MigrationStage {
    return migrationStage(this.#partitionOf(ask), ask);
  }

  /** Resolves once the metadata here has what the controllers have decided. */
  async #start(ask: MigrationAsk, signal: AbortSignal): Promise<void> {
    const { calls, watch } = this.#options;
    const stage = this.#stageOf(ask);
    if (stage.kind !== 'to-start') return;
    const { topic, partition, bytesPerSecondMax } = ask;
    const request = {
      version: apiVersion,
      bytesPerSecondMax,
      partitions: [{ topicPartition: { topic, partition }, replicas: [...stage.replicas] }],
    };
    const options = { signal, timeoutMs: startTimeoutMs };
    const answer = await calls.unary(AdminService.method.startReassignment, request, options);
    assertOk(answer);
    await watch.waitForVersion(Number(answer.metadataVersion), signal);
  }

  /** What the target has of the log; undefined while there is no leader, or it does not answer. */
  async #copied(ask: MigrationAsk, signal: AbortSignal): Promise<Copied | undefined> {
    const { localId, partitions, replicator } = this.#options;
    const { topicId, leaderId, partition } = this.#partitionOf(ask);
    if (leaderId !== localId) return this.#askLeader(ask, leaderId, signal);
    const replica = partitions.find(topicId, partition);
    if (replica?.log === undefined) return undefined;
    return {
      copiedBytes: replicator.copiedBytesOf(replica, ask.targetId),
      totalBytes: replica.log.sizeBytes,
    };
  }

  async #askLeader(
    { topic, partition, targetId }: MigrationAsk,
    leaderId: PartitionImage['leaderId'],
    signal: AbortSignal,
  ): Promise<Copied | undefined> {
    const { watch, transportOf } = this.#options;
    const leader = watch.image.broker(leaderId);
    const endpoint = leader && endpointOf(leader, 'internal');
    if (endpoint === undefined) return undefined;
    const { getPartitionState } = PartitionManagementService.method;
    const request = { version: apiVersion, topicPartition: { topic, partition } };
    try {
      const transport = transportOf(`http://${authorityOf(endpoint)}`);
      const { message } = await transport.unary(getPartitionState, signal, leaderTimeoutMs, undefined, request);
      const target = message.replicas.find(({ brokerId }) => brokerId === targetId);
      if (message.role !== 'leader' || target === undefined) return undefined;
      return { copiedBytes: Number(target.copiedBytes), totalBytes: Number(message.sizeBytes) };
    } catch (error) {
      if (!isDomainError(error) || signal.aborted) throw error;
      return undefined;
    }
  }

  async #nextLook(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const end = (): void => {
        timer.cancel();
        signal.removeEventListener('abort', end);
        resolve();
      };
      const timer = this.#options.timers.after(lookMs, end);
      signal.addEventListener('abort', end, { once: true });
      if (signal.aborted) end();
    });
  }
}

function reportOf(
  { kind }: MigrationStage,
  { copiedBytes, totalBytes }: Copied,
  restMs: number | undefined,
): MigrationReport {
  if (kind === 'done') return { phase: 'done', copiedBytes: totalBytes, totalBytes, remainingMs: 0 };
  if (kind === 'swapping') return { phase: 'swap', copiedBytes, totalBytes, remainingMs: undefined };
  const isCopied = totalBytes > 0 && copiedBytes >= totalBytes;
  return { phase: isCopied ? 'catch_up' : 'copy', copiedBytes, totalBytes, remainingMs: restMs };
}

function isSame(report: MigrationReport, before: MigrationReport | undefined): boolean {
  return (
    report.phase === before?.phase &&
    report.copiedBytes === before.copiedBytes &&
    report.totalBytes === before.totalBytes
  );
}
