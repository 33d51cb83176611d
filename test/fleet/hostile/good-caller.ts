/**
 * The well-behaved caller: small writes and reads through the gateway and straight at the broker, at a fixed rate whatever the
 * answers do (open loop), so that a server that stops for a moment is seen in every call that was due in it. Latency counts
 * from the moment a call was due. Remembers what it was promised.
 */
import { type Client, createClient } from '@connectrpc/connect';
import { ConsumerService } from '@fleetmq/gen/client/consumer';
import { ProducerService } from '@fleetmq/gen/client/producer';
import { AcknowledgmentLevel } from '@fleetmq/gen/common/types';
import { createLaneTransport, type LaneTransport } from '@fleetmq/shared/runtime';

/** Calls per second: a quarter each of writes and reads at either door. */
const callsPerSecond = 200;
const valueBytes = 100;
const acks = AcknowledgmentLevel.ACK_ALL;

export interface Latencies {
  readonly calls: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

interface Way {
  readonly name: string;
  readonly transport: LaneTransport;
  readonly producer: Client<typeof ProducerService>;
  readonly consumer: Client<typeof ConsumerService>;
}

export class GoodCaller implements AsyncDisposable {
  /** Value by offset, of every write that was acknowledged. */
  readonly acknowledged: Map<bigint, string> = new Map();
  readonly failures: string[] = [];
  readonly #topic: string;
  readonly #ways: readonly Way[];
  readonly #timer: NodeJS.Timeout;
  readonly #underWay = new Set<Promise<void>>();
  #latencies: number[] = [];
  #count = 0;
  #dueMs = performance.now();
  #newest: bigint | undefined;

  constructor(topic: string, doors: Readonly<Record<string, string>>) {
    this.#topic = topic;
    this.#ways = Object.entries(doors).map(([name, address]) => {
      const transport = createLaneTransport({ baseUrl: `http://${address}` });
      const producer = createClient(ProducerService, transport);
      return { name, transport, producer, consumer: createClient(ConsumerService, transport) };
    });
    this.#timer = setInterval(() => this.#callWhatIsDue(), 1);
  }

  /** The calls that became due since the last time, once all of them have been answered. */
  async take(): Promise<Latencies> {
    const latencies = this.#latencies;
    this.#latencies = [];
    await Promise.all(this.#underWay);
    const sorted = latencies.sort((left, right) => left - right);
    const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
    return { calls: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) };
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#underWay);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    for (const { transport } of this.#ways) await transport.close();
  }

  #callWhatIsDue(): void {
    for (const nowMs = performance.now(); this.#dueMs <= nowMs; this.#dueMs += 1000 / callsPerSecond) {
      const number = this.#count++;
      const way = this.#ways[number % this.#ways.length] as Way;
      const isWrite = Math.floor(number / this.#ways.length) % 2 === 0;
      const [dueMs, latencies] = [this.#dueMs, this.#latencies];
      const running = (isWrite ? this.#write(way, number) : this.#read(way))
        .catch((error: unknown) => void this.failures.push(`${way.name}: ${error}`))
        .finally(() => {
          latencies.push(performance.now() - dueMs);
          this.#underWay.delete(running);
        });
      this.#underWay.add(running);
    }
  }

  async #write({ producer }: Way, number: number): Promise<void> {
    const value = `good-${number}-`.padEnd(valueBytes, 'x');
    const records = [{ value: new TextEncoder().encode(value) }];
    const answer = await producer.produce({ topicPartition: { topic: this.#topic, partition: 0 }, records, acks });
    if (answer.errorCode !== 0) throw new Error(answer.errorMessage);
    this.acknowledged.set(answer.offset, value);
    if (this.#newest === undefined || answer.offset > this.#newest) this.#newest = answer.offset;
  }

  /** The newest record that was acknowledged. */
  async #read({ consumer }: Way): Promise<void> {
    const fetchOffset = this.#newest;
    if (fetchOffset === undefined) return;
    const topicPartition = { topic: this.#topic, partition: 0 };
    const answer = await consumer.fetch({ partitions: [{ topicPartition, fetchOffset }], maxBytes: 1 });
    const [partition] = answer.partitions;
    if (partition?.errorCode !== 0) throw new Error(partition?.errorMessage ?? 'no answer');
    const value = new TextDecoder().decode(partition.batches[0]?.records[0]?.value);
    const promised = this.acknowledged.get(fetchOffset);
    if (value !== promised) throw new Error(`offset ${fetchOffset} holds ${value}, not ${promised}`);
  }
}
