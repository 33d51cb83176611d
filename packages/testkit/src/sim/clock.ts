/**
 * Virtual time: a heap of events, by time and then by the order in which they were scheduled, so that a run is the same
 * whenever it is repeated. Nothing here waits; `scheduler.ts` takes the events one by one.
 * Times are milliseconds since the start of the run, with fractions.
 */
import { assert } from '@fleetmq/shared';

export interface Scheduled {
  /** Idempotent; after it the event does not run. */
  cancel(): void;
}

class QueuedEvent implements Scheduled {
  readonly timeMs: number;
  readonly order: number;
  run: (() => void) | undefined;

  constructor(timeMs: number, order: number, run: () => void) {
    this.timeMs = timeMs;
    this.order = order;
    this.run = run;
  }

  cancel(): void {
    this.run = undefined;
  }
}

export class VirtualTime {
  readonly #heap: QueuedEvent[] = [];
  #nowMs = 0;
  #order = 0;

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Cancelled ones included. */
  get length(): number {
    return this.#heap.length;
  }

  after(delayMs: number, run: () => void): Scheduled {
    assert(delayMs >= 0, `a delay is 0 or more, not ${delayMs}`);
    return this.at(this.#nowMs + delayMs, run);
  }

  /** Events of one time run in the order in which they were scheduled. */
  at(timeMs: number, run: () => void): Scheduled {
    assert(timeMs >= this.#nowMs, `${timeMs} is over: it is ${this.#nowMs}`);
    const event = new QueuedEvent(timeMs, this.#order++, run);
    this.#push(event);
    return event;
  }

  /** Moves to the next event and returns what it does. Undefined when none is left before `untilMs`: that is the time then. */
  next(untilMs: number): (() => void) | undefined {
    for (let first = this.#heap[0]; first !== undefined && first.timeMs <= untilMs; first = this.#heap[0]) {
      this.#pop();
      const { run } = first;
      if (run === undefined) continue;
      first.run = undefined;
      this.#nowMs = first.timeMs;
      return run;
    }
    this.#nowMs = Math.max(this.#nowMs, untilMs);
    return undefined;
  }

  #push(event: QueuedEvent): void {
    const heap = this.#heap;
    let position = heap.length;
    heap.push(event);
    while (position > 0) {
      const parent = (position - 1) >> 1;
      const above = heap[parent] as QueuedEvent;
      if (!isBefore(event, above)) break;
      heap[position] = above;
      position = parent;
    }
    heap[position] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as QueuedEvent;
    const { length } = heap;
    if (length === 0) return;
    let position = 0;
    for (;;) {
      let child = 2 * position + 1;
      if (child >= length) break;
      if (child + 1 < length && isBefore(heap[child + 1] as QueuedEvent, heap[child] as QueuedEvent)) child++;
      const below = heap[child] as QueuedEvent;
      if (!isBefore(below, last)) break;
      heap[position] = below;
      position = child;
    }
    heap[position] = last;
  }
}

function isBefore(left: QueuedEvent, right: QueuedEvent): boolean {
  return left.timeMs < right.timeMs || (left.timeMs === right.timeMs && left.order < right.order);
}
