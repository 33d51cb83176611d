/**
 * The replicas of this broker: one for each partition that the metadata gives it, until they take it away. Their logs are
 * opened and closed by replica-logs.ts. Folders are named by topic id and number, never by a topic's name, so no name
 * reaches a path and a topic that was created anew never meets the files of the old one.
 *
 * Nothing is deleted because it is missing from a snapshot: such a folder is put aside (log-folders.ts). What a live event
 * takes away is removed at once. A log that failed or was found damaged is rebuilt from the leader, but only once this
 * replica is neither in sync nor eligible, for until then it may be the last copy, and once the leader has said that it does not count
 * the failed log any more: what that had confirmed must not let an empty one into the ISR (P14). One job at a time per partition
 * changes its folder.
 */
import {
  effectiveTopicConfig,
  type ListenerName,
  type MetadataEvent,
  type MetadataImage,
  type PartitionImage,
  replicationFactorOf,
} from '@fleetmq/metadata';
import {
  type BrokerId,
  type BufferPool,
  type Checksum,
  type Clock,
  type Disk,
  DomainError,
  type Logger,
  type TopicId,
} from '@fleetmq/shared';
import { locatePartition, notLeader } from '../domain/topics.ts';
import type { ByteBudget } from './byte-budget.ts';
import { folderOf, LogFolders } from './log-folders.ts';
import type { PartitionLimits } from './partition-limits.ts';
import { Replica, type ReplicaListener } from './replica.ts';
import { ReplicaLogs } from './replica-logs.ts';
import { type Watermark, watermarkKey } from './watermarks.ts';

export interface PartitionsOptions {
  readonly localId: number;
  readonly disk: Disk;
  readonly checksum: Checksum;
  /** Where the logs put what they read. */
  readonly buffers: BufferPool;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly image: MetadataImage;
  readonly listener: ReplicaListener;
  readonly pendingBudget: ByteBudget;
  readonly watermarks: ReadonlyMap<string, number>;
  readonly limits: PartitionLimits;
}

export class Partitions {
  readonly #options: PartitionsOptions;
  /** By topic id and number; the arrays are sparse. */
  readonly #replicas = new Map<string, Replica[]>();
  readonly #folders: LogFolders;
  readonly #logs: ReplicaLogs;
  /** When a folder was last rebuilt. */
  readonly #rebuiltAtMs = new Map<string, number>();
  #count = 0;
  #closing = false;

  constructor(options: PartitionsOptions) {
    this.#options = options;
    this.#folders = new LogFolders({ ...options, strayRetentionMs: options.limits.strayRetentionMs });
    this.#logs = new ReplicaLogs({ ...options, folders: this.#folders, isHeld: (replica) => this.#isHeld(replica) });
  }

  get size(): number {
    return this.#count;
  }

  find(topicId: string, partition: number): Replica | undefined {
    return this.#replicas.get(topicId)?.[partition];
  }

  /** By the topic's name; undefined when there is no such partition here. */
  byName(topic: string, partition: number): Replica | undefined {
    const found = this.#options.image.topicByName(topic);
    return found === undefined ? undefined : this.find(found.topicId, partition);
  }

  *all(): IterableIterator<Replica> {
    for (const replicas of this.#replicas.values()) {
      for (const replica of replicas) if (replica !== undefined) yield replica;
    }
  }

  /**
   * The replica of a partition, if this broker leads it. INVALID_REQUEST, TOPIC_NOT_FOUND, PARTITION_NOT_FOUND, NOT_LEADER
   * with a hint for listeners of this kind, NOT_AVAILABLE, STORAGE_FAILED.
   */
  leading(topic: string, partition: number, listener: ListenerName): Replica {
    const { image, localId } = this.#options;
    const assigned = locatePartition(image, topic, partition);
    const replica = this.find(assigned.topicId, partition);
    if (replica?.state.leader !== undefined) return replica;
    if (assigned.leaderId !== localId) throw notLeader(image, topic, assigned, listener);
    replica?.openLog();
    throw new DomainError('NOT_AVAILABLE', `this broker does not lead ${topic}-${partition} yet, or no longer`, {
      retryAfterMs: 50,
    });
  }

  /** Follows the metadata. To be called with each change, after the image has it. */
  apply(events: readonly MetadataEvent[]): void {
    for (const event of events) this.#applyOne(event);
  }

  /** Once the image has caught up: folders of partitions that this broker does not hold are put aside. */
  async setStraysAside(): Promise<void> {
    const { image, localId } = this.#options;
    await this.#folders.setAsideAllBut((topicId, number) => {
      return image.partition(topicId as TopicId, number)?.replicas.includes(localId as BrokerId) === true;
    });
  }

  /** Removes what was put aside long enough ago. */
  removeOldStrays(): Promise<void> {
    return this.#folders.removeOldStrays();
  }

  /** Tries to get back replicas whose log has failed, from their leaders. Whether there were any: then to be called again. */
  rebuildFailed(): boolean {
    const { image, localId } = this.#options;
    let hasFailed = false;
    for (const replica of this.all()) {
      if (replica.failure === undefined) continue;
      hasFailed = true;
      const partition = image.partition(replica.topicId as TopicId, replica.partition);
      if (partition === undefined || partition.leaderId === 0 || partition.leaderId === localId) continue;
      if (mayLead(partition, localId)) continue;
      if (replica.rebuildEpoch !== partition.leaderEpoch) continue;
      if (!this.#mayRebuild(folderOf(replica))) continue;
      this.#rebuild(replica, partition);
    }
    return hasFailed;
  }

  watermarks(): Watermark[] {
    return [...this.all()]
      .filter(({ log }) => log !== undefined)
      .map(({ topicId, partition, state }) => ({ topicId, partition, highWatermark: state.highWatermark }));
  }

  /** How far the logs go of partitions that nobody leads and this broker might lead, for the controllers. */
  logEnds(): { readonly topicId: string; readonly partition: number; lastEpoch: number; endOffset: bigint }[] {
    const { image, localId } = this.#options;
    const ends: { topicId: string; partition: number; lastEpoch: number; endOffset: bigint }[] = [];
    for (const { topicId, partition, log, failure } of this.all()) {
      if (log === undefined || failure !== undefined) continue;
      const known = image.partition(topicId as TopicId, partition);
      if (known?.leaderId !== 0 || !mayLead(known, localId)) continue;
      ends.push({ topicId, partition, lastEpoch: log.lastEpoch, endOffset: BigInt(log.durableEndOffset) });
    }
    return ends;
  }

  /** Logs that are closed after an error or damaged, for the controllers. */
  failures(): { readonly topicId: string; readonly partition: number; readonly reason: string }[] {
    const failed: { topicId: string; partition: number; reason: string }[] = [];
    for (const { topicId, partition, failure, damage, isSpoilt } of this.all()) {
      const error = failure ?? damage;
      if (error !== undefined) failed.push({ topicId, partition, reason: error.message });
      else if (isSpoilt) failed.push({ topicId, partition, reason: 'the disk is full' });
    }
    return failed;
  }

  /** Closes all logs in order. False when one of them could not be closed cleanly. */
  async close(): Promise<boolean> {
    this.#closing = true;
    const results = await Promise.all(
      [...this.all()].map((replica) => this.#folders.run(folderOf(replica), () => this.#logs.close(replica))),
    );
    this.#replicas.clear();
    return results.every((closed) => closed);
  }

  #applyOne(event: MetadataEvent): void {
    switch (event.kind) {
      case 'partition-changed':
        this.#applyPartition(event.partition);
        return;
      case 'topic-changed':
        this.#configureTopic(event.topic.topicId);
        return;
      case 'topic-removed':
        for (const replica of this.#replicas.get(event.topicId) ?? []) {
          if (replica !== undefined) this.#drop(replica);
        }
        return;
      case 'cluster-changed':
        for (const topicId of this.#replicas.keys()) this.#configureTopic(topicId as TopicId);
        return;
      default:
        return;
    }
  }

  #applyPartition(partition: PartitionImage): void {
    const { localId } = this.#options;
    const known = this.find(partition.topicId, partition.partition);
    if (!partition.replicas.includes(localId as BrokerId)) {
      if (known !== undefined) this.#drop(known);
    } else if (known === undefined) this.#open(partition);
    else {
      known.assign(partition);
      // Some settings depend on how many replicas there are.
      if (known.replicationFactor !== replicationFactorOf(partition)) this.#configure(known, partition);
    }
  }

  #open(partition: PartitionImage): void {
    const { image, listener, limits, localId, pendingBudget, watermarks, clock } = this.#options;
    const topic = image.topicById(partition.topicId);
    if (topic === undefined || this.#closing) return;
    const { topicId, partition: number } = partition;
    const replicationFactor = replicationFactorOf(partition);
    const replica = new Replica({
      localId,
      topicId,
      topic: topic.name,
      partition: number,
      replicationFactor,
      config: effectiveTopicConfig(topic, image.cluster, replicationFactor),
      highWatermark: watermarks.get(watermarkKey(topicId, number)) ?? 0,
      waitersMax: limits.ackWaitersMax,
      pendingBudget,
      listener,
      monotonicMs: () => clock.monotonicMs(),
    });
    const replicas = this.#replicas.get(topicId) ?? [];
    replicas[number] = replica;
    this.#replicas.set(topicId, replicas);
    this.#count++;
    if (this.#count > limits.partitionsMax) {
      replica.onLogFailure(new DomainError('LIMIT_EXCEEDED', `${limits.partitionsMax} partitions are held already`));
      return;
    }
    void this.#folders.run(folderOf(replica), () => this.#logs.open(replica));
  }

  #configureTopic(topicId: TopicId): void {
    const { image } = this.#options;
    for (const replica of this.#replicas.get(topicId) ?? []) {
      const partition = replica && image.partition(topicId, replica.partition);
      if (replica !== undefined && partition !== undefined) this.#configure(replica, partition);
    }
  }

  #configure(replica: Replica, partition: PartitionImage): void {
    const { image } = this.#options;
    const topic = image.topicById(partition.topicId);
    if (topic === undefined) return;
    const replicationFactor = replicationFactorOf(partition);
    replica.configure(effectiveTopicConfig(topic, image.cluster, replicationFactor), replicationFactor);
    this.#logs.configure(replica);
  }

  /** The partition is not this broker's any more: its log goes. */
  #drop(replica: Replica): void {
    const replicas = this.#replicas.get(replica.topicId);
    if (replicas?.[replica.partition] !== replica) return;
    delete replicas[replica.partition];
    if (replicas.every((each) => each === undefined)) this.#replicas.delete(replica.topicId);
    this.#count--;
    const folder = folderOf(replica);
    this.#rebuiltAtMs.delete(folder);
    void this.#folders.run(folder, async () => {
      await this.#logs.close(replica);
      await this.#folders.remove(folder);
      this.#options.logger.info({ partition: replica.name, topicId: replica.topicId }, 'a log was removed');
    });
  }

  /** Puts the damaged log aside and begins an empty one, which the leader fills. */
  #rebuild(replica: Replica, partition: PartitionImage): void {
    const { logger } = this.#options;
    const replicas = this.#replicas.get(replica.topicId);
    if (replicas?.[replica.partition] !== replica) return;
    logger.warn(
      { partition: replica.name, reason: replica.failure?.message },
      'a failed log is rebuilt from its leader',
    );
    delete replicas[replica.partition];
    this.#count--;
    const folder = folderOf(replica);
    void this.#folders.run(folder, async () => {
      await this.#logs.close(replica);
      await this.#folders.setAside(folder);
    });
    this.#open(partition);
  }

  /** A disk that keeps failing must not be filled with what was put aside. */
  #mayRebuild(folder: string): boolean {
    const { clock, limits } = this.#options;
    const nowMs = clock.monotonicMs();
    const lastMs = this.#rebuiltAtMs.get(folder);
    if (lastMs !== undefined && nowMs - lastMs < limits.rebuildPauseMs) return false;
    this.#rebuiltAtMs.set(folder, nowMs);
    return true;
  }

  #isHeld(replica: Replica): boolean {
    return !this.#closing && this.find(replica.topicId, replica.partition) === replica;
  }
}

/** Whether this replica counts as one with every committed record. */
function mayLead({ inSyncReplicas, eligibleReplicas = [] }: PartitionImage, localId: number): boolean {
  return inSyncReplicas.includes(localId as BrokerId) || eligibleReplicas.includes(localId as BrokerId);
}
