/** ConsumerService: the reading calls as raw bytes, offsets typed, groups not yet. */
import { create } from '@bufbuild/protobuf';
import { ConsumerService, DeleteRecordsResponseSchema, ListOffsetsResponseSchema } from '@fleetmq/gen/client/consumer';
import { checkVersion, durationFromProto } from '@fleetmq/metadata/wire';
import { DomainError, isDomainError } from '@fleetmq/shared';
import { holdUntilLeft, type RawContext, type ServiceRoutes, serviceRoutes } from '@fleetmq/shared/runtime';
import { assertConsumer, assertPartitionCount, assertTopicCount, boundFetch } from '../domain/fetch.ts';
import { deleteRecords } from '../shell/delete-records.ts';
import { Reading } from '../shell/reading.ts';
import { decodeFetch, decodeFetchBatch, decodeSubscribe, fetchMessage } from '../wire/fetch.ts';
import { deletedToProto, failedDeletion, failedOffset, locatedToProto, positionOf, targetOf } from '../wire/offsets.ts';
import { type RpcContext, unimplemented } from './context.ts';

/** How long DeleteRecords waits for the in-sync replicas, unless it says less. */
const deleteTimeoutMs = 29_000;

export function consumerRoutes(context: RpcContext): ServiceRoutes {
  const { fetcher, listener, fetchBounds, subscriptions, streams, metrics } = context;
  const onSent = (bytes: number): void => metrics.bytesOut.add(bytes);
  const reading = new Reading({ ...context, bounds: fetchBounds, onSent });
  const assertCount = (count: number): void => assertPartitionCount(count, fetchBounds.partitionsMax);
  /** A gateway takes what it gets, and bounds its callers itself; they must not be counted as one. */
  const holderOf = (call: RawContext): object => (listener === 'internal' ? call : call.connection);
  return serviceRoutes(
    ConsumerService,
    {
      async fetch(bytes: Uint8Array, call: RawContext) {
        const request = decodeFetch(bytes, assertCount);
        assertConsumer(request.replicaId);
        const want = boundFetch(request, call.deadlineMs, fetchBounds);
        const { acceptedCodecs } = request;
        const signals = [call.signal, call.draining];
        const context = { listener, acceptedCodecs, holder: holderOf(call) };
        const pass = await fetcher.fetch(request.partitions, want, context, signals);
        holdUntilLeft(pass.held, call);
        onSent(pass.bytes);
        return fetchMessage(pass.answers);
      },
      async fetchBatch(bytes: Uint8Array, call: RawContext) {
        const request = decodeFetchBatch(bytes, assertTopicCount);
        const answer = await reading.fetchTopics(request, call);
        holdUntilLeft(answer.held, call);
        return answer.message;
      },
      async *subscribe(bytes: Uint8Array, call: RawContext) {
        const request = decodeSubscribe(bytes, assertCount);
        if (request.groupId !== '') unimplemented('Subscribe as a member of a group');
        if (subscriptions.count >= streams.subscriptionsMax) {
          throw new DomainError('LIMIT_EXCEEDED', `${subscriptions.count} subscriptions are open`, {
            retryAfterMs: 1_000,
          });
        }
        subscriptions.count++;
        try {
          yield* reading.subscribe(request, call);
        } finally {
          subscriptions.count--;
        }
      },
    },
    {
      async listOffsets(request) {
        checkVersion(request.version);
        assertCount(request.partitions.length);
        const partitions = await Promise.all(
          request.partitions.map(async ({ topicPartition, position }) => {
            const target = targetOf(topicPartition);
            return asAnswer(
              async () => locatedToProto(target, await fetcher.locate(target, positionOf(position), listener)),
              (error) => failedOffset(target, error),
            );
          }),
        );
        return create(ListOffsetsResponseSchema, { partitions });
      },
      async deleteRecords(request, { signal }) {
        checkVersion(request.version);
        const askedMs = durationFromProto(request.timeout, 'timeout') ?? deleteTimeoutMs;
        const timeoutMs = Math.min(Math.max(1, askedMs), deleteTimeoutMs);
        assertCount(request.partitions.length);
        const partitions = await Promise.all(
          request.partitions.map(async ({ topicPartition, beforeOffset }) => {
            const target = targetOf(topicPartition);
            return asAnswer(
              async () =>
                deletedToProto(target, await deleteRecords(context, { target, beforeOffset, timeoutMs, signal })),
              (error) => failedDeletion(target, error),
            );
          }),
        );
        return create(DeleteRecordsResponseSchema, { partitions });
      },
      ...groupCalls,
    },
  );
}

const groupCalls = {
  joinGroup: () => noGroups('JoinGroup'),
  leaveGroup: () => noGroups('LeaveGroup'),
  commitOffsets: () => noGroups('CommitOffsets'),
  groupHeartbeat: () => noGroups('GroupHeartbeat'),
  fetchOffsets: () => noGroups('FetchOffsets'),
  listGroups: () => noGroups('ListGroups'),
  describeGroup: () => noGroups('DescribeGroup'),
  deleteGroup: () => noGroups('DeleteGroup'),
  resetOffsets: () => noGroups('ResetOffsets'),
};

function noGroups(name: string): never {
  throw new DomainError(
    'UNIMPLEMENTED',
    `${name}: consumer groups are not supported by this version; keep offsets at the consumer, or use Subscribe's cursor`,
  );
}

async function asAnswer<Answer>(run: () => Promise<Answer>, failed: (error: DomainError) => Answer): Promise<Answer> {
  try {
    return await run();
  } catch (error) {
    if (!isDomainError(error)) throw error;
    return failed(error);
  }
}
