/** DeleteRecords: the leader moves its log start; the followers follow with the next message that they get from it. */
import type { ListenerName } from '@fleetmq/metadata';
import { DomainError, toOffset } from '@fleetmq/shared';
import { assertServable } from '../domain/fetch.ts';
import type { TopicPartitionName } from '../wire/fields.ts';
import type { Partitions } from './partitions.ts';

export interface DeleteRecordsContext {
  readonly partitions: Partitions;
  readonly listener: ListenerName;
  readonly assertServing: () => void;
}

/**
 * The log start afterwards; durable. Asking for less than there is changes nothing.
 * OFFSET_OUT_OF_RANGE above the high watermark, and the errors of `Partitions.leading`.
 */
export async function deleteRecords(
  { partitions, listener, assertServing }: DeleteRecordsContext,
  target: TopicPartitionName,
  beforeOffset: bigint,
): Promise<number> {
  assertServing();
  const replica = partitions.leading(target.topic, target.partition, listener);
  const { leader } = replica.state;
  if (leader === undefined) throw new DomainError('NOT_AVAILABLE', `${replica.name} is changing its leader`);
  assertServable(leader);
  const before = toOffset(beforeOffset);
  if (before > leader.highWatermark) {
    const text = `offset ${before} is above the high watermark ${leader.highWatermark} of ${replica.name}`;
    throw new DomainError('OFFSET_OUT_OF_RANGE', text);
  }
  const log = replica.openLog();
  await log.advanceStartOffset(before);
  return log.startOffset;
}
