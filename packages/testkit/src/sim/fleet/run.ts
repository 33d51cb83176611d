/**
 * One run of the scenario "fleet": controllers, brokers, a gateway and clients, a phase with faults (safety), then a healed
 * one in which every partition must take writes again, its replicas converge, and everything that was acknowledged be read
 * (P25). Everything follows from the seed.
 */
import { type Logger, silentLogger } from '@fleetmq/shared';
import { SimCluster } from '../controllers/cluster.ts';
import { Invariants } from '../controllers/invariants.ts';
import { MemberHistory } from '../controllers/member-history.ts';
import { describeError } from '../failure.ts';
import type { RunResult } from '../run-result.ts';
import { newWorld, resultOf, watchingRejections } from '../run-world.ts';
import { type FleetTwists, SimBrokers } from './brokers.ts';
import { SimConsumer, SimProducer } from './clients.ts';
import { Convergence } from './convergence.ts';
import { FleetFaults } from './faults.ts';
import { SimGateway } from './gateway.ts';
import { FleetHistory } from './history.ts';
import { FleetInvariants } from './invariants.ts';
import { FleetOperator } from './operator.ts';
import { type FleetSeedPart, fleetSeed } from './seed.ts';
import type { FleetWorld } from './world.ts';

export interface FleetRunOptions {
  readonly seed: number;
  /** Prints every event. */
  readonly print?: ((line: string) => void) | undefined;
  readonly logger?: Logger | undefined;
  /** Planted bugs. */
  readonly twists?: FleetTwists;
  /** Instead of what the seed draws. */
  readonly fixed?: FleetSeedPart | undefined;
}

/** Until then the topic has to be there; no fault begins before. */
const topicByMs = 30_000;

export async function runFleet(options: FleetRunOptions): Promise<RunResult> {
  const run = new FleetRun(options);
  return watchingRejections(run.world, async () => {
    try {
      return await run.run();
    } catch (error) {
      // An assertion in an event: also that time stands still.
      run.world.fail('crash', 'an assertion failed', describeError(error));
      return run.result();
    }
  });
}

class FleetRun {
  readonly world: FleetWorld;
  readonly #controllerInvariants: Invariants;
  readonly #invariants: FleetInvariants;
  readonly #cluster: SimCluster;
  readonly #brokers: SimBrokers;
  readonly #gateway: SimGateway;
  readonly #history: FleetHistory;
  readonly #operator: FleetOperator;
  readonly #faults: FleetFaults;
  readonly #producers: readonly SimProducer[];
  readonly #consumers: readonly SimConsumer[];

  constructor(options: FleetRunOptions) {
    const { print, twists = {}, logger = silentLogger, fixed = {} } = options;
    const seed = { ...fleetSeed(options.seed), ...fixed };
    this.world = newWorld(seed, {
      print,
      keepaliveMs: seed.keepaliveMs,
      observe: (seen) => this.#controllerInvariants.observeMessage(seen),
    });
    const { world } = this;
    this.#controllerInvariants = new Invariants(world, new MemberHistory(world));
    this.#cluster = new SimCluster(world, this.#controllerInvariants, { twists: {}, logger });
    this.#invariants = new FleetInvariants(world, this.#controllerInvariants.reference, () => this.#brokers.seats);
    this.#brokers = new SimBrokers(world, { twists, logger, watcher: this.#invariants });
    this.#gateway = new SimGateway(world);
    this.#history = new FleetHistory(world, (...args) => this.#invariants.acknowledged(...args));
    this.#operator = new FleetOperator(world);
    this.#faults = new FleetFaults(world, {
      cluster: this.#cluster,
      brokers: this.#brokers,
      gateway: this.#gateway,
      operator: this.#operator,
      invariants: this.#invariants,
    });
    this.#producers = seed.producers.map((kind, index) => new SimProducer(world, this.#history, index + 1, kind));
    const first = seed.producers.length + 1;
    this.#consumers = seed.consumers.map(
      ({ viaGateway }, index) => new SimConsumer(world, this.#history, first + index, viaGateway),
    );
  }

  async run(): Promise<RunResult> {
    const { world } = this;
    const { scheduler, seed } = world;
    for (const seat of this.#cluster.seats) this.#cluster.start(seat);
    for (const seat of this.#brokers.seats) this.#brokers.start(seat);
    this.#gateway.start();
    const { lossRate, straggleRate } = seed.network;
    Object.assign(seed.network, { lossRate: 0, straggleRate: 0 });
    let isReady = false;
    void this.#begin().then(() => {
      isReady = true;
    });
    if (!(await this.#until(topicByMs, () => isReady))) {
      world.fail('liveness', 'a quiet fleet makes a topic', `not within ${topicByMs} ms`);
      return this.result();
    }
    Object.assign(seed.network, { lossRate, straggleRate });
    this.#faults.start();
    await this.#until(scheduler.time.nowMs + seed.faultsMs, () => false);
    if (world.failure === undefined) await this.#heal();
    return this.result();
  }

  async #begin(): Promise<void> {
    while (
      this.#controllerInvariants.reference.image.brokers().filter(({ state }) => state === 'active').length <
      this.world.seed.brokers
    ) {
      await new Promise<void>((resolve) => this.world.scheduler.time.after(100, resolve));
    }
    await this.#operator.createTopic();
    for (const each of [...this.#producers, ...this.#consumers]) each.start();
  }

  /** Runs on; whether it came to pass before that time, and before anything failed. */
  async #until(untilMs: number, isDone: () => boolean): Promise<boolean> {
    const { world } = this;
    let isPassed = false;
    await world.scheduler.run(untilMs, () => {
      this.#controllerInvariants.look();
      this.#invariants.look();
      isPassed = isDone();
      return isPassed || world.failure !== undefined;
    });
    return isPassed && world.failure === undefined;
  }

  async #heal(): Promise<void> {
    const { world } = this;
    const { scheduler, counts } = world;
    const healedMs = scheduler.time.nowMs;
    this.#faults.heal();
    this.#history.healed();
    for (const each of [...this.#producers, ...this.#consumers]) each.rest();
    const convergence = new Convergence(world, {
      brokers: this.#brokers,
      invariants: this.#invariants,
      reference: this.#controllerInvariants.reference,
      producers: this.#producers,
      consumer: new SimConsumer(world, this.#history, 50, true),
      direct: new SimConsumer(world, this.#history, 51, false),
    });
    for (const phase of convergence.phases()) {
      phase.begin();
      if (await this.#until(healedMs + phase.withinMs, () => phase.wants() === undefined)) continue;
      world.fail('liveness', phase.name, phase.wants() ?? 'well, but too late');
      return;
    }
    counts.add('converged after ms', Math.round(scheduler.time.nowMs - healedMs));
    this.#invariants.compare();
    this.#history.judge(convergence.lost);
  }

  result(): RunResult {
    const { counts } = this.world;
    for (const [name, count] of Object.entries(this.#brokers.diskCounters)) counts.add(`broker disk: ${name}`, count);
    counts.add('invariants looked at', this.#controllerInvariants.checks);
    return resultOf(this.world, ['elections won', 'leaders that began', 'history: acknowledged', 'records read']);
  }
}
