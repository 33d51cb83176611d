/**
 * Clients of a run, with the production client in them: producers that send unique values in bursts, and consumers that read
 * everything, again and again. All that they call and are told goes into the history.
 */
import type { Client } from '@fleetmq/client';
import { createSimClient } from '@fleetmq/client/sim';
import { isDomainError, type Random } from '@fleetmq/shared';
import { nodeChecksum } from '@fleetmq/shared/runtime';
import { SimProcess } from '../process.ts';
import type { FleetHistory } from './history.ts';
import type { SimAcks } from './seed.ts';
import { clientAddress, clientListener, type FleetWorld, gatewayUrl, topicName, transportsOf, urlOf } from './world.ts';

/** A client of its own process and address. */
export function openClient(world: FleetWorld, number: number, viaGateway: boolean): Client {
  const { scheduler, seed, random } = world;
  const process = new SimProcess({ name: `client-${number}`, time: scheduler.time });
  const urls = Array.from({ length: seed.brokers }, (_, index) => urlOf(clientListener + index + 1));
  const { clock, timers } = process;
  return createSimClient(
    { clientId: `client-${number}`, timeoutMs: 10_000 },
    {
      entrance: viaGateway ? { kind: 'gateway', url: gatewayUrl } : { kind: 'brokers', urls },
      transportAt: transportsOf(world, process, clientAddress + number),
      checksum: nodeChecksum,
      ports: { clock, timers, random: random(`client ${number}`) },
    },
  );
}

/** What it cannot get rid of it gives up after so long. */
const deliveryTimeoutMs = 15_000;
/** More than that it does not send behind each other. */
const bufferedMax = 200;

export interface ProducerKind {
  readonly acks: SimAcks;
  readonly viaGateway: boolean;
  readonly compression: 'none' | 'lz4';
}

export class SimProducer {
  readonly #world: FleetWorld;
  readonly #history: FleetHistory;
  readonly #random: Random;
  readonly #process: number;
  readonly #kind: ProducerKind;
  readonly #producer: ReturnType<Client['producer']>;
  #next = 0;
  #open = 0;
  #isOver = false;

  constructor(world: FleetWorld, history: FleetHistory, number: number, kind: ProducerKind) {
    this.#world = world;
    this.#history = history;
    this.#random = world.random(`producer ${number}`);
    this.#process = history.nextProcess();
    this.#kind = kind;
    const { acks, compression } = kind;
    const client = openClient(world, number, kind.viaGateway);
    this.#producer = client.producer({ acks, compression, deliveryTimeoutMs, requestTimeoutMs: 5_000 });
  }

  /** Nothing that it sent waits for its answer. */
  get isIdle(): boolean {
    return this.#open === 0;
  }

  start(): void {
    this.#later();
  }

  rest(): void {
    this.#isOver = true;
  }

  /** One record to this partition; true when it is acknowledged. */
  async probe(partition: number): Promise<boolean> {
    return await this.#send(partition);
  }

  #later(): void {
    const { scheduler, seed } = this.#world;
    const delayMs = -Math.log(1 - this.#random.next()) * seed.sendEveryMs;
    scheduler.time.after(delayMs, () => {
      if (this.#isOver) return;
      this.#burst();
      this.#later();
    });
  }

  #burst(): void {
    const { burstMax, partitions } = this.#world.seed;
    const partition = Math.floor(this.#random.next() * partitions);
    for (let left = 1 + Math.floor(this.#random.next() * burstMax); left > 0 && this.#open < bufferedMax; left--) {
      void this.#send(partition);
    }
  }

  async #send(partition: number): Promise<boolean> {
    const { acks } = this.#kind;
    const value = `${this.#process}-${this.#next++}`;
    const call = this.#history.sends(this.#process, partition, value, acks);
    this.#open++;
    try {
      const { offset } = await this.#producer.send(topicName, `${value} ${padding}`, { partition });
      call.ok(offset);
      return true;
    } catch (error) {
      if (!isDomainError(error)) throw error;
      call.failed(error);
      return false;
    } finally {
      this.#open--;
    }
  }
}

/** Values are not all alike in length, and several fill a piece of a disk. */
const padding = 'x'.repeat(90);

export class SimConsumer {
  readonly #world: FleetWorld;
  readonly #history: FleetHistory;
  readonly #random: Random;
  readonly #client: Client;
  #current: { close(): Promise<void> } | undefined;
  #isOver = false;

  constructor(world: FleetWorld, history: FleetHistory, number: number, viaGateway: boolean) {
    this.#world = world;
    this.#history = history;
    this.#random = world.random(`consumer ${number}`);
    this.#client = openClient(world, number, viaGateway);
  }

  start(): void {
    void this.#run();
  }

  rest(): void {
    this.#isOver = true;
    void this.#current?.close();
  }

  /** Everything from its start to its end as of now. Rejects with what ended it before. */
  async readAll(): Promise<void> {
    await this.#read({ until: 'end' });
  }

  async #run(): Promise<void> {
    const { scheduler, counts, seed } = this.#world;
    while (!this.#isOver) {
      const lastsMs = -Math.log(1 - this.#random.next()) * seed.consumerLastsMs;
      const timer = scheduler.time.after(lastsMs, () => void this.#current?.close());
      try {
        await this.#read({});
      } catch (error) {
        if (!isDomainError(error)) throw error;
        counts.add(`consumer ended: ${error.code}`);
      }
      timer.cancel();
      await new Promise<void>((resolve) => scheduler.time.after(100, resolve));
    }
  }

  async #read(options: { readonly until?: 'end' }): Promise<void> {
    const reader = this.#history.reads();
    const consumer = this.#client.consumer({ topic: topicName, from: 'earliest', heartbeatMs: 5_000, ...options });
    this.#current = consumer;
    const batches = consumer.batches();
    for (;;) {
      const poll = reader.polls();
      try {
        const { value: batch } = await batches.next();
        if (batch === undefined) {
          poll.ended();
          return;
        }
        poll.ok(batch);
      } catch (error) {
        if (isDomainError(error)) poll.failed(error);
        throw error;
      }
    }
  }
}
