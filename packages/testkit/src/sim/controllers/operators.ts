/**
 * Operators who change the members of the quorum, through the calls of the contract: controllers are added, removed, brought
 * back with a new disk, and replaced when theirs is gone. One thing at a time, mostly without waiting for what became of the
 * one before. They check what a careful operator checks: that a majority keeps its disks (`survival.ts`).
 */
import { AdminService, type ControllerStatus } from '@fleetmq/gen/controller/admin';
import { apiVersion } from '@fleetmq/metadata';
import { ControllerCalls } from '@fleetmq/metadata/link';
import { isDomainError, type Random } from '@fleetmq/shared';
import { describeError } from '../failure.ts';
import { SimProcess } from '../process.ts';
import type { SimCluster } from './cluster.ts';
import type { MemberHistory, MemberRequestKind } from './member-history.ts';
import type { Reference } from './reference.ts';
import type { Seat } from './seat.ts';
import type { Survival } from './survival.ts';
import { callOptions, operatorAddress, type World } from './world.ts';

const version = apiVersion;
const timeoutMs = 6_000;
/** A controller that was just started needs as long until it answers. */
const startMs = 300;
/** Between two looks at whether a disk is gone. */
const restMs = 300;

export interface OperatorParts {
  readonly cluster: SimCluster;
  readonly reference: Reference;
  readonly history: MemberHistory;
  readonly survival: Survival;
}

export class SimOperator {
  readonly #world: World;
  readonly #parts: OperatorParts;
  readonly #random: Random;
  readonly #process: SimProcess;
  readonly #calls: ControllerCalls;
  #isResting = false;
  #isBusy = false;

  constructor(world: World, parts: OperatorParts) {
    this.#world = world;
    this.#parts = parts;
    this.#random = world.random('operator');
    this.#process = new SimProcess({ name: 'operator', time: world.scheduler.time });
    const controllerIds = parts.cluster.seats.map(({ id }) => id);
    const who = { process: this.#process, address: operatorAddress, controllerIds, random: this.#random };
    this.#calls = new ControllerCalls(callOptions(world, who));
  }

  start(): void {
    this.#later();
  }

  /** Changes nothing any more, but for controllers whose disks are gone: these are replaced. */
  rest(): void {
    this.#isResting = true;
  }

  /** Nothing is left to be done. */
  get isDone(): boolean {
    return !this.#isBusy && this.#parts.survival.lost.length === 0;
  }

  #later(): void {
    const meanMs = this.#isResting ? restMs : this.#world.seed.memberChangeEveryMs;
    this.#process.after(-Math.log(1 - this.#random.next()) * meanMs, () => void this.#operate());
  }

  async #operate(): Promise<void> {
    const names = Object.keys(this.#operations);
    const isCalm = this.#isResting || this.#world.seed.operators === 'replace';
    const name = isCalm ? 'replaceLost' : (this.#pick(names) as string);
    const { counts, trace } = this.#world;
    this.#isBusy = true;
    try {
      trace.note(`operator: ${name}`);
      if ((await this.#operations[name]?.()) === true) counts.add(`operator: ${name} ok`);
    } catch (error) {
      if (!isDomainError(error)) this.#world.fail('crash', 'an operator call threw', describeError(error));
      else counts.add(`operator: ${name} ${error.code}`);
    }
    this.#isBusy = false;
    this.#later();
  }

  /** Each as likely as the next. False: there was nothing to do. */
  readonly #operations: Record<string, () => Promise<boolean>> = {
    add: async () => this.#add(this.#pick(await this.#outsiders())),
    addSpare: async () => this.#add((await this.#outsiders()).find(({ isInUse }) => !isInUse)),
    addLearner: async () => this.#add(this.#pick(await this.#outsiders()), { learnerOnly: true }),
    addAsItIs: async () => this.#addAsItIs(this.#pick(await this.#outsiders())),
    promote: async () => this.#promote(this.#pick((await this.#members()).filter(({ voter }) => !voter))),
    remove: async () => this.#remove(this.#pick(await this.#members())),
    removeLeader: async () => this.#remove((await this.#members()).find(({ leader }) => leader)),
    replace: async () => this.#replace(this.#pick((await this.#members()).filter(({ voter }) => voter))),
    replaceLeader: async () => this.#replace((await this.#members()).find(({ leader }) => leader)),
    removeLearner: async () => this.#remove(this.#pick((await this.#members()).filter(({ voter }) => !voter))),
    replaceLost: () => this.#replaceLost(),
  };

  /** Of those that lead as far as the quorum knows. */
  async #members(): Promise<readonly ControllerStatus[]> {
    const { controllers } = await this.#calls.unary(
      AdminService.method.listControllers,
      { version },
      { timeoutMs, idempotent: true },
    );
    return controllers;
  }

  async #outsiders(): Promise<readonly Seat[]> {
    const members = await this.#members();
    return this.#parts.cluster.seats.filter(({ id }) => members.every(({ controllerId }) => controllerId !== id));
  }

  /** With a new disk, unless it waits to be added already. */
  async #add(seat: Seat | undefined, { learnerOnly = false } = {}): Promise<boolean> {
    if (seat === undefined || !(await this.#prepare(seat))) return false;
    return this.#ask('add', seat, () => this.#addController(seat, learnerOnly));
  }

  /** It waits to be added. */
  async #prepare(seat: Seat): Promise<boolean> {
    const { cluster, survival } = this.#parts;
    if (seat.isInUse && !seat.isDamaged && seat.life?.node?.standing.state === 'joining') return true;
    if (!survival.isFree(seat)) return false;
    cluster.renew(seat);
    await this.#pause(startMs);
    return !seat.isDamaged;
  }

  /** By another controller, in one step. */
  async #replace(member: ControllerStatus | undefined): Promise<boolean> {
    const { cluster, survival, history, reference } = this.#parts;
    const newcomer = this.#pick(await this.#outsiders());
    if (member === undefined || newcomer === undefined || !(await this.#prepare(newcomer))) return false;
    const replaced = cluster.seat(member.controllerId);
    if (!survival.mayRemove(replaced)) return false;
    const removal = history.asks('remove', replaced.id, reference.appliedIndex);
    try {
      return await this.#ask('add', newcomer, () => this.#replaceController(replaced, newcomer));
    } finally {
      // From its answer on the removal is a wish of the members themselves.
      history.ended(removal, false);
    }
  }

  /** Whatever disk it has: one that was removed must be refused. */
  async #addAsItIs(seat: Seat | undefined): Promise<boolean> {
    if (seat === undefined || !seat.isInUse || seat.isDamaged) return false;
    return this.#ask('add', seat, () => this.#addController(seat, false));
  }

  async #promote(learner: ControllerStatus | undefined): Promise<boolean> {
    if (learner === undefined) return false;
    const seat = this.#parts.cluster.seat(learner.controllerId);
    return this.#ask('add', seat, () => this.#addController(seat, false));
  }

  async #remove(member: ControllerStatus | undefined): Promise<boolean> {
    if (member === undefined) return false;
    const { cluster, survival } = this.#parts;
    const seat = cluster.seat(member.controllerId);
    if (!survival.mayRemove(seat)) return false;
    const force = this.#random.next() < 0.1;
    await this.#ask('remove', seat, () => this.#removeController(seat, force));
    // Some are stopped, others are left to find out by themselves.
    if (this.#random.next() < 0.4 && survival.isFree(seat)) void cluster.retire(seat);
    return true;
  }

  /** Removed, and added anew with a new disk. */
  async #replaceLost(): Promise<boolean> {
    const { cluster, survival, reference } = this.#parts;
    const seat = this.#pick(survival.lost);
    if (seat === undefined) return false;
    const { confState } = reference.configurations.newest;
    const isLearner = confState.learners.includes(seat.id);
    if (!isLearner && !survival.mayRemove(seat)) return false;
    await this.#ask('remove', seat, () => this.#removeController(seat, false));
    if (!survival.isFree(seat)) return false;
    cluster.renew(seat);
    await this.#pause(startMs);
    return this.#ask('add', seat, () => this.#addController(seat, false));
  }

  async #addController({ id }: Seat, learnerOnly: boolean): Promise<void> {
    const controllerId = this.#random.next() < 0.5 ? id : 0;
    await this.#calls.unary(
      AdminService.method.addController,
      { version, controllerId, host: 'controller', port: id, learnerOnly },
      { timeoutMs },
    );
  }

  async #replaceController(replaced: Seat, { id }: Seat): Promise<void> {
    await this.#calls.unary(
      AdminService.method.replaceController,
      { version, replacedId: replaced.id, controllerId: id, host: 'controller', port: id },
      { timeoutMs },
    );
  }

  async #removeController({ id }: Seat, force: boolean): Promise<void> {
    await this.#calls.unary(AdminService.method.removeController, { version, controllerId: id, force }, { timeoutMs });
  }

  async #ask(kind: MemberRequestKind, { id }: Seat, call: () => Promise<void>): Promise<true> {
    const { history, reference } = this.#parts;
    const request = history.asks(kind, id, reference.appliedIndex);
    try {
      await call();
      history.ended(request, true);
    } catch (error) {
      history.ended(request, isDomainError(error) && error.code !== 'TIMEOUT' && !error.outcomeUnknown);
      throw error;
    }
    history.succeeded(request, reference.configurations);
    return true;
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.#process.after(delayMs, resolve));
  }

  #pick<Value>(values: readonly Value[]): Value | undefined {
    return values[Math.floor(this.#random.next() * values.length)];
  }
}
