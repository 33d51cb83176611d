/**
 * Carries requests to their servers and tells what became of each batch: small ones loose, on the server's ProduceStream, all
 * others by a ProduceBatch call, unchanged. Decides only which way a request goes; it never sends anything twice.
 */
import { ProducerService } from '@fleetmq/gen/client/producer';
import { DomainError, formatTopicPartition } from '@fleetmq/shared';
import type { ClientPorts } from '../ports.ts';
import type { Channel, RawMessage, StreamingChannel } from '../rpc/channel.ts';
import { checkBody, errorOfResult, toClientError, type WireResult } from '../rpc/errors.ts';
import type { BatchPlace, ProducerBatch } from './batch.ts';
import type { PartitionQueue } from './partition-queue.ts';
import { ProduceStream } from './stream.ts';
import type { WindowEntry } from './window.ts';
import {
  type Acks,
  decodeProduceBatchResponse,
  encodeProduce,
  encodeProduceBatch,
  type LoosePart,
  type ProduceHead,
} from './wire.ts';

/** One batch of a request. */
export interface Part {
  readonly queue: PartitionQueue;
  readonly entry: WindowEntry<ProducerBatch>;
}

export interface CarriedRequest {
  readonly channel: Channel;
  readonly parts: readonly Part[];
  readonly bytes: number;
}

export interface CarrierOptions {
  readonly ports: Pick<ClientPorts, 'clock' | 'timers'>;
  readonly clientId: string;
  readonly acks: Acks;
  readonly requestTimeoutMs: number;
  /** Breaks off everything. */
  readonly closing: AbortSignal;
  /** Told once for each part. */
  readonly onWritten: (part: Part, place: BatchPlace) => void;
  readonly onFailed: (part: Part, error: DomainError) => void;
  /** Told when all parts of a request are. */
  readonly onEnd: (request: CarriedRequest) => void;
}

/** What a server says about one batch. */
interface BatchResult extends WireResult {
  readonly offset: bigint;
  readonly logAppendTimeMs: bigint;
}

const produceBatchMethod = ProducerService.method.produceBatch;
/** Requests up to these sizes go by the stream; above them a call costs next to nothing, and its batches are not copied. */
const looseBytesMax = 16 * 1024;
const loosePartsMax = 8;
/** The answer may travel this long after the server's own timeout. */
const answerMarginMs = 2000;

export class Carrier {
  readonly #options: CarrierOptions;
  readonly #streams = new Map<Channel, ProduceStream>();
  /** Calls under way that carry a batch of the queue. */
  readonly #openCalls = new Map<PartitionQueue, number>();

  constructor(options: CarrierOptions) {
    this.#options = options;
  }

  carry(request: CarriedRequest): void {
    const loose = this.#looseParts(request);
    void (loose === undefined ? this.#call(request) : this.#stream(request, loose));
  }

  /** The batches as they go by a stream, in the order of the parts; undefined when they have to go by a call. */
  #looseParts({ channel, parts, bytes }: CarriedRequest): LoosePart[] | undefined {
    if (channel.rawBidi === undefined || bytes > looseBytesMax || parts.length > loosePartsMax) return undefined;
    const loose: LoosePart[] = [];
    for (const { queue, entry } of parts) {
      // It could overtake the batch in the call, and would be refused for its sequence.
      if (this.#openCalls.has(queue)) return undefined;
      const records = entry.batch.loose();
      if (records === undefined) return undefined;
      const { topic, partition } = queue;
      const identity = entry.identity && { ...entry.identity, baseSequence: entry.baseSequence };
      loose.push({ topic, partition, records, identity });
    }
    return loose;
  }

  async #stream(request: CarriedRequest, loose: readonly LoosePart[]): Promise<void> {
    const stream = this.#streamTo(request.channel as StreamingChannel);
    const head = this.#headOf(request);
    await Promise.all(
      request.parts.map(async (part, index) => {
        const encode = (correlationId: number): RawMessage =>
          encodeProduce(head, { ...(loose[index] as LoosePart), correlationId });
        try {
          const answer = await stream.send(encode, head.timeoutMs + answerMarginMs);
          this.#settle(part, { ...answer, logAppendTimeMs: answer.logAppendTime });
        } catch (thrown) {
          this.#options.onFailed(part, toClientError(thrown));
        }
      }),
    );
    this.#options.onEnd(request);
  }

  async #call(request: CarriedRequest): Promise<void> {
    const { channel, parts } = request;
    const head = this.#headOf(request);
    const message = encodeProduceBatch(
      head,
      parts.map(({ queue, entry }) => ({
        topic: queue.topic,
        partition: queue.partition,
        batch: entry.batch.wire(entry),
      })),
    );
    this.#countCalls(parts, 1);
    try {
      const call = { timeoutMs: head.timeoutMs + answerMarginMs, signal: this.#options.closing };
      const response = decodeProduceBatchResponse(await channel.rawUnary(produceBatchMethod, message, call));
      checkBody(response, `produce at ${channel.address}`);
      parts.forEach((part, index) => {
        const result = response.partitions[index];
        if (result !== undefined) this.#settle(part, result);
        else this.#options.onFailed(part, leftOut(part, channel));
      });
    } catch (thrown) {
      const error = toClientError(thrown);
      for (const part of parts) this.#options.onFailed(part, error);
    }
    this.#countCalls(parts, -1);
    this.#options.onEnd(request);
  }

  #settle(part: Part, result: BatchResult): void {
    const error = errorOfResult(result, nameOf(part));
    const { onFailed, onWritten } = this.#options;
    if (error !== undefined) onFailed(part, error);
    else onWritten(part, { baseOffset: Number(result.offset), timestampMs: Number(result.logAppendTimeMs) });
  }

  #headOf({ parts }: CarriedRequest): ProduceHead {
    const { ports, clientId, acks, requestTimeoutMs } = this.#options;
    const leftMs = Math.max(...parts.map(({ entry }) => entry.batch.deadlineMs)) - ports.clock.monotonicMs();
    return { clientId, acks, timeoutMs: Math.max(1, Math.min(requestTimeoutMs, leftMs)) };
  }

  #streamTo(channel: StreamingChannel): ProduceStream {
    const known = this.#streams.get(channel);
    if (known !== undefined) return known;
    const { ports, closing } = this.#options;
    const stream = new ProduceStream(channel, ports, closing);
    this.#streams.set(channel, stream);
    return stream;
  }

  #countCalls(parts: readonly Part[], step: 1 | -1): void {
    for (const { queue } of parts) {
      const count = (this.#openCalls.get(queue) ?? 0) + step;
      if (count > 0) this.#openCalls.set(queue, count);
      else this.#openCalls.delete(queue);
    }
  }
}

function nameOf({ queue }: Part): string {
  return formatTopicPartition(queue.topic, queue.partition);
}

function leftOut(part: Part, { address }: Channel): DomainError {
  return new DomainError('UNKNOWN_ERROR', `${address} left out the result of ${nameOf(part)}`);
}
