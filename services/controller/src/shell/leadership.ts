/**
 * Who leads the controllers, as this node knows it, and whether this node may act as leader.
 *
 * States: follower (of somebody or nobody) -> elected -> ready, once an entry of its own term is applied: only then does its
 * metadata hold everything that earlier leaders answered. Back to follower at any time. Listeners hear of each change.
 */
import { DomainError, type Term, type Timers } from '@fleetmq/shared';
import type { Leadership } from './raft-driver.ts';

export interface ControllerEndpoint {
  readonly controllerId: number;
  readonly host: string;
  readonly port: number;
}

/** Who is reached where, as of now. */
export interface ControllerEndpoints {
  get(controllerId: number): ControllerEndpoint | undefined;
}

export class LeadershipState {
  readonly #endpoints: ControllerEndpoints;
  readonly #listeners: ((state: LeadershipState) => void)[] = [];
  readonly #waiters = new Set<() => void>();
  #now: Leadership;
  #isReady = false;
  #changes = 0;

  constructor(endpoints: ControllerEndpoints, now: Leadership) {
    this.#endpoints = endpoints;
    this.#now = now;
  }

  get leaderId(): number {
    return this.#now.leaderId;
  }

  get term(): Term {
    return this.#now.term;
  }

  get isLeader(): boolean {
    return this.#now.role === 'StateLeader';
  }

  /** Leads, and has applied what earlier leaders committed. */
  get isReady(): boolean {
    return this.#isReady;
  }

  /** How often another leader became known. */
  get changes(): number {
    return this.#changes;
  }

  /** For life. Called after each change of leader, role or term, and when this node has become ready. Must not throw. */
  addListener(listener: (state: LeadershipState) => void): void {
    this.#listeners.push(listener);
  }

  update(next: Leadership): void {
    if (next.leaderId !== this.#now.leaderId && next.leaderId !== 0) this.#changes++;
    if (next.role !== 'StateLeader' || next.term !== this.#now.term) this.#isReady = false;
    this.#now = next;
    this.#tell();
  }

  /** An entry of this term was applied. */
  applied(term: Term): void {
    if (this.#isReady || !this.isLeader || term !== this.#now.term) return;
    this.#isReady = true;
    this.#tell();
  }

  /** Resolves with whether `condition` came true in time; it is looked at after each change. */
  waitFor(
    condition: () => boolean,
    wait: { timers: Timers; timeoutMs: number; signal: AbortSignal },
  ): Promise<boolean> {
    const { timers, timeoutMs, signal } = wait;
    if (condition()) return Promise.resolve(true);
    if (signal.aborted) return Promise.resolve(false);
    return new Promise((resolve) => {
      const end = (result: boolean): void => {
        this.#waiters.delete(check);
        timer.cancel();
        signal.removeEventListener('abort', giveUp);
        resolve(result);
      };
      const check = (): void => {
        if (condition()) end(true);
      };
      const giveUp = (): void => end(false);
      const timer = timers.after(timeoutMs, giveUp);
      this.#waiters.add(check);
      signal.addEventListener('abort', giveUp, { once: true });
    });
  }

  /** `id@host:port` of another node that leads. */
  get hint(): string | undefined {
    const endpoint = this.isLeader ? undefined : this.#endpoints.get(this.#now.leaderId);
    return endpoint && `${endpoint.controllerId}@${authority(endpoint)}`;
  }

  /** NOT_LEADER with a hint, or NOT_AVAILABLE while this leader is not ready. */
  requireReady(): void {
    if (this.#isReady) return;
    if (this.isLeader) {
      throw new DomainError('NOT_AVAILABLE', 'this controller has just been elected', { retryAfterMs: 50 });
    }
    throw this.notLeader();
  }

  notLeader(): DomainError {
    const leaderHint = this.hint;
    if (leaderHint === undefined) {
      return new DomainError('NOT_LEADER', 'no leader of the controllers is known', { retryAfterMs: 100 });
    }
    return new DomainError('NOT_LEADER', `the controllers are led by ${leaderHint}`, { leaderHint });
  }

  #tell(): void {
    for (const listener of this.#listeners) listener(this);
    for (const check of [...this.#waiters]) check();
  }
}

function authority({ host, port }: ControllerEndpoint): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
