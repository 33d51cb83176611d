/** Somebody who makes the topic, hands over leaderships and moves replicas, by the calls that operators have. */
import type { Client } from '@fleetmq/client';
import { BrokerReplicationService } from '@fleetmq/gen/broker/replication';
import { apiVersion } from '@fleetmq/metadata';
import { ControllerCalls } from '@fleetmq/metadata/link';
import { isDomainError, type Random } from '@fleetmq/shared';
import { callOptions } from '../controllers/world.ts';
import { SimProcess } from '../process.ts';
import { openClient } from './clients.ts';
import { clientAddress, type FleetWorld, topicName } from './world.ts';

/** Beside those of the load. */
const operatorClient = 40;

export class FleetOperator {
  readonly #world: FleetWorld;
  readonly #client: Client;
  readonly #calls: ControllerCalls;
  readonly #random: Random;
  #moving: Promise<void> | undefined;

  constructor(world: FleetWorld) {
    this.#world = world;
    this.#random = world.random('operator');
    this.#client = openClient(world, operatorClient, true);
    const process = new SimProcess({ name: 'operator', time: world.scheduler.time });
    const controllerIds = Array.from({ length: world.seed.controllers }, (_, index) => index + 1);
    const address = clientAddress + operatorClient + 1;
    this.#calls = new ControllerCalls(
      callOptions(world, { process, address, controllerIds, random: world.random('operator calls') }),
    );
  }

  async createTopic(): Promise<void> {
    const { partitions, replicationFactor, minInsyncReplicas, logSegmentBytes } = this.#world.seed;
    const config = {
      'min.insync.replicas': String(minInsyncReplicas),
      'segment.bytes': String(logSegmentBytes),
      'max.message.bytes': '4096',
    };
    const options = { partitions, replicationFactor, config, timeoutMs: 30_000 };
    await this.#client.admin.createTopic(topicName, options);
  }

  /** One partition gets another leader, if it may; or its preferred one. */
  transfer(): void {
    const { partitions, brokers } = this.#world.seed;
    const partition = Math.floor(this.#random.next() * partitions);
    const targetId = Math.floor(this.#random.next() * (brokers + 1));
    const request = { version: apiVersion, topicPartition: { topic: topicName, partition }, targetId };
    void this.#try('transfer', () =>
      this.#calls.unary(BrokerReplicationService.method.transferLeadership, request, { timeoutMs: 5_000 }),
    );
  }

  /** One partition goes to other brokers, or to the same ones in another order. One move at a time; some are called off. */
  reassign(): void {
    const { partitions, brokers, replicationFactor } = this.#world.seed;
    const partition = Math.floor(this.#random.next() * partitions);
    const ids = Array.from({ length: brokers }, (_, index) => ({ id: index + 1, rank: this.#random.next() }));
    const replicas = ids.sort((left, right) => left.rank - right.rank).map(({ id }) => id);
    const wanted = { topic: topicName, partition, replicas: replicas.slice(0, replicationFactor) };
    const isCalledOff = this.#random.next() < 0.3;
    this.#moving ??= this.#try('reassign', async () => {
      const { reassignments } = this.#client.admin;
      const { id } = await reassignments.start([wanted], { timeoutMs: 5_000 });
      if (isCalledOff && id !== '') await reassignments.cancel(id, { timeoutMs: 5_000 });
    }).finally(() => {
      this.#moving = undefined;
    });
  }

  async #try(what: string, work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
      this.#world.counts.add(`operator: ${what}`);
    } catch (error) {
      if (!isDomainError(error)) throw error;
      this.#world.counts.add(`operator: ${what}: ${error.code}`);
    }
  }
}
