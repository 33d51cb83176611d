/**
 * Operators of a simulated cluster: they create, change and delete topics, change settings, move leaderships, and read,
 * through the calls of the contract with the production client of the controllers. Each does one thing at a time.
 */

import { BrokerReplicationService } from '@fleetmq/gen/broker/replication';
import { AdminService } from '@fleetmq/gen/controller/admin';
import { ControllerBrokerService } from '@fleetmq/gen/controller/cluster';
import { ControllerRaftService } from '@fleetmq/gen/controller/raft';
import { apiVersion } from '@fleetmq/metadata';
import { ControllerCalls } from '@fleetmq/metadata/link';
import { isDomainError, type Random } from '@fleetmq/shared';
import { describeError } from '../failure.ts';
import { SimProcess } from '../process.ts';
import type { History } from './history.ts';
import { callOptions, clientAddress, type World } from './world.ts';

const topicNames = ['a', 'b', 'c', 'd', 'e'];
const version = apiVersion;
const timeoutMs = 4_000;

export interface SimClientOptions {
  /** From 1. */
  readonly number: number;
  /** All that may ever be members. */
  readonly controllerIds: readonly number[];
}

export class SimClient {
  readonly #world: World;
  readonly #history: History;
  readonly #random: Random;
  readonly #process: SimProcess;
  readonly #calls: ControllerCalls;
  readonly #number: number;
  #isIdle = false;
  #nextValue = 0;

  constructor(world: World, history: History, { number, controllerIds }: SimClientOptions) {
    this.#world = world;
    this.#history = history;
    this.#number = number;
    this.#random = world.random(`client ${number}`);
    this.#process = new SimProcess({ name: `client-${number}`, time: world.scheduler.time });
    const who = { process: this.#process, address: clientAddress + number, controllerIds, random: this.#random };
    this.#calls = new ControllerCalls(callOptions(world, who));
  }

  start(): void {
    this.#later();
  }

  /** Begins nothing more. */
  rest(): void {
    this.#isIdle = true;
  }

  /** Writes, and reads what was written. Whether both were answered. */
  async probe(): Promise<boolean> {
    await this.write();
    await this.#readSettings();
    return true;
  }

  /** Writes a value that nobody else writes. */
  async write(): Promise<void> {
    const value = String(1_000_000 + this.#number * 100_000 + this.#nextValue++);
    const answer = await this.#calls.unary(
      ControllerBrokerService.method.updateClusterConfig,
      { version, set: { 'retention.ms': value } },
      { timeoutMs },
    );
    this.#history.wroteSetting(value, answer.metadataVersion);
  }

  #later(): void {
    const delayMs = -Math.log(1 - this.#random.next()) * this.#world.seed.operationEveryMs;
    this.#process.after(delayMs, () => void this.#operate());
  }

  async #operate(): Promise<void> {
    if (this.#isIdle) return;
    const { counts } = this.#world;
    const names = Object.keys(this.#operations);
    const name = names[Math.floor(this.#random.next() * names.length)] as string;
    try {
      await this.#operations[name]?.();
      counts.add(`client: ${name} ok`);
    } catch (error) {
      if (!isDomainError(error)) this.#world.fail('crash', 'a client call threw', describeError(error));
      else counts.add(`client: ${name} ${error.code}`);
    }
    this.#later();
  }

  readonly #operations: Record<string, () => Promise<unknown>> = {
    createTopic: () => this.#createTopic(),
    deleteTopic: () => this.#deleteTopic(),
    alterTopic: () => this.#alterTopic(),
    addPartitions: () => this.#addPartitions(),
    write: () => this.write(),
    writeMore: () => this.write(),
    readSettings: () => this.#readSettings(),
    readTopic: () => this.#readTopic(),
    readIndex: () => this.#readIndex(),
    readCluster: () => this.#readCluster(),
    readIsr: () => this.#readIsr(),
    movePartition: () => this.#movePartition(),
    drain: () => this.#drain(),
  };

  async #createTopic(): Promise<void> {
    const partitionCount = 1 + Math.floor(this.#random.next() * 3);
    const replicationFactor = 1 + Math.floor(this.#random.next() * this.#world.seed.brokers);
    const { metadataVersion } = await this.#calls.unary(
      AdminService.method.createTopic,
      { version, name: this.#topic(), partitionCount, replicationFactor },
      { timeoutMs },
    );
    this.#history.wrote(metadataVersion);
  }

  async #deleteTopic(): Promise<void> {
    // Topics that live a little are of more use than topics that are always gone.
    if (this.#random.next() < 0.6) return;
    const { metadataVersion } = await this.#calls.unary(
      AdminService.method.deleteTopic,
      { version, name: this.#topic() },
      { timeoutMs },
    );
    this.#history.wrote(metadataVersion);
  }

  async #alterTopic(): Promise<void> {
    const set = { 'retention.ms': String(1_000 + Math.floor(this.#random.next() * 1e6)) };
    const { metadataVersion } = await this.#calls.unary(
      AdminService.method.alterTopicConfig,
      { version, name: this.#topic(), set },
      { timeoutMs },
    );
    this.#history.wrote(metadataVersion);
  }

  async #addPartitions(): Promise<void> {
    const totalCount = 2 + Math.floor(this.#random.next() * 3);
    const { metadataVersion } = await this.#calls.unary(
      AdminService.method.addPartitions,
      { version, name: this.#topic(), totalCount },
      { timeoutMs },
    );
    this.#history.wrote(metadataVersion);
  }

  async #readSettings(): Promise<void> {
    const begin = this.#history.begin();
    const { metadataVersion } = await this.#calls.unary(
      ControllerBrokerService.method.getClusterConfig,
      { version },
      { timeoutMs, idempotent: true },
    );
    this.#history.read(begin, metadataVersion, 'GetClusterConfig');
  }

  async #readTopic(): Promise<void> {
    const begin = this.#history.begin();
    const { metadataVersion } = await this.#calls.unary(
      AdminService.method.describeTopic,
      { version, name: this.#topic() },
      { timeoutMs, idempotent: true },
    );
    this.#history.read(begin, metadataVersion, 'DescribeTopic');
  }

  async #readIndex(): Promise<void> {
    const begin = this.#history.begin();
    const { index } = await this.#calls.unary(
      ControllerRaftService.method.readIndex,
      { version },
      { timeoutMs, idempotent: true },
    );
    this.#history.read(begin, index, 'ReadIndex');
  }

  async #readCluster(): Promise<void> {
    const begin = this.#history.begin();
    const { metadataVersion } = await this.#calls.unary(
      AdminService.method.describeCluster,
      { version },
      { timeoutMs, idempotent: true },
    );
    this.#history.read(begin, metadataVersion, 'DescribeCluster');
  }

  async #readIsr(): Promise<void> {
    await this.#calls.unary(
      BrokerReplicationService.method.getISR,
      { version, topicPartition: { topic: this.#topic(), partition: 0 } },
      { timeoutMs, idempotent: true },
    );
  }

  async #movePartition(): Promise<void> {
    const targetId = Math.floor(this.#random.next() * (this.#world.seed.brokers + 1));
    await this.#calls.unary(
      BrokerReplicationService.method.transferLeadership,
      { version, topicPartition: { topic: this.#topic(), partition: 0 }, targetId },
      { timeoutMs },
    );
  }

  async #drain(): Promise<void> {
    const brokerId = 1 + Math.floor(this.#random.next() * this.#world.seed.brokers);
    const cancel = this.#random.next() < 0.7;
    await this.#calls.unary(AdminService.method.drainBroker, { version, brokerId, cancel }, { timeoutMs });
  }

  #topic(): string {
    return topicNames[Math.floor(this.#random.next() * topicNames.length)] as string;
  }
}
