/**
 * The bounds on what is sent to followers that are not in sync: one for all of them together, and one for each move of replicas
 * that has its own. A message has to keep to both. What in-sync followers get is bound by neither.
 */
import type { Clock } from '@fleetmq/shared';
import { Throttle } from '../domain/throttle.ts';
import type { Replica } from './replica.ts';

/** A bound that several partitions share. */
export interface MoveLimit {
  /** Whoever names the same key shares the bound. */
  readonly key: string;
  /** > 0. */
  readonly bytesPerSecond: number;
}

export interface CatchUpThrottlesOptions {
  readonly clock: Clock;
  /** For all catch-up of this broker. 0: none. */
  readonly catchUpBytesPerSecond: number;
  /** The bound of the move that brings this follower to the partition; undefined: none. */
  readonly moveLimitOf: (replica: Replica, followerId: number) => MoveLimit | undefined;
}

/** Throttles of moves that are kept; the one that was used longest ago goes first, and what it owes with it. */
const movesMax = 1_000;

export class CatchUpThrottles {
  readonly #options: CatchUpThrottlesOptions;
  readonly #shared: Throttle | undefined;
  readonly #moves = new Map<string, Throttle>();

  constructor(options: CatchUpThrottlesOptions) {
    const { catchUpBytesPerSecond: bytesPerSecond, clock } = options;
    this.#options = options;
    if (bytesPerSecond > 0) this.#shared = new Throttle(bytesPerSecond, clock.monotonicMs());
  }

  /** Whether anything may go now, as far as the bound for all is concerned. */
  isOpen(nowMs: number): boolean {
    return this.#shared === undefined || this.#shared.readyAtMs(nowMs) <= nowMs;
  }

  /** Whether the move that brings this follower, if it is one, may send now. */
  isOpenFor(replica: Replica, followerId: number, nowMs: number): boolean {
    const move = this.#moveOf(replica, followerId, nowMs);
    return move === undefined || move.readyAtMs(nowMs) <= nowMs;
  }

  spend(replica: Replica, followerId: number, bytes: number): void {
    const nowMs = this.#options.clock.monotonicMs();
    this.#shared?.spend(bytes, nowMs);
    this.#moveOf(replica, followerId, nowMs)?.spend(bytes, nowMs);
  }

  /** Bytes of one message, so that a low bound is kept to in small steps: a tenth of a second, at least 16 KiB. */
  messageBytes(replica: Replica, followerId: number, bytesMax: number): number {
    const move = this.#options.moveLimitOf(replica, followerId)?.bytesPerSecond ?? Number.POSITIVE_INFINITY;
    const rate = Math.min(move, this.#shared?.bytesPerSecond ?? Number.POSITIVE_INFINITY);
    return Math.min(bytesMax, Math.max(16 * 1024, Math.floor(rate / 10)));
  }

  #moveOf(replica: Replica, followerId: number, nowMs: number): Throttle | undefined {
    const limit = this.#options.moveLimitOf(replica, followerId);
    if (limit === undefined) return undefined;
    const { key, bytesPerSecond } = limit;
    const known = this.#moves.get(key);
    const throttle = known ?? new Throttle(bytesPerSecond, nowMs);
    if (throttle.bytesPerSecond !== bytesPerSecond) throttle.limit(bytesPerSecond, nowMs);
    this.#moves.delete(key);
    this.#moves.set(key, throttle);
    const oldest = this.#moves.keys().next();
    if (this.#moves.size > movesMax && oldest.done !== true) this.#moves.delete(oldest.value);
    return throttle;
  }
}
