/** ConsumerService: reads go to the partitions' leaders. */
import { ConsumerService } from '@fleetmq/gen/client/consumer';
import type { AnswerMemory, Checksum, Random } from '@fleetmq/shared';
import { type RawContext, type ServiceRoutes, serviceRoutes } from '@fleetmq/shared/runtime';
import type { FetchBounds } from '../domain/fetch.ts';
import { heldAnswer, heldAnswers } from '../shell/answers.ts';
import { fetchBatch } from '../shell/fetch-batch.ts';
import { fetchRaw } from '../shell/fetch-calls.ts';
import { callOffsets } from '../shell/offset-calls.ts';
import { subscribe } from '../shell/subscribe.ts';
import type { Upstreams } from '../shell/upstreams.ts';
import { unimplemented } from './unimplemented.ts';

export interface ConsumerDeps {
  readonly upstreams: Upstreams;
  readonly bounds: FetchBounds;
  readonly checksum: Checksum;
  readonly random: Random;
  readonly answers: AnswerMemory;
}

export function consumerRoutes({ upstreams, bounds, checksum, random, answers }: ConsumerDeps): ServiceRoutes {
  const { partitionsMax } = bounds;
  const groups = unimplemented('consumer groups are');
  return serviceRoutes(
    ConsumerService,
    {
      fetch: (request: Uint8Array, context: RawContext) =>
        heldAnswer(answers, context, () => fetchRaw(upstreams, request, context, bounds)),
      fetchBatch: (request: Uint8Array, context: RawContext) =>
        heldAnswer(answers, context, () => fetchBatch(upstreams, request, context, bounds, checksum)),
      subscribe: (request: Uint8Array, context: RawContext) =>
        heldAnswers(answers, context, subscribe(upstreams, request, context, { checksum, random, partitionsMax })),
      listOffsets: (request: Uint8Array, context: RawContext) =>
        callOffsets(upstreams, 'listOffsets', request, context, partitionsMax),
      deleteRecords: (request: Uint8Array, context: RawContext) =>
        callOffsets(upstreams, 'deleteRecords', request, context, partitionsMax),
    },
    {
      joinGroup: groups,
      leaveGroup: groups,
      commitOffsets: groups,
      groupHeartbeat: groups,
      fetchOffsets: groups,
      listGroups: groups,
      describeGroup: groups,
      deleteGroup: groups,
      resetOffsets: groups,
    },
  );
}
