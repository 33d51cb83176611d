/** ProducerService: writes go to the partitions' leaders, producer ids come from any broker. */
import { ProducerService } from '@fleetmq/gen/client/producer';
import type { Random } from '@fleetmq/shared';
import { type RawContext, type ServiceRoutes, serviceRoutes } from '@fleetmq/shared/runtime';
import { readProduce } from '../domain/produce.ts';
import { callAnyBroker } from '../shell/any-broker.ts';
import { produceBatch, produceOne } from '../shell/produce-calls.ts';
import { produceStream, type StreamWindow } from '../shell/produce-stream.ts';
import type { Upstreams } from '../shell/upstreams.ts';

export interface ProducerDeps {
  readonly upstreams: Upstreams;
  readonly partitionsMax: number;
  readonly window: StreamWindow;
  readonly random: Random;
}

export function producerRoutes({ upstreams, partitionsMax, window, random }: ProducerDeps): ServiceRoutes {
  const { initTransaction, commitTransaction, abortTransaction } = ProducerService.method;
  const toAny = (method: typeof initTransaction | typeof commitTransaction | typeof abortTransaction) => {
    return (request: Uint8Array, context: RawContext) => callAnyBroker(upstreams, method, request, context);
  };
  return serviceRoutes(
    ProducerService,
    {
      produce: async (request: Uint8Array, context: RawContext) => produceOne(upstreams, readProduce(request), context),
      produceBatch: (request: Uint8Array, context: RawContext) =>
        produceBatch(upstreams, request, context, partitionsMax),
      produceStream: (requests: AsyncIterable<Uint8Array>, context: RawContext) =>
        produceStream(upstreams, requests, context, window, random),
      initTransaction: toAny(initTransaction),
      commitTransaction: toAny(commitTransaction),
      abortTransaction: toAny(abortTransaction),
    },
    {},
  );
}
