/**
 * Measures when changes of the metadata are possible: every 50 ms it sends one to each controller, on connections of its
 * own, and notes which are acknowledged. It changes one topic that nobody else uses, so that what it leaves open disturbs no
 * history.
 */
import { AdminService } from '@fleetmq/gen/controller/admin';
import { apiVersion } from '@fleetmq/metadata';
import { seededRandom } from '@fleetmq/shared';
import type { RpcPool } from '@fleetmq/shared/runtime';
import { createClientPool, directCaller, followingCaller, urlOf } from './callers.ts';
import type { Cluster, Seat } from './cluster.ts';

const everyMs = 50;
const timeoutMs = 1_000;
const topic = 'probe';

export interface Acknowledgment {
  readonly seat: Seat;
  readonly sentMs: number;
  readonly answeredMs: number;
}

interface Waiter {
  readonly sinceMs: number;
  readonly resolve: (acknowledgment: Acknowledgment) => void;
}

export class Prober implements AsyncDisposable {
  readonly #pool: RpcPool = createClientPool();
  readonly #waiters = new Set<Waiter>();
  readonly #timer: NodeJS.Timeout;
  #value = 1_000;
  #last: Acknowledgment | undefined;
  /** When acknowledgments came, ascending. */
  readonly answeredMs: number[] = [];
  /** By controller id: when the newest acknowledged change was sent. */
  readonly lastSentMs: Map<number, number> = new Map();

  private constructor(cluster: Cluster) {
    this.#timer = setInterval(() => {
      for (const seat of cluster.seats) void this.#probe(seat);
    }, everyMs);
  }

  /** Makes its topic first. */
  static async start(cluster: Cluster): Promise<Prober> {
    await using pool = createClientPool();
    const caller = followingCaller(pool, cluster.seats, seededRandom(1));
    const request = { version: apiVersion, name: topic, replicationFactor: 1 };
    await caller.call(AdminService.method.createTopic, request, { timeoutMs: 30_000 });
    return new Prober(cluster);
  }

  /** The first acknowledgment of a change that was sent after this moment; undefined: none came in time. */
  nextAfter(sinceMs: number, withinMs: number): Promise<Acknowledgment | undefined> {
    if (this.#last !== undefined && this.#last.sentMs > sinceMs) return Promise.resolve(this.#last);
    return new Promise((resolve) => {
      const end = (acknowledgment: Acknowledgment | undefined): void => {
        clearTimeout(timer);
        this.#waiters.delete(waiter);
        resolve(acknowledgment);
      };
      const waiter: Waiter = { sinceMs, resolve: end };
      const timer = setTimeout(() => end(undefined), withinMs);
      this.#waiters.add(waiter);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#pool.close();
  }

  async #probe(seat: Seat): Promise<void> {
    const sentMs = performance.now();
    const request = { version: apiVersion, name: topic, set: { 'retention.ms': String(this.#value++) } };
    try {
      await directCaller(this.#pool, urlOf(seat)).call(AdminService.method.alterTopicConfig, request, { timeoutMs });
    } catch {
      return; // Another one, or a later one, works.
    }
    this.#last = { seat, sentMs, answeredMs: performance.now() };
    this.answeredMs.push(this.#last.answeredMs);
    this.lastSentMs.set(seat.id, Math.max(sentMs, this.lastSentMs.get(seat.id) ?? 0));
    for (const waiter of [...this.#waiters]) if (sentMs > waiter.sinceMs) waiter.resolve(this.#last);
  }
}
