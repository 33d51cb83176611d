/**
 * Load with a memory: producers that number their records and note every acknowledgment, and an audit that reads everything
 * back and says what was lost and what was stored twice.
 */
import type { Client } from '@fleetmq/client/node';

/** What a producer was promised: its value, and where it lies. */
interface Acknowledged {
  readonly partition: number;
  readonly offset: number;
}

export interface LoadOptions {
  readonly topic: string;
  readonly partitions: number;
  /** Distinguishes the records of several producers. */
  readonly name: string;
  /** Records per second over all partitions. */
  readonly rate: number;
}

/** Produces round robin at a steady rate until it is stopped. Values are unique: `name-number`. */
export class Load implements AsyncDisposable {
  readonly acknowledged: Map<string, Acknowledged> = new Map();
  readonly failures: unknown[] = [];
  readonly #options: LoadOptions;
  readonly #producer: ReturnType<Client['producer']>;
  readonly #timer: NodeJS.Timeout;
  /** Per partition: when the youngest acknowledged record was sent. */
  readonly #newestSentMs: number[];
  #next = 0;
  #due = performance.now();

  constructor(mq: Client, options: LoadOptions) {
    this.#options = options;
    this.#newestSentMs = new Array(options.partitions).fill(0);
    this.#producer = mq.producer({ lingerMs: 2 });
    this.#timer = setInterval(() => this.#send(), 5);
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

  #send(): void {
    const now = performance.now();
    // After a pause of the process there is no point in sending all that was missed.
    this.#due = Math.max(this.#due, now - 50);
    for (; this.#due <= now; this.#due += 1000 / this.#options.rate) {
      const number = this.#next++;
      const value = `${this.#options.name}-${number}`;
      const partition = number % this.#options.partitions;
      const sentMs = now;
      this.#producer.send(this.#options.topic, value, { partition }).then(
        ({ offset }) => {
          this.acknowledged.set(value, { partition, offset });
          this.#newestSentMs[partition] = Math.max(this.#newestSentMs[partition] ?? 0, sentMs);
        },
        (error: unknown) => this.failures.push(error),
      );
    }
  }
}

export interface Audit {
  readonly read: number;
  readonly lost: readonly string[];
  readonly duplicated: readonly string[];
  /** Acknowledged at one offset, read at another. */
  readonly moved: readonly string[];
  /** Pairs of one producer and partition that were read in another order than sent. */
  readonly disordered: readonly string[];
}

/** Reads the topic from beginning to end and compares it with what the producers were promised. */
export async function audit(mq: Client, topic: string, loads: readonly Load[]): Promise<Audit> {
  const decoder = new TextDecoder();
  const seen = new Map<string, Acknowledged>();
  const newest = new Map<string, number>();
  const duplicated: string[] = [];
  const disordered: string[] = [];
  let read = 0;
  for await (const record of mq.consumer({ topic, from: 'earliest', until: 'end' })) {
    read++;
    const value = decoder.decode(record.value ?? undefined);
    if (seen.has(value)) duplicated.push(value);
    seen.set(value, { partition: record.partition, offset: record.offset });
    const dash = value.lastIndexOf('-');
    const lane = `${value.slice(0, dash)}/${record.partition}`;
    const number = Number(value.slice(dash + 1));
    if (number < (newest.get(lane) ?? -1)) disordered.push(value);
    newest.set(lane, number);
  }
  const promised = loads.flatMap((load) => [...load.acknowledged]);
  const lost = promised.filter(([value]) => !seen.has(value)).map(([value]) => value);
  const moved = promised
    .filter(([value, { offset, partition }]) => {
      const found = seen.get(value);
      return found !== undefined && (found.offset !== offset || found.partition !== partition);
    })
    .map(([value]) => value);
  return { read, lost, duplicated, moved, disordered };
}
