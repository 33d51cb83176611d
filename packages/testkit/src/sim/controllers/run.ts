/**
 * One run of the scenario "controllers": a quorum, brokers and operators, a phase with faults (safety), then a healed one in
 * which all must agree again within a bounded time (liveness, P25). Everything follows from the seed.
 */
import type { ControllerNode } from '@fleetmq/controller/sim';
import { type Logger, silentLogger } from '@fleetmq/shared';
import type { RunResult } from '../run-result.ts';
import { newWorld, resultOf, watchingRejections } from '../run-world.ts';
import { controllersSeed, type SeedPart } from '../seed.ts';
import { SimBroker } from './brokers.ts';
import { SimClient } from './clients.ts';
import { type ClusterTwists, SimCluster } from './cluster.ts';
import { describeConfState, isMemberOf, membersOf } from './configurations.ts';
import { Faults } from './faults.ts';
import { History } from './history.ts';
import { Invariants } from './invariants.ts';
import { MemberHistory } from './member-history.ts';
import { SimOperator } from './operators.ts';
import { Survival } from './survival.ts';
import type { World } from './world.ts';

export interface RunOptions {
  readonly seed: number;
  /** Prints every event. */
  readonly print?: ((line: string) => void) | undefined;
  readonly logger?: Logger | undefined;
  /** Planted bugs. */
  readonly twists?: ClusterTwists;
  /** Instead of what the seed draws. */
  readonly fixed?: SeedPart | undefined;
}

export async function runControllers(options: RunOptions): Promise<RunResult> {
  const run = new Run(options);
  return watchingRejections(run.world, () => run.run());
}

class Run {
  readonly world: World;
  readonly #cluster: SimCluster;
  readonly #invariants: Invariants;
  readonly #clients: readonly SimClient[];
  readonly #brokers: readonly SimBroker[];
  readonly #survival: Survival;
  readonly #operator: SimOperator;
  readonly #faults: Faults;
  #isProbed = false;
  #lookAtMs = 0;

  constructor({ seed: number, print, logger = silentLogger, twists = {}, fixed = {} }: RunOptions) {
    const seed = { ...controllersSeed(number), ...fixed };
    this.world = newWorld(seed, { print, observe: (seen) => this.#invariants.observeMessage(seen) });
    const { world } = this;
    const memberHistory = new MemberHistory(world);
    this.#invariants = new Invariants(world, memberHistory);
    const { reference } = this.#invariants;
    const history = new History(world, reference);
    const cluster = new SimCluster(world, this.#invariants, { twists, logger });
    this.#cluster = cluster;
    const controllerIds = cluster.seats.map(({ id }) => id);
    this.#clients = numbers(seed.clients).map((each) => new SimClient(world, history, { number: each, controllerIds }));
    this.#brokers = numbers(seed.brokers).map((id) => new SimBroker(world, { reference, history, controllerIds }, id));
    const survival = new Survival(cluster, this.#invariants, memberHistory);
    this.#survival = survival;
    this.#operator = new SimOperator(world, { cluster, reference, history: memberHistory, survival });
    this.#faults = new Faults(world, { cluster, brokers: this.#brokers, survival });
  }

  async run(): Promise<RunResult> {
    const { world } = this;
    const { seed, scheduler } = world;
    const startup = world.random('start');
    for (const seat of this.#cluster.seats) {
      const delayMs = seed.lockstep ? 0 : startup.next() * 300;
      scheduler.time.after(delayMs, () => this.#cluster.start(seat));
    }
    for (const broker of this.#brokers) broker.start();
    for (const client of this.#clients) client.start();
    if (seed.operators !== 'none') this.#operator.start();
    this.#faults.start();
    const look = (): boolean => {
      this.#invariants.look();
      return world.failure !== undefined;
    };
    const hasFailed = await scheduler.run(seed.faultsMs, look);
    if (!hasFailed) await this.#heal(look);
    return this.#result();
  }

  async #heal(look: () => boolean): Promise<void> {
    const { world } = this;
    const { seed, scheduler } = world;
    const deadlineMs = seed.faultsMs + seed.healMs;
    this.#faults.heal();
    for (const each of [...this.#clients, ...this.#brokers, this.#operator]) each.rest();
    void this.#probe();
    const isDone = await scheduler.run(deadlineMs, () => look() || this.#hasConverged());
    if (isDone) {
      world.counts.add('converged after ms', Math.round(scheduler.time.nowMs - seed.faultsMs));
      for (const broker of this.#brokers) broker.compare();
      for (const node of this.#cluster.nodes) {
        if (node.stateMachine.appliedIndex > 0)
          this.#invariants.reference.compareNode(node, 'equal state at equal index');
      }
    } else {
      world.fail('liveness', 'all is well again within a bounded time', this.#describe());
    }
  }

  /** A write and a read that nobody disturbs are answered. */
  async #probe(): Promise<void> {
    const client = this.#clients[0] as SimClient;
    while (!this.#isProbed && this.world.failure === undefined) {
      this.#isProbed = await client.probe().catch(() => false);
    }
  }

  #hasConverged(): boolean {
    const { nowMs } = this.world.scheduler.time;
    if (!this.#isProbed || nowMs < this.#lookAtMs) return false;
    this.#lookAtMs = nowMs + 50;
    return this.#wants() === undefined;
  }

  /** What is not well yet. */
  #wants(): string | undefined {
    if (!this.#isProbed) return 'a write is not answered';
    const leaders = this.#cluster.nodes.filter(({ leadership }) => leadership.isReady);
    if (leaders.length !== 1) return `${leaders.length} controllers lead`;
    return this.#wantsOfMembers() ?? this.#wantsOfOthers() ?? this.#wantsOfBrokers();
  }

  #wantsOfMembers(): string | undefined {
    const { reference, disks } = this.#invariants;
    const { newest } = reference.configurations;
    if (this.world.seed.operators !== 'none' && !this.#operator.isDone) return 'operators are at work';
    if (newest.confState.votersOutgoing.length > 0) return 'the configuration is joint';
    for (const id of membersOf(newest.confState)) {
      const seat = this.#cluster.seat(id);
      // Nobody replaces it.
      if (this.#survival.isLost(seat) || seat.isBroken) continue;
      const { node, appliedIndex = 0 } = disks.holderOf(id, newest) ?? {};
      if (node === undefined) return `controller ${id} is down`;
      if (appliedIndex !== reference.appliedIndex)
        return `controller ${id} is at ${appliedIndex}, not ${reference.appliedIndex}`;
    }
    const waiting = newest.membership.promoting.filter((id) => !this.#survival.isLost(this.#cluster.seat(id)));
    return waiting.length === 0 ? undefined : `controller ${waiting.join(', ')} is not promoted`;
  }

  /** Who was removed does not lead, and knows that it was, if anybody whom it can ask can tell. */
  #wantsOfOthers(): string | undefined {
    const { newest } = this.#invariants.reference.configurations;
    for (const { id, life } of this.#cluster.seats) {
      if (life?.node === undefined || isMemberOf(newest, id)) continue;
      const { leadership, standing } = life.node;
      if (leadership.isLeader) return `controller ${id} is no member and leads`;
      if (standing.state !== 'removed' && this.#canHear(life.node))
        return `controller ${id} was removed and does not know it`;
    }
    return undefined;
  }

  /** Its disk is among the removed ones, and of those whom it knows somebody is a member still, with the same disk. */
  #canHear({ controllerId, driver, identity }: ControllerNode): boolean {
    const { newest } = this.#invariants.reference.configurations;
    const ownDisk = identity.diskOf(controllerId);
    if (!newest.membership.retired.some(({ diskId }) => diskId === ownDisk)) return false;
    return membersOf(driver.confState).some((id) => {
      const holder = this.#invariants.disks.holderOf(id, newest);
      return isMemberOf(newest, id) && holder?.node !== undefined && identity.diskOf(id) === holder.diskId;
    });
  }

  #wantsOfBrokers(): string | undefined {
    const { reference } = this.#invariants;
    for (const broker of this.#brokers) {
      const { brokerId, version } = broker;
      const state = reference.image.brokers().find((each) => each.brokerId === brokerId)?.state;
      if (state === undefined || state === 'fenced') return `broker ${brokerId} is ${state ?? 'not registered'}`;
      if (version !== reference.image.version) return `broker ${brokerId} is at version ${version}`;
    }
    return undefined;
  }

  #describe(): string {
    const lines = this.#cluster.seats.map(({ id, life }) => {
      const status = life?.node?.driver.status();
      if (status === undefined) return `controller ${id} is ${life === undefined ? 'down' : 'starting'}`;
      const { role, term, lead, commit, applied, lastIndex } = status;
      return `controller ${id}: ${role}, term ${term}, leader ${lead}, log ${lastIndex}, commit ${commit}, applied ${applied}`;
    });
    const { confState } = this.#invariants.reference.configurations.newest;
    return [this.#wants() ?? 'well, but too late', `members ${describeConfState(confState)}`, ...lines].join('; ');
  }

  #result(): RunResult {
    const { counts } = this.world;
    for (const [name, count] of Object.entries(this.#cluster.diskCounters)) counts.add(`disk: ${name}`, count);
    counts.add('invariants looked at', this.#invariants.checks);
    counts.add('entries committed', this.#invariants.reference.appliedIndex);
    return resultOf(this.world, [
      'elections won',
      'entries committed',
      'linearizable reads',
      'changes seen by watchers',
    ]);
  }
}

function numbers(count: number): readonly number[] {
  return Array.from({ length: count }, (_, position) => position + 1);
}
