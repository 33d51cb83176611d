/**
 * Who leads in which term, as each controller says five times a second, and as the controllers' logs tell afterwards. Two
 * leaders of one term are a finding.
 */
import { ControllerRaftService } from '@fleetmq/gen/controller/raft';
import { apiVersion } from '@fleetmq/metadata';
import type { RpcPool } from '@fleetmq/shared/runtime';
import { createClientPool, directCaller, urlOf } from './callers.ts';
import type { Cluster, Seat } from './cluster.ts';

const everyMs = 200;
const timeoutMs = 500;

/** What a controller says of itself. */
export interface ControllerView {
  readonly leaderId: number;
  readonly term: number;
  readonly appliedIndex: number;
  readonly lastIndex: number;
  readonly state: string;
}

/** Terms and their leaders. Whoever is named first for a term stays. */
export class Terms {
  readonly #leaders = new Map<number, number>();
  /** In words. */
  readonly findings: string[] = [];

  note(term: number, leaderId: number, source: string): void {
    const known = this.#leaders.get(term);
    if (known === undefined) this.#leaders.set(term, leaderId);
    else if (known !== leaderId)
      this.findings.push(`term ${term} is led by ${known}, and by ${leaderId} says ${source}`);
  }

  /** Terms that had a leader. */
  get count(): number {
    return this.#leaders.size;
  }

  /** 0: none is known. */
  get newestLeader(): number {
    return this.#leaders.get(Math.max(...this.#leaders.keys())) ?? 0;
  }
}

export class Leaders implements AsyncDisposable {
  readonly terms: Terms = new Terms();
  readonly #cluster: Cluster;
  readonly #pool: RpcPool = createClientPool();
  readonly #timer: NodeJS.Timeout;
  readonly #asking = new Set<Seat>();

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#timer = setInterval(() => {
      for (const seat of cluster.seats) void this.#look(seat);
    }, everyMs);
  }

  /** The leader of the newest term that is known, if it is a member. */
  get current(): Seat | undefined {
    return this.#cluster.members.find(({ id }) => id === this.terms.newestLeader);
  }

  /** Throws when it does not answer. */
  async ask(seat: Seat): Promise<ControllerView> {
    const caller = directCaller(this.#pool, urlOf(seat));
    const request = { version: apiVersion };
    const answer = await caller.call(ControllerRaftService.method.getConfiguration, request, { timeoutMs });
    const { leaderId, term, appliedIndex, lastIndex, state } = answer;
    return {
      leaderId,
      term: Number(term),
      appliedIndex: Number(appliedIndex),
      lastIndex: Number(lastIndex),
      state,
    };
  }

  /** Adds what the controllers' logs tell of elections. */
  readLogs(): void {
    for (const seat of this.#cluster.seats) {
      for (const [, id, term] of this.#cluster.readLog(seat).matchAll(/"([0-9a-f]+) became leader at term (\d+)"/g)) {
        this.terms.note(Number(term), Number.parseInt(id as string, 16), `the log of controller ${seat.id}`);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#pool.close();
  }

  async #look(seat: Seat): Promise<void> {
    if (this.#asking.has(seat)) return;
    this.#asking.add(seat);
    try {
      const { leaderId, term } = await this.ask(seat);
      if (leaderId !== 0) this.terms.note(term, leaderId, `controller ${seat.id}`);
    } catch {
      // Down, paused or cut off: it is asked again.
    } finally {
      this.#asking.delete(seat);
    }
  }
}
