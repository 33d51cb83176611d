/**
 * The clients of a run: for each topic one idempotent producer through the gateway and one that goes straight to the brokers, and
 * the same of consumers. What they are told goes into the history; a value is `producer-number` and is sent once.
 */
import { type Client, type Consumer, isDomainError, type PartitionRef } from '@fleetmq/client/node';
import type { DomainError, ErrorName } from '@fleetmq/shared';
import type { RecordedCall, RecordRecorder } from '../check/records/recorder.ts';
import type { Acknowledgments } from './acknowledgments.ts';
import { type PowerTopic, partitionName, topics } from './topics.ts';

export interface LoadOptions {
  /** Each with the sort of the entrance that it has. */
  readonly clients: readonly Client[];
  readonly recorder: RecordRecorder;
  readonly acknowledgments: Acknowledgments;
  /** Something that no client should be told. */
  readonly onBug: (text: string) => void;
}

/** Records per second and producer. */
const rate = 40;
const tickMs = 10;
/** Of one producer without an answer; it sends no more until some have one. */
const openMax = 2_000;
/** Longer than any outage: an idempotent producer gets everything through. */
const deliveryTimeoutMs = 90_000;
/** Bytes behind the value, so that a batch fills more than a sector, and some more than two pages. */
const paddingBytes = 100;
const longPaddingBytes = 8_192;
const longEvery = 64;

const nothingHappened: ReadonlySet<ErrorName> = new Set<ErrorName>([
  'LIMIT_EXCEEDED',
  'NOT_ENOUGH_REPLICAS',
  'DISK_FULL',
]);

export class PowerLoad implements AsyncDisposable {
  readonly #options: LoadOptions;
  readonly #stopping = new AbortController();
  #processes = 0;
  #producers: Promise<void>[] = [];
  #consumers: Promise<void>[] = [];

  constructor(options: LoadOptions) {
    this.#options = options;
  }

  start(): void {
    for (const client of this.#options.clients) {
      for (const topic of topics) {
        this.#producers.push(this.#produce(client, topic));
        this.#consumers.push(this.#consume(client, topic));
      }
    }
  }

  /** Sends no more; resolves when everything has an answer and the consumers have ended. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#producers);
    await Promise.all(this.#consumers);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Every topic from its start to its end, once through each entrance. */
  async readAll(): Promise<void> {
    for (const client of this.#options.clients) {
      for (const { name, partitions } of topics) {
        const process = ++this.#processes;
        this.#assign(process, name, partitions, true);
        await using consumer = client.consumer({ topic: name, from: 'earliest', until: 'end' });
        await this.#poll(process, consumer, () => undefined);
      }
    }
  }

  async #produce(client: Client, topic: PowerTopic): Promise<void> {
    const process = ++this.#processes;
    await using producer = client.producer({ acks: topic.acks, lingerMs: 2, deliveryTimeoutMs });
    const { signal } = this.#stopping;
    let sent = 0;
    let open = 0;
    const send = (): void => {
      const partition = sent % topic.partitions;
      const value = `${process}-${sent}`;
      const answer = producer.send(topic.name, value + paddingOf(sent), { partition });
      sent++;
      open++;
      void this.#follow(process, topic, { partition, value, answer }).finally(() => open--);
    };
    let dueMs = performance.now();
    await new Promise<void>((resolve) => {
      const timer = setInterval(() => {
        const nowMs = performance.now();
        // After a pause of this process there is no point in sending all that was missed.
        dueMs = Math.max(dueMs, nowMs - 100);
        for (; dueMs <= nowMs; dueMs += 1_000 / rate) if (open < openMax) send();
      }, tickMs);
      const end = (): void => {
        clearInterval(timer);
        resolve();
      };
      signal.addEventListener('abort', end, { once: true });
    });
  }

  async #follow(
    process: number,
    { name, acks }: PowerTopic,
    sent: { readonly partition: number; readonly value: string; readonly answer: Promise<{ readonly offset: number }> },
  ): Promise<void> {
    const { recorder, acknowledgments, onBug } = this.#options;
    const partition = partitionName(name, sent.partition);
    const sentMs = performance.now();
    const call = recorder.invoke(process, 'send', { sends: [{ partition, values: [sent.value] }], acks });
    try {
      const { offset } = await sent.answer;
      acknowledgments.note(partition, offset, sent.value, sentMs);
      call.ok({ offsets: [offset] });
    } catch (error) {
      if (!isDomainError(error)) throw error;
      noteFailure(call, error);
      if (error.code === 'UNKNOWN_ERROR') onBug(`a send to ${partition} was told ${error.code}: ${error.message}`);
    }
  }

  /** Follows the topic from its start; goes on where it was when a consumer gives up. */
  async #consume(client: Client, { name, partitions }: PowerTopic): Promise<void> {
    const process = ++this.#processes;
    const { signal } = this.#stopping;
    const positions = new Array<number>(partitions).fill(0);
    while (!signal.aborted) {
      this.#assign(
        process,
        name,
        partitions,
        positions.every((position) => position === 0),
      );
      const assignment = positions.map((from, partition): PartitionRef & { from: number } => ({
        topic: name,
        partition,
        from,
      }));
      await using consumer = client.consumer({ assignment, signal });
      try {
        await this.#poll(process, consumer, (partition, next) => {
          positions[partition] = next;
        });
      } catch (error) {
        if (!isDomainError(error)) throw error;
        if (signal.aborted) return;
        if (error.code === 'OFFSET_OUT_OF_RANGE' || error.code === 'UNKNOWN_ERROR') {
          this.#options.onBug(`a consumer of ${name} at ${positions} was told ${error.code}: ${error.message}`);
          return;
        }
      }
    }
  }

  #assign(process: number, topic: string, partitions: number, isFromStart: boolean): void {
    const names = Array.from({ length: partitions }, (_, partition) => partitionName(topic, partition));
    const input = { partitions: names, ...(isFromStart && { from: 'earliest' as const }) };
    this.#options.recorder.invoke(process, 'assign', input).ok({});
  }

  /** Until the consumer ends. */
  async #poll(process: number, consumer: Consumer, onBatch: (partition: number, next: number) => void): Promise<void> {
    const { recorder } = this.#options;
    const batches = consumer.batches();
    for (;;) {
      const call = recorder.invoke(process, 'poll', {});
      try {
        const { value: batch, done } = await batches.next();
        if (done === true) {
          call.ok({ polls: [] });
          return;
        }
        const records = batch.records.map(({ offset, valueBytes }) => [offset, readValue(valueBytes)] as const);
        call.ok({ polls: [{ partition: partitionName(batch.topic, batch.partition), records }] });
        onBatch(batch.partition, batch.nextOffset);
      } catch (error) {
        call.info(isDomainError(error) ? `${error.code} ${error.message}` : String(error));
        throw error;
      }
    }
  }
}

/** A value as the history has it: without its padding, which must be there whole. */
export function readValue(bytes: Uint8Array | undefined): string {
  const text = new TextDecoder().decode(bytes);
  const value = text.slice(0, text.indexOf('.'));
  const isWhole = text === value + paddingOf(Number(value.split('-')[1]));
  return isWhole ? value : `damaged ${text.slice(0, 40)}`;
}

function paddingOf(number: number): string {
  return '.'.repeat(number % longEvery === 0 ? longPaddingBytes : paddingBytes);
}

function noteFailure(call: RecordedCall<'send'>, error: DomainError): void {
  const text = `${error.code} ${error.message}`;
  if (!error.outcomeUnknown && nothingHappened.has(error.code)) call.fail(text);
  else call.info(text);
}
