/**
 * A broker as a gateway sees it: real sockets and hand-written raw handlers over logs that all brokers share, so that a move
 * of a leader needs no replication, behind a cable that can be cut. What it believes about its leadership can be older than
 * what the gateway knows, and the other way round.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  ConsumerService,
  DeleteRecordsRequestSchema,
  DeleteRecordsResponseSchema,
  FetchRequestSchema,
  FetchResponseSchema,
  ListOffsetsRequestSchema,
  ListOffsetsResponseSchema,
  SubscribeRequestSchema,
} from '@fleetmq/gen/client/consumer';
import {
  InitTransactionResponseSchema,
  ProduceBatchRequestSchema,
  ProduceBatchResponseSchema,
  ProduceRequestSchema,
  ProduceResponseSchema,
  ProducerService,
} from '@fleetmq/gen/client/producer';
import { ErrorCode } from '@fleetmq/gen/common/errors';
import {
  type RawContext,
  type RpcServer,
  type ServiceRoutes,
  serviceRoutes,
  startRpcServer,
} from '@fleetmq/shared/runtime';
import { Cable } from './cable.fuzz.ts';
import type { FakeLogs, Place } from './fake-logs.fuzz.ts';

const placeOf = (place: Place | undefined): Place => place ?? { topic: '', partition: 0 };

export interface SeenCall {
  readonly method: string;
  readonly context: RawContext;
  readonly deadlineMs: number | undefined;
}

export class FakeBroker {
  readonly brokerId: number;
  readonly cable = new Cable();
  readonly calls: SeenCall[] = [];
  readonly #logs: FakeLogs;
  #server: RpcServer | undefined;
  #port = 0;
  /** Runs behind an append and before its answer. */
  afterAppend: () => void | Promise<void> = () => undefined;
  /** Runs before anything else; what it throws is the answer. */
  before: (method: string) => void | Promise<void> = () => undefined;
  /** Messages that subscriptions have handed out. */
  pushed = 0;
  /** Requests that came on produce streams. */
  streamed = 0;

  constructor(brokerId: number, logs: FakeLogs) {
    this.brokerId = brokerId;
    this.#logs = logs;
  }

  get port(): number {
    return this.#port;
  }

  async open(): Promise<void> {
    this.#server = await startRpcServer({
      listen: { host: '127.0.0.1', port: 0 },
      services: [this.#producer(), this.#consumer()],
      limits: { readMaxBytes: 16 * 1024 * 1024, writeMaxBytes: 16 * 1024 * 1024 },
    });
    this.#port = await this.cable.open(this.#server.address.port);
  }

  async close(): Promise<void> {
    this.cable.close();
    await this.#server?.close({ drainMs: 0 });
  }

  async #enter(context: RawContext): Promise<void> {
    this.calls.push({ method: context.method.name, context, deadlineMs: context.deadlineMs });
    await this.before(context.method.name);
  }

  #refusal(place: Place): { errorCode: ErrorCode; errorMessage: string; leaderHint: string } | undefined {
    if (this.#logs.leaderOf(place) === this.brokerId) return undefined;
    return { errorCode: ErrorCode.NOT_LEADER, errorMessage: 'not the leader', leaderHint: '9@internal:1' };
  }

  #producer(): ServiceRoutes {
    return serviceRoutes(
      ProducerService,
      {
        produce: async (bytes: Uint8Array, context: RawContext) => {
          await this.#enter(context);
          return this.#produce(bytes);
        },
        produceStream: (requests: AsyncIterable<Uint8Array>, context: RawContext) =>
          this.#produceStream(requests, context),
        produceBatch: async (bytes: Uint8Array, context: RawContext) => {
          await this.#enter(context);
          const request = fromBinary(ProduceBatchRequestSchema, bytes);
          const partitions = request.partitions.map(({ topicPartition, batch }) => {
            const place = placeOf(topicPartition);
            const refusal = this.#refusal(place);
            if (refusal !== undefined) return { topicPartition: place, ...refusal };
            const offset = this.#logs.append(place, batch?.records ?? [], identityOf(batch));
            return { topicPartition: place, offset: BigInt(offset), leaderId: String(this.brokerId) };
          });
          await this.afterAppend();
          return toBinary(ProduceBatchResponseSchema, create(ProduceBatchResponseSchema, { partitions }));
        },
        initTransaction: async (_: Uint8Array, context: RawContext) => {
          await this.#enter(context);
          const producerId = this.#logs.nextProducerId++;
          return toBinary(InitTransactionResponseSchema, create(InitTransactionResponseSchema, { producerId }));
        },
      },
      { commitTransaction: notThere, abortTransaction: notThere } as never,
    );
  }

  async #produce(bytes: Uint8Array): Promise<Uint8Array> {
    const request = fromBinary(ProduceRequestSchema, bytes);
    const place = placeOf(request.topicPartition);
    const { correlationId } = request;
    const refusal = this.#refusal(place);
    if (refusal !== undefined) {
      return toBinary(ProduceResponseSchema, create(ProduceResponseSchema, { ...refusal, correlationId }));
    }
    const offset = this.#logs.append(place, request.records, identityOf(request));
    await this.afterAppend();
    const answer = { offset: BigInt(offset), leaderId: String(this.brokerId), correlationId };
    return toBinary(ProduceResponseSchema, create(ProduceResponseSchema, answer));
  }

  /** Takes every request as it comes; appends and answers in order, as fast as the hooks allow. */
  async *#produceStream(requests: AsyncIterable<Uint8Array>, context: RawContext): AsyncGenerator<Uint8Array> {
    this.calls.push({ method: context.method.name, context, deadlineMs: context.deadlineMs });
    const answers: Promise<Uint8Array>[] = [];
    let last: Promise<unknown> = Promise.resolve();
    let arrived = Promise.withResolvers<boolean>();
    const reading = (async () => {
      for await (const request of requests) {
        this.streamed++;
        const answer = last.then(() => this.before('ProduceStream')).then(() => this.#produce(request));
        answer.catch(() => undefined);
        last = answer;
        answers.push(answer);
        arrived.resolve(true);
      }
    })().finally(() => arrived.resolve(false));
    reading.catch(() => undefined);
    for (;;) {
      const answer = answers.shift();
      if (answer !== undefined) yield await answer;
      else if (await arrived.promise) arrived = Promise.withResolvers();
      else return;
    }
  }

  #consumer(): ServiceRoutes {
    return serviceRoutes(
      ConsumerService,
      {
        fetch: async (bytes: Uint8Array, context: RawContext) => {
          await this.#enter(context);
          const request = fromBinary(FetchRequestSchema, bytes);
          const waitMs = Number(request.maxWait?.seconds ?? 0n) * 1_000 + (request.maxWait?.nanos ?? 0) / 1e6;
          const endAtMs = performance.now() + waitMs;
          for (;;) {
            const partitions = request.partitions.map(({ topicPartition, fetchOffset }) =>
              this.#read(placeOf(topicPartition), Number(fetchOffset)),
            );
            const leftMs = endAtMs - performance.now();
            if (leftMs <= 0 || partitions.some(({ batches, errorCode }) => batches.length > 0 || errorCode !== 0)) {
              return toBinary(FetchResponseSchema, create(FetchResponseSchema, { partitions }));
            }
            await this.#logs.grown(leftMs, context.signal);
            context.signal.throwIfAborted();
          }
        },
        subscribe: (bytes: Uint8Array, context: RawContext) => this.#subscribe(bytes, context),
        listOffsets: async (bytes: Uint8Array, context: RawContext) => {
          await this.#enter(context);
          const partitions = fromBinary(ListOffsetsRequestSchema, bytes).partitions.map(
            ({ topicPartition, position }) => {
              const place = placeOf(topicPartition);
              const isEnd = position?.position.case !== undefined && position.position.value !== 1;
              const offset = BigInt(isEnd ? this.#logs.end(place) : this.#logs.start(place));
              return { topicPartition: place, ...(this.#refusal(place) ?? { offset }) };
            },
          );
          return toBinary(ListOffsetsResponseSchema, create(ListOffsetsResponseSchema, { partitions }));
        },
        deleteRecords: async (bytes: Uint8Array, context: RawContext) => {
          await this.#enter(context);
          const partitions = fromBinary(DeleteRecordsRequestSchema, bytes).partitions.map((each) => {
            const place = placeOf(each.topicPartition);
            const refusal = this.#refusal(place);
            if (refusal === undefined) this.#logs.setStart(place, Number(each.beforeOffset));
            return { topicPartition: place, ...(refusal ?? { logStartOffset: each.beforeOffset }) };
          });
          return toBinary(DeleteRecordsResponseSchema, create(DeleteRecordsResponseSchema, { partitions }));
        },
      },
      Object.fromEntries(
        [
          ...['fetchBatch', 'joinGroup', 'leaveGroup', 'commitOffsets', 'groupHeartbeat', 'fetchOffsets'],
          ...['listGroups', 'describeGroup', 'deleteGroup', 'resetOffsets'],
        ].map((name) => [name, notThere]),
      ) as never,
    );
  }

  #read(place: Place, fetchOffset: number) {
    const refusal = this.#refusal(place);
    const end = this.#logs.end(place);
    if (refusal !== undefined) return { topicPartition: place, batches: [], ...refusal };
    if (fetchOffset < this.#logs.start(place) || fetchOffset > end) {
      const errorMessage = `offset ${fetchOffset} is outside`;
      return { topicPartition: place, batches: [], errorCode: ErrorCode.OFFSET_OUT_OF_RANGE, errorMessage };
    }
    const batches = this.#logs
      .log(place)
      .filter((batch) => batch.baseOffset + batch.records.length > fetchOffset)
      .slice(0, 4)
      .map(({ baseOffset, records }) => ({ baseOffset: BigInt(baseOffset), records }));
    const last = batches.at(-1);
    const nextOffset = last === undefined ? BigInt(fetchOffset) : last.baseOffset + BigInt(last.records.length);
    return { topicPartition: place, errorCode: ErrorCode.OK, highWatermark: BigInt(end), batches, nextOffset };
  }

  async *#subscribe(bytes: Uint8Array, context: RawContext): AsyncGenerator<Uint8Array> {
    await this.#enter(context);
    const request = fromBinary(SubscribeRequestSchema, bytes);
    const positions = new Map(
      request.partitions.map(({ topicPartition, start }) => {
        const place = placeOf(topicPartition);
        const offset = start?.position.case === 'offset' ? Number(start.position.value) : this.#logs.start(place);
        return [place, offset];
      }),
    );
    while (positions.size > 0) {
      const partitions = [];
      for (const [place, offset] of positions) {
        const read = this.#read(place, offset);
        if (read.errorCode !== 0) positions.delete(place);
        else if (read.batches.length === 0) continue;
        else positions.set(place, Number((read as { nextOffset: bigint }).nextOffset));
        partitions.push(read);
      }
      if (partitions.length > 0) {
        this.pushed++;
        yield toBinary(FetchResponseSchema, create(FetchResponseSchema, { partitions, cursor: new Uint8Array([1]) }));
        continue;
      }
      await this.#logs.grown(1_000, context.signal);
      if (context.signal.aborted) return;
      yield toBinary(FetchResponseSchema, create(FetchResponseSchema, {}));
    }
  }
}

function identityOf(batch: { producerId: bigint; baseSequence: number; idempotencyKey: string } | undefined): string {
  if (batch === undefined) return '';
  if (batch.idempotencyKey !== '') return `key ${batch.idempotencyKey}`;
  return batch.producerId === 0n ? '' : `${batch.producerId} ${batch.baseSequence}`;
}

/** The handler of a call that the tests do not make. */
export async function notThere(): Promise<never> {
  throw new Error('the fake does not have this call');
}
