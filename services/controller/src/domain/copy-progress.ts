/**
 * How many bytes of a reassignment have been copied, as the leaders of its partitions tell with their heartbeats. A table in the
 * memory of the controllers' leader: the next one knows it again after a round of heartbeats.
 *
 * A partition that has arrived counts as copied as a whole. The table is bounded by what moves: a reassignment that has ended
 * keeps its sums alone, until the metadata forget it.
 */
import { type PartitionImage, partitionKey } from '@fleetmq/metadata';
import type { PartitionId, TopicId } from '@fleetmq/shared';
import type { BrokerLife } from './commands.ts';
import type { MetadataView } from './view.ts';

export interface CopiedBytes {
  readonly copiedBytes: number;
  /** 0: nothing is known yet. */
  readonly totalBytes: number;
}

export interface MovingPartition extends CopiedBytes {
  readonly topicId: TopicId;
  readonly partition: PartitionId;
}

const nothing: CopiedBytes = { copiedBytes: 0, totalBytes: 0 };

export class CopyProgress {
  /** By reassignment: what was told of its partitions, by their keys. */
  readonly #running = new Map<string, Map<string, MovingPartition>>();
  readonly #ended = new Map<string, CopiedBytes>();

  /** What a broker tells of partitions that it leads. Whether it is news. */
  note(view: MetadataView, { brokerId }: Pick<BrokerLife, 'brokerId'>, moving: readonly MovingPartition[]): boolean {
    let isNews = false;
    for (const each of moving) {
      const partition = view.partition(each.topicId, each.partition);
      if (partition?.move === undefined || partition.leaderId !== brokerId) continue;
      const { reassignmentId } = partition.move;
      const told = this.#running.get(reassignmentId) ?? new Map<string, MovingPartition>();
      const before = told.get(partitionKey(each));
      isNews ||= before?.copiedBytes !== each.copiedBytes || before.totalBytes !== each.totalBytes;
      told.set(partitionKey(each), each);
      this.#running.set(reassignmentId, told);
    }
    this.#forget(view);
    return isNews;
  }

  of(view: MetadataView, reassignmentId: string): CopiedBytes {
    const told = this.#running.get(reassignmentId);
    if (told === undefined) return this.#ended.get(reassignmentId) ?? nothing;
    let [copiedBytes, totalBytes] = [0, 0];
    for (const each of told.values()) {
      const isMoving = movesBy(view.partition(each.topicId, each.partition), reassignmentId);
      copiedBytes += isMoving ? Math.min(each.copiedBytes, each.totalBytes) : each.totalBytes;
      totalBytes += each.totalBytes;
    }
    return { copiedBytes, totalBytes };
  }

  #forget(view: MetadataView): void {
    for (const reassignmentId of this.#running.keys()) {
      const endedAtMs = view.reassignment(reassignmentId)?.endedAtMs;
      if (endedAtMs === 0) continue;
      if (endedAtMs !== undefined) this.#ended.set(reassignmentId, this.of(view, reassignmentId));
      this.#running.delete(reassignmentId);
    }
    for (const reassignmentId of this.#ended.keys()) {
      if (view.reassignment(reassignmentId) === undefined) this.#ended.delete(reassignmentId);
    }
  }
}

function movesBy(partition: PartitionImage | undefined, reassignmentId: string): boolean {
  return partition?.move?.reassignmentId === reassignmentId;
}
