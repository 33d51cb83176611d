/**
 * The produce requests of one partition that wait for their acknowledgments, one queue per ack rule. Requests end in the
 * order of their offsets, so one number per rule, the ack point, tells how many heads are done: no promise per batch, no
 * search. Deadlines are looked at by a broker-wide timer (purgatory.ts), not by one per request.
 *
 * Each waiter is told exactly once: acknowledged, failed with an error, or timed out. A waiter that timed out stays in its
 * queue as a shell until its head comes, which the bound on waiters counts.
 */
import type { DomainError } from '@fleetmq/shared';
import { Ring } from '@fleetmq/shared';
import type { AckRule } from '../domain/custom-acks.ts';

export interface AckWaiter {
  /** The offset after the request's last record. */
  readonly endOffset: number;
  /** By the monotonic clock. */
  readonly deadlineMs: number;
  /** Undefined: acknowledged. */
  readonly done: (error: DomainError | undefined) => void;
}

interface Entry {
  readonly waiter: AckWaiter;
  isOver: boolean;
}

interface RuleQueue {
  readonly rule: AckRule;
  readonly entries: Ring<Entry>;
}

export class AckQueue {
  readonly #waitersMax: number;
  readonly #queues: RuleQueue[] = [];
  #size = 0;

  /** `waitersMax`: requests of one partition that may wait under one rule. */
  constructor(waitersMax: number) {
    this.#waitersMax = waitersMax;
  }

  /** Waiters that are not told yet. */
  get size(): number {
    return this.#size;
  }

  /** Whether `add` would take one more. To be asked before the append: afterwards there must be room. */
  hasRoom(rule: AckRule): boolean {
    return this.#queueOf(rule).entries.size < this.#waitersMax;
  }

  /** False when the queue is full. */
  add(rule: AckRule, waiter: AckWaiter): boolean {
    if (!this.#queueOf(rule).entries.push({ waiter, isOver: false })) return false;
    this.#size++;
    return true;
  }

  /** Tells everyone whose records lie below the ack point of their rule. */
  advance(ackPoint: (rule: AckRule) => number): void {
    if (this.#size === 0) return;
    for (const { rule, entries } of this.#queues) {
      if (entries.size === 0) continue;
      const point = ackPoint(rule);
      for (let head = entries.peek(); head !== undefined && head.waiter.endOffset <= point; head = entries.peek()) {
        entries.shift();
        this.#tell(head, undefined);
      }
    }
  }

  /** Tells those whose deadline has passed. The earliest deadline of the others; infinity: there are none. */
  expire(nowMs: number, error: (waiter: AckWaiter) => DomainError): number {
    let nextMs = Number.POSITIVE_INFINITY;
    if (this.#size === 0) return nextMs;
    for (const { entries } of this.#queues) {
      for (let i = 0, count = entries.size; i < count; i++) {
        const entry = entries.shift() as Entry;
        if (!entry.isOver && nowMs >= entry.waiter.deadlineMs) this.#tell(entry, error(entry.waiter));
        if (entry.isOver) continue;
        entries.push(entry);
        nextMs = Math.min(nextMs, entry.waiter.deadlineMs);
      }
    }
    return nextMs;
  }

  /** Tells everyone of the given rules; all rules if no choice is given. */
  fail(error: DomainError, choose: (rule: AckRule, waiter: AckWaiter) => boolean = () => true): void {
    if (this.#size === 0) return;
    for (const { rule, entries } of this.#queues) {
      for (let i = 0, count = entries.size; i < count; i++) {
        const entry = entries.shift() as Entry;
        if (!entry.isOver && choose(rule, entry.waiter)) this.#tell(entry, error);
        if (!entry.isOver) entries.push(entry);
      }
    }
  }

  #tell(entry: Entry, error: DomainError | undefined): void {
    if (entry.isOver) return;
    entry.isOver = true;
    this.#size--;
    entry.waiter.done(error);
  }

  #queueOf(rule: AckRule): RuleQueue {
    let queue = this.#queues.find((each) => sameRule(each.rule, rule));
    if (queue === undefined) {
      queue = { rule, entries: new Ring(this.#waitersMax) };
      this.#queues.push(queue);
    }
    return queue;
  }
}

function sameRule(left: AckRule, right: AckRule): boolean {
  if (left.kind !== right.kind) return false;
  return left.kind !== 'committed' || (right.kind === 'committed' && left.replicas === right.replicas);
}
