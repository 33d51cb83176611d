/**
 * DeleteRecords: the leader moves its log start, and answers once every in-sync replica has moved its own: only then no later
 * leader can bring the records back.
 */
import type { ListenerName } from '@fleetmq/metadata';
import { DomainError, type Timers, type TopicPartitionName, toOffset } from '@fleetmq/shared';
import { assertServable } from '../domain/fetch.ts';
import type { Partitions } from './partitions.ts';
import type { Replica } from './replica.ts';

export interface DeleteRecordsContext {
  readonly partitions: Partitions;
  readonly listener: ListenerName;
  readonly timers: Timers;
  readonly assertServing: () => void;
}

export interface DeleteRecordsAsk {
  readonly target: TopicPartitionName;
  readonly beforeOffset: bigint;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * The log start afterwards; durable on every in-sync replica. Asking for less than there is changes nothing.
 * OFFSET_OUT_OF_RANGE above the high watermark; TIMEOUT when a replica has not followed in time, or leadership has moved: the
 * records may come back; the errors of `Partitions.leading`.
 */
export async function deleteRecords(context: DeleteRecordsContext, ask: DeleteRecordsAsk): Promise<number> {
  const { partitions, listener, assertServing } = context;
  const { target, beforeOffset } = ask;
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
  replica.onLogStartMoved();
  await untilShared(context, replica, leader.leaderEpoch, ask);
  return log.startOffset;
}

function untilShared(
  { timers }: DeleteRecordsContext,
  replica: Replica,
  leaderEpoch: number,
  { beforeOffset, timeoutMs, signal }: DeleteRecordsAsk,
): Promise<void> {
  const before = Number(beforeOffset);
  return new Promise((resolve, reject) => {
    const end = (why: string | undefined): void => {
      stopWatching();
      timer.cancel();
      signal.removeEventListener('abort', onAbort);
      if (why === undefined) resolve();
      else reject(new DomainError('TIMEOUT', `${why}: records of ${replica.name} below ${before} may come back`));
    };
    const look = (): void => {
      const { leader } = replica.state;
      if (leader?.leaderEpoch !== leaderEpoch) end('leadership has moved');
      else if (leader.isStartShared(before)) end(undefined);
    };
    const onAbort = (): void => end('the call has ended');
    const stopWatching = replica.onFollowerNews(look);
    const timer = timers.after(timeoutMs, () => end(`not every in-sync replica has followed within ${timeoutMs} ms`));
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    else look();
  });
}
