/**
 * Load with a memory: producers that number their records and note what they are told, and an audit that reads everything back and
 * judges it by the checker of records.
 */
import type { Client } from '@fleetmq/client/node';
import { isDomainError } from '@fleetmq/shared';
import {
  checkRecords,
  type PollPart,
  type RecordEvent,
  RecordRecorder,
  type RecordReport,
} from '@fleetmq/testkit/records';

/** Everything that the clients of a test have sent and read. */
export class History {
  readonly events: RecordEvent[] = [];
  readonly recorder: RecordRecorder = new RecordRecorder({
    nowMs: () => performance.now(),
    write: (event) => this.events.push(event),
  });
  #processes = 0;

  /** The number of one more client. */
  nextProcess(): number {
    return ++this.#processes;
  }
}

export interface LoadOptions {
  readonly history: History;
  readonly topic: string;
  readonly partitions: number;
  /** Distinguishes the records of several producers. */
  readonly name: string;
  /** Records per second over all partitions. */
  readonly rate: number;
}

/** Produces round robin at a steady rate until it is stopped. Values are unique: `name-number`. */
export class Load implements AsyncDisposable {
  readonly failures: unknown[] = [];
  readonly #options: LoadOptions;
  readonly #process: number;
  readonly #producer: ReturnType<Client['producer']>;
  readonly #timer: NodeJS.Timeout;
  /** Per partition: when the youngest acknowledged record was sent. */
  readonly #newestSentMs: number[];
  #next = 0;
  #due = performance.now();

  constructor(mq: Client, options: LoadOptions) {
    this.#options = options;
    this.#process = options.history.nextProcess();
    this.#newestSentMs = new Array(options.partitions).fill(0);
    this.#producer = mq.producer({ lingerMs: 2 });
    this.#timer = setInterval(() => this.#sendDue(), 5);
  }

  /** Whether every partition has acknowledged a record that was sent after `sinceMs` (of performance.now()). */
  isWritableSince(sinceMs: number): boolean {
    return this.#newestSentMs.every((sentMs) => sentMs > sinceMs);
  }

  /** Sends no more, and waits until everything has an answer. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#producer.flush();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#producer[Symbol.asyncDispose]();
  }

  #sendDue(): void {
    const now = performance.now();
    // After a pause of the process there is no point in sending all that was missed.
    this.#due = Math.max(this.#due, now - 50);
    for (; this.#due <= now; this.#due += 1000 / this.#options.rate) this.#send(now);
  }

  #send(sentMs: number): void {
    const { history, topic, partitions, name } = this.#options;
    const number = this.#next++;
    const value = `${name}-${number}`;
    const partition = number % partitions;
    const sends = [{ partition: `${topic}/${partition}`, values: [value] }];
    const call = history.recorder.invoke(this.#process, 'send', { sends });
    this.#producer.send(topic, value, { partition }).then(
      ({ offset }) => {
        call.ok({ offsets: [offset] });
        this.#newestSentMs[partition] = Math.max(this.#newestSentMs[partition] ?? 0, sentMs);
      },
      (error: unknown) => {
        this.failures.push(error);
        const isCertain = isDomainError(error) && !error.outcomeUnknown;
        if (isCertain) call.fail(`${error.code}: ${error.message}`);
        else call.info(String(error));
      },
    );
  }
}

/** Reads the topic from beginning to end, and judges what was sent by this reading alone. */
export async function audit(mq: Client, topic: string, history: History): Promise<RecordReport> {
  const { events, recorder } = history;
  const decoder = new TextDecoder();
  const process = history.nextProcess();
  const records = new Map<string, PollPart['records'][number][]>();
  recorder.invoke(process, 'subscribe', { topics: [topic] }).ok({});
  const call = recorder.invoke(process, 'poll', {});
  for await (const record of mq.consumer({ topic, from: 'earliest', until: 'end' })) {
    const partition = `${topic}/${record.partition}`;
    const ofPartition = records.get(partition) ?? [];
    records.set(partition, ofPartition);
    ofPartition.push([record.offset, decoder.decode(record.value ?? undefined)]);
  }
  call.ok({ polls: [...records].map(([partition, ofPartition]) => ({ partition, records: ofPartition })) });
  return checkRecords(events.filter((event) => event.kind === 'send' || event.process === process));
}
