/**
 * Changes of the quorum while faults go on, through AdminService as an operator would: the controller that waits is added,
 * becomes a voter, then another one is removed, and starts anew with an empty disk as the one that waits. And transfers of
 * the leadership.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { AdminService, type ControllerStatus } from '@fleetmq/gen/controller/admin';
import { apiVersion } from '@fleetmq/metadata';
import { DomainError, isDomainError, type Random } from '@fleetmq/shared';
import type { RpcPool } from '@fleetmq/shared/runtime';
import { type Caller, createClientPool, followingCaller } from './callers.ts';
import type { Cluster, Seat } from './cluster.ts';
import type { Findings } from './findings.ts';

const { method } = AdminService;
const version = apiVersion;
const callTimeoutMs = 10_000;
/** Of one exchange, faults and all. */
const exchangeMaxMs = 120_000;

export interface MembersOptions {
  readonly cluster: Cluster;
  readonly findings: Findings;
  readonly random: Random;
  readonly announce: (text: string) => void;
}

export class Members implements AsyncDisposable {
  readonly #options: MembersOptions;
  readonly #pool: RpcPool = createClientPool();
  readonly #caller: Caller;

  constructor(options: MembersOptions) {
    this.#options = options;
    this.#caller = followingCaller(this.#pool, options.cluster.seats, options.random);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.close();
  }

  /** One for another. A seat that is held by a fault is left alone. */
  async exchange(): Promise<void> {
    const { cluster, announce, findings } = this.#options;
    const deadlineMs = performance.now() + exchangeMaxMs;
    const added = cluster.seats.find(({ isMember, isHeld }) => !isMember && !isHeld);
    if (added === undefined) return;
    added.isHeld = true;
    announce(`controller ${added.id} is being added`);
    await this.#add(added, deadlineMs);
    added.isMember = true;
    added.isHeld = false;
    announce(`controller ${added.id} votes`);
    const removed = await this.#hold(added, deadlineMs);
    announce(`controller ${removed.id} is being removed`);
    await this.#remove(removed, deadlineMs);
    removed.isMember = false;
    announce(`controller ${removed.id} is removed, and starts anew`);
    await cluster.startAnew(removed);
    removed.isHeld = false;
    findings.count('controllers exchanged');
  }

  async #add({ id, host, port }: Seat, deadlineMs: number): Promise<void> {
    // Repeated with the same disk it changes nothing.
    await this.#until(`controller ${id} is added`, deadlineMs, async () => {
      const request = { version, controllerId: id, host, port };
      await this.#caller.call(method.addController, request, { timeoutMs: callTimeoutMs });
      return true;
    });
    await this.#until(`controller ${id} votes`, deadlineMs, async () => (await this.#status(id))?.voter === true);
  }

  async #remove({ id }: Seat, deadlineMs: number): Promise<void> {
    await this.#until(`controller ${id} is removed`, deadlineMs, async () => {
      if ((await this.#status(id)) === undefined) return true;
      await this.#caller.call(method.removeController, { version, controllerId: id }, { timeoutMs: callTimeoutMs });
      return (await this.#status(id)) === undefined;
    });
  }

  /** Any other member that no fault is at work on. */
  async #hold(added: Seat, deadlineMs: number): Promise<Seat> {
    const { cluster, random } = this.#options;
    let chosen: Seat | undefined;
    await this.#until('a controller that may be removed', deadlineMs, async () => {
      const free = cluster.members.filter((seat) => seat !== added && !seat.isHeld);
      chosen = free[Math.floor(random.next() * free.length)];
      return chosen !== undefined;
    });
    const seat = chosen as Seat;
    seat.isHeld = true;
    return seat;
  }

  async #status(id: number): Promise<ControllerStatus | undefined> {
    const options = { timeoutMs: callTimeoutMs, idempotent: true };
    const { controllers } = await this.#caller.call(method.listControllers, { version }, options);
    return controllers.find(({ controllerId }) => controllerId === id);
  }

  /** Whatever refuses it for now: faults go on. */
  async #until(what: string, deadlineMs: number, attempt: () => Promise<boolean>): Promise<void> {
    let last: unknown;
    while (performance.now() < deadlineMs) {
      try {
        if (await attempt()) return;
      } catch (error) {
        if (!isDomainError(error)) throw error;
        last = error;
      }
      await delay(200);
    }
    const why = isDomainError(last) ? `: ${last.code}: ${last.message}` : '';
    throw new DomainError('TIMEOUT', `not within ${exchangeMaxMs} ms: ${what}${why}`);
  }
}

/** To whoever is most advanced, or to a voter that chance chooses. What came of it; undefined: nobody could. */
export async function transferLeadership({ seats, members }: Cluster, random: Random): Promise<string | undefined> {
  await using pool = createClientPool();
  const caller = followingCaller(pool, seats, random);
  const targetId = random.next() < 0.5 ? 0 : (members[Math.floor(random.next() * members.length)]?.id ?? 0);
  try {
    const { leaderId } = await caller.call(method.transferController, { version, targetId }, { timeoutMs: 4_000 });
    return `the leadership was handed over to controller ${leaderId}`;
  } catch (error) {
    if (!isDomainError(error)) throw error;
    return undefined;
  }
}
