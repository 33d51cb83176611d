/** ProducerService: the three produce calls as raw bytes, the rest typed. */
import { create } from '@bufbuild/protobuf';
import { InitTransactionResponseSchema, ProducerService } from '@fleetmq/gen/client/producer';
import { checkVersion } from '@fleetmq/metadata/wire';
import { type RawContext, type ServiceRoutes, serviceRoutes } from '@fleetmq/shared/runtime';
import { assertEntryCount } from '../domain/produce.ts';
import { runProduceStream } from '../shell/produce-stream.ts';
import {
  decodeProduce,
  decodeProduceBatch,
  encodeProduceAnswer,
  encodeProduceBatchAnswer,
  type ProduceOutcome,
} from '../wire/produce.ts';
import { type RpcContext, unimplemented } from './context.ts';

/** Epochs above it are not given out: the next producer gets a new id. */
const producerEpochMax = 32_767;

export function producerRoutes(context: RpcContext): ServiceRoutes {
  const { producer, listener, streams, producerIds, buffers } = context;
  return serviceRoutes(
    ProducerService,
    {
      produce(request: Uint8Array, call: RawContext) {
        const ask = decodeProduce(request);
        return new Promise<Uint8Array>((resolve) => {
          producer.appendRecords(ask, { callMs: call.deadlineMs, listener }, (outcome) => {
            resolve(encodeProduceAnswer(outcome, ask.correlationId));
          });
          // Its records were copied into a batch.
          buffers.leaseOf(request)?.release();
        });
      },
      produceBatch(request: Uint8Array, call: RawContext) {
        const ask = decodeProduceBatch(request, assertEntryCount);
        const { entries } = ask;
        const outcomes = new Array<ProduceOutcome>(entries.length);
        const rest = { ...ask, callMs: call.deadlineMs, listener };
        const lease = buffers.leaseOf(request);
        let missing = entries.length;
        return new Promise<Uint8Array>((resolve) => {
          entries.forEach(({ target, batch }, index) => {
            const tell = (outcome: ProduceOutcome): void => {
              outcomes[index] = outcome;
              if (--missing === 0) resolve(encodeProduceBatchAnswer(entries, outcomes));
            };
            producer.appendBatch({ ...rest, target }, batch, tell, lease);
          });
          // From now on the batches are used by the logs alone.
          lease?.release();
        });
      },
      produceStream(requests: AsyncIterable<Uint8Array>, call: RawContext) {
        const { signal, draining } = call;
        return runProduceStream(requests, { producer, listener, buffers, ...streams, signal, draining });
      },
    },
    {
      async initTransaction(request) {
        checkVersion(request.version);
        if (request.transactionalId !== '') unimplemented('a transactional id');
        context.assertServing();
        if (request.producerId !== 0n && request.producerEpoch < producerEpochMax) {
          const { producerId, producerEpoch } = request;
          return create(InitTransactionResponseSchema, { producerId, producerEpoch: producerEpoch + 1 });
        }
        return create(InitTransactionResponseSchema, { producerId: await producerIds.next(), producerEpoch: 0 });
      },
      commitTransaction: () => unimplemented('CommitTransaction'),
      abortTransaction: () => unimplemented('AbortTransaction'),
    },
  );
}
