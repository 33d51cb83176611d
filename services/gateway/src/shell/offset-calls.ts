/** ListOffsets and DeleteRecords: one question per partition, answered by its leader. Both may be repeated without harm. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  ConsumerService,
  ListOffsetsPartitionResponseSchema,
  ListOffsetsRequestSchema,
  type StartPosition,
} from '@fleetmq/gen/client/consumer';
import { DomainError, errorName, type TopicPartitionName, toOffset } from '@fleetmq/shared';
import type { RawContext, RawMessage } from '@fleetmq/shared/runtime';
import {
  errorResult,
  joinAnswer,
  joinRequest,
  offsetsLayout,
  type SplitRequest,
  splitRequest,
} from '../domain/entries.ts';
import { budgetMs, callLeaders } from './leader-calls.ts';
import { outcomesOf } from './produce-calls.ts';
import { forwardedHeaders, type Upstreams } from './upstreams.ts';

type OffsetsMethod = 'listOffsets' | 'deleteRecords';

/** Of a call without deadline. */
const deadlineDefaultMs = 30_000;

/** A request of at most `entriesMax` entries. */
export async function callOffsets(
  upstreams: Upstreams,
  name: OffsetsMethod,
  request: Uint8Array,
  context: RawContext,
  entriesMax: number,
): Promise<RawMessage> {
  const split = splitRequest(request, offsetsLayout, { entriesMax });
  return joinAnswer(await askOffsets(upstreams, name, split, context), offsetsLayout);
}

/** The results, in the order of the entries. */
function askOffsets(
  upstreams: Upstreams,
  name: OffsetsMethod,
  { common, entries }: SplitRequest,
  context: Pick<RawContext, 'signal' | 'deadlineMs' | 'header'>,
): Promise<Uint8Array[]> {
  const { signal } = context;
  const headers = forwardedHeaders(context);
  const deadlineMs = budgetMs(context.deadlineMs, deadlineDefaultMs);
  return callLeaders(upstreams, {
    parts: entries,
    isWrite: false,
    isSafe: () => true,
    async send(leader, parts, options) {
      const message = joinRequest(common, parts);
      const method = ConsumerService.method[name];
      const answer = await upstreams.transportTo(leader).rawUnary(method, message, { ...options, headers });
      return outcomesOf(answer, parts, offsetsLayout);
    },
    refuse: (entry, error) => errorResult(entry, error, offsetsLayout),
    retryMs: deadlineMs,
    attemptMs: deadlineMs,
    signal,
  });
}

/** A partition and a place in it. */
export interface Question extends TopicPartitionName {
  /** Undefined: earliest. */
  readonly start: StartPosition | undefined;
}

/** The offsets of these places, in their order, each with its own error. */
export async function findOffsets(
  upstreams: Upstreams,
  questions: readonly Question[],
  context: Pick<RawContext, 'signal' | 'deadlineMs' | 'header'>,
): Promise<readonly (number | DomainError)[]> {
  if (questions.length === 0) return [];
  const partitions = questions.map(({ topic, partition, start }) => ({
    topicPartition: { topic, partition },
    ...(start === undefined ? {} : { position: start }),
  }));
  const request = toBinary(ListOffsetsRequestSchema, create(ListOffsetsRequestSchema, { partitions }));
  const split = splitRequest(request, offsetsLayout, { entriesMax: questions.length });
  const results = await askOffsets(upstreams, 'listOffsets', split, context);
  return results.map((bytes) => {
    const { errorCode, errorMessage, offset } = fromBinary(ListOffsetsPartitionResponseSchema, bytes);
    return errorCode === 0 ? toOffset(offset) : new DomainError(errorName(errorCode), errorMessage);
  });
}
