/**
 * What brokers tell of their logs in partitions that nobody leads, and which of them is to lead. A table over the leader's
 * monotonic clock, whose readings are passed in; it means something on the controllers' leader alone.
 *
 * Of those who told, the highest (last epoch, end) is chosen: at once when everybody has told who may lead, else after
 * `waitMs`, because some may never come back. A line counts for the life of the broker that told it. The table is bounded by the
 * partitions without a leader: others are neither taken nor kept.
 */
import { noBroker, type PartitionImage, partitionKey } from '@fleetmq/metadata';
import type { BrokerEpoch, BrokerId, LeaderEpoch, Offset, PartitionId, TopicId } from '@fleetmq/shared';
import { possibleLeaders } from './apply-proven.ts';
import type { BrokerLife, ProvenReplica } from './commands.ts';
import type { MetadataView } from './view.ts';

export interface LogEnd {
  readonly topicId: TopicId;
  readonly partition: PartitionId;
  /** Of the last batch; 0: the log is empty. */
  readonly lastEpoch: LeaderEpoch;
  /** Durable. */
  readonly endOffset: Offset;
}

interface Told extends LogEnd {
  readonly brokerEpoch: BrokerEpoch;
}

interface Line {
  readonly sinceMs: number;
  readonly told: Map<BrokerId, Told>;
}

/** Replicas of one command. */
const replicasMax = 1_000;

export class ProvenLogs {
  readonly #lines = new Map<string, Line>();

  /** This node leads from now on. */
  restart(): void {
    this.#lines.clear();
  }

  note(view: MetadataView, { brokerId, brokerEpoch }: BrokerLife, ends: readonly LogEnd[], nowMs: number): void {
    for (const end of ends) {
      const partition = view.partition(end.topicId, end.partition);
      if (partition?.leaderId !== noBroker || !possibleLeaders(partition).includes(brokerId)) continue;
      const key = partitionKey(end);
      const line = this.#lines.get(key) ?? { sinceMs: nowMs, told: new Map() };
      line.told.set(brokerId, { ...end, brokerEpoch });
      this.#lines.set(key, line);
    }
  }

  /** Who is to lead now. Forgets partitions that have a leader. */
  due(view: MetadataView, nowMs: number, waitMs: number): readonly ProvenReplica[] {
    const chosen: ProvenReplica[] = [];
    for (const [key, line] of this.#lines) {
      const best = this.#choose(view, line, nowMs - line.sinceMs >= waitMs);
      if (best === 'forget') this.#lines.delete(key);
      else if (best !== undefined) chosen.push(best);
      if (chosen.length === replicasMax) break;
    }
    return chosen;
  }

  #choose(view: MetadataView, { told }: Line, isLate: boolean): ProvenReplica | 'forget' | undefined {
    const [any] = told.values();
    const partition = any && view.partition(any.topicId, any.partition);
    if (partition?.leaderId !== noBroker) return 'forget';
    const possible = possibleLeaders(partition);
    const valid = partition.replicas.flatMap((brokerId) => {
      const end = told.get(brokerId);
      const isValid = end !== undefined && possible.includes(brokerId) && isInService(view, brokerId, end);
      return isValid ? [{ brokerId, end }] : [];
    });
    if (valid.length === 0 || (valid.length < possible.length && !isLate)) return undefined;
    const [best] = valid.sort((left, right) => compareEnds(right.end, left.end));
    return best && replicaOf(partition, best.brokerId, best.end.brokerEpoch);
  }
}

function isInService(view: MetadataView, brokerId: BrokerId, { brokerEpoch }: Told): boolean {
  const broker = view.broker(brokerId);
  return broker?.brokerEpoch === brokerEpoch && broker.state !== 'fenced';
}

function compareEnds(left: LogEnd, right: LogEnd): number {
  return left.lastEpoch - right.lastEpoch || left.endOffset - right.endOffset;
}

function replicaOf(partition: PartitionImage, brokerId: BrokerId, brokerEpoch: BrokerEpoch): ProvenReplica {
  const { topicId, partition: number, leaderEpoch } = partition;
  return { topicId, partition: number, leaderEpoch, brokerId, brokerEpoch };
}
