/**
 * Finds offsets and deletes old records: calls that name many partitions, split by the server that leads them and put
 * together again in the caller's order. Partitions whose leader has moved are asked again until the deadline.
 */
import type { MessageInitShape } from '@bufbuild/protobuf';
import { ConsumerService, OffsetBoundary, type StartPositionSchema } from '@fleetmq/gen/client/consumer';
import { DomainError, formatTopicPartition, type Offset, toOffset } from '@fleetmq/shared';
import type { Metadata } from './metadata.ts';
import type { Channel, UnaryCall } from './rpc/channel.ts';
import { checkBody, errorOfResult, toClientError, toDuration, type WireResult } from './rpc/errors.ts';
import { retryDelayMs, sleep } from './rpc/retry.ts';

export interface PartitionRef {
  readonly topic: string;
  readonly partition: number;
}

/** A place in a partition: one of its ends, an offset, or the first record at or after a time. */
export type Position = 'earliest' | 'latest' | number | Date;

/** Most entries that one call takes. */
const entriesMax = 1000;

/** The wire form of a place. INVALID_REQUEST for what is none. */
export function toStartPosition(position: Position): MessageInitShape<typeof StartPositionSchema> {
  if (position === 'earliest') return { position: { case: 'boundary', value: OffsetBoundary.EARLIEST } };
  if (position === 'latest') return { position: { case: 'boundary', value: OffsetBoundary.LATEST } };
  if (position instanceof Date) {
    const ms = position.getTime();
    if (Number.isNaN(ms)) throw new DomainError('INVALID_REQUEST', 'the position is an invalid Date');
    const seconds = Math.floor(ms / 1000);
    return {
      position: { case: 'timestamp', value: { seconds: BigInt(seconds), nanos: (ms - seconds * 1000) * 1_000_000 } },
    };
  }
  return { position: { case: 'offset', value: BigInt(toOffset(position)) } };
}

interface Question<Extra> extends PartitionRef {
  readonly extra: Extra;
}

interface Bounds {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** Offsets of the given places, in the order of the questions. */
export async function findOffsets(
  metadata: Metadata,
  clientId: string,
  questions: readonly (PartitionRef & { readonly position: Position })[],
  bounds: Bounds,
): Promise<Offset[]> {
  const results = await askLeaders(
    metadata,
    questions.map(({ topic, partition, position }) => ({ topic, partition, extra: toStartPosition(position) })),
    bounds,
    async (channel, asked, call) => {
      const partitions = asked.map(({ topic, partition, extra }) => ({
        topicPartition: { topic, partition },
        position: extra,
      }));
      const method = ConsumerService.method.listOffsets;
      const response = await channel.unary(method, { clientId, partitions }, call);
      return checkBody(response, 'list offsets').partitions;
    },
  );
  return results.map(({ offset }) => toOffset(offset));
}

/** Deletes records below the given offsets; answers the new log starts, in the order of the requests. */
export async function deleteRecordsBefore(
  metadata: Metadata,
  clientId: string,
  requests: readonly (PartitionRef & { readonly beforeOffset: number })[],
  bounds: Bounds,
): Promise<Offset[]> {
  const results = await askLeaders(
    metadata,
    requests.map(({ topic, partition, beforeOffset }) => ({ topic, partition, extra: BigInt(toOffset(beforeOffset)) })),
    bounds,
    async (channel, asked, call) => {
      const partitions = asked.map(({ topic, partition, extra }) => ({
        topicPartition: { topic, partition },
        beforeOffset: extra,
      }));
      const method = ConsumerService.method.deleteRecords;
      const timeout = toDuration(call.timeoutMs);
      const response = await channel.unary(method, { clientId, partitions, timeout }, call);
      return checkBody(response, 'delete records').partitions;
    },
  );
  return results.map(({ logStartOffset }) => toOffset(logStartOffset));
}

/** Repeats what is retriable for the partitions that failed, until all have an answer. Throws the first final error. */
async function askLeaders<Extra, Result extends WireResult>(
  metadata: Metadata,
  questions: readonly Question<Extra>[],
  bounds: Bounds,
  ask: (channel: Channel, asked: readonly Question<Extra>[], call: UnaryCall) => Promise<readonly Result[]>,
): Promise<Result[]> {
  const { clock, timers, random } = metadata.ports;
  const deadlineMs = clock.monotonicMs() + bounds.timeoutMs;
  const answers = new Array<Result | undefined>(questions.length);
  let open = questions.map((_, index) => index);
  for (let attempt = 1; open.length > 0; attempt++) {
    for (const topic of new Set(open.map((index) => (questions[index] as Question<Extra>).topic))) {
      if (attempt === 1) await metadata.topic(topic, bounds);
      else await metadata.refresh(topic, bounds);
    }
    const failures: DomainError[] = [];
    const call = { timeoutMs: Math.max(1, deadlineMs - clock.monotonicMs()), signal: bounds.signal };
    await Promise.all(
      groupByChannel(metadata, questions, open, failures).map(async ([channel, indices]) => {
        try {
          const results = await ask(
            channel,
            indices.map((index) => questions[index] as Question<Extra>),
            call,
          );
          indices.forEach((index, at) => {
            const { topic, partition } = questions[index] as Question<Extra>;
            const result = results[at];
            const error =
              result === undefined
                ? new DomainError('UNKNOWN_ERROR', `${channel.address} left out an answer`)
                : errorOfResult(result, formatTopicPartition(topic, partition));
            if (error === undefined) answers[index] = result;
            else failures.push(error);
          });
        } catch (thrown) {
          failures.push(toClientError(thrown));
        }
      }),
    );
    open = open.filter((index) => answers[index] === undefined);
    const final = failures.find(({ retriable }) => !retriable);
    if (final !== undefined) throw final;
    if (failures.length === 0) continue;
    const delayMs = retryDelayMs(attempt, failures[0] as DomainError, random);
    if (clock.monotonicMs() + delayMs >= deadlineMs) throw failures[0];
    metadata.rotate();
    await sleep(delayMs, timers, bounds.signal);
  }
  return answers as Result[];
}

function groupByChannel<Extra>(
  metadata: Metadata,
  questions: readonly Question<Extra>[],
  open: readonly number[],
  failures: DomainError[],
): [Channel, number[]][] {
  const groups: [Channel, number[]][] = [];
  const latest = new Map<Channel, number[]>();
  for (const index of open) {
    const { topic, partition } = questions[index] as Question<Extra>;
    const channel = metadata.route(topic, partition);
    if (channel === undefined) {
      failures.push(unroutable(metadata, topic, partition));
      continue;
    }
    let group = latest.get(channel);
    if (group === undefined || group.length === entriesMax) {
      group = [];
      latest.set(channel, group);
      groups.push([channel, group]);
    }
    group.push(index);
  }
  return groups;
}

/** Why a partition has no route: there is none of that number, or nobody leads it at the moment. */
export function unroutable(metadata: Metadata, topic: string, partition: number): DomainError {
  const known = metadata.cachedTopic(topic);
  if (known !== undefined && known.partitions[partition] === undefined) {
    return new DomainError(
      'PARTITION_NOT_FOUND',
      `topic ${topic} has ${known.partitions.length} partitions, not number ${partition}`,
    );
  }
  return new DomainError('NOT_AVAILABLE', `${formatTopicPartition(topic, partition)} has no leader at the moment`);
}
