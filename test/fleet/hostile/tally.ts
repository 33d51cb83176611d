/**
 * What hostile callers got: answers by name, and those that the kind of call should not have got. Load is paced by the clock
 * and not by the answers, as an attacker's is, with a bound on what is under way so that it measures the server and not itself.
 */
import { setTimeout as delay } from 'node:timers/promises';

/** One process plays all hostile callers; this is what it is told, and what it says in the end. */
export interface HostileOrder {
  readonly kind: string;
  readonly doors: Readonly<Record<DoorName, string>>;
  readonly topic: string;
  readonly seconds: number;
}

export type DoorName = 'gateway' | 'broker';

export interface HostileReport {
  readonly operations: number;
  readonly answers: Readonly<Record<string, number>>;
  /** Answers that were not among the expected ones, the first few of them. */
  readonly unexpected: readonly string[];
}

const unexpectedMax = 5;

export class Tally {
  #operations = 0;
  readonly #answers: Record<string, number> = {};
  readonly #unexpected: string[] = [];

  /** A hostile act without an answer of its own. */
  act(count = 1): void {
    this.#operations += count;
  }

  /** An answer that needs no more check. */
  note(answer: string): void {
    this.#answers[answer] = (this.#answers[answer] ?? 0) + 1;
  }

  /** An answer, and what it may be. */
  expect(what: string, answer: string, allowed: readonly string[]): void {
    this.note(answer);
    if (!allowed.includes(answer)) this.complain(`${what}: ${answer}, not ${allowed.join(' or ')}`);
  }

  complain(text: string): void {
    if (this.#unexpected.length < unexpectedMax) this.#unexpected.push(text);
  }

  count(answer: string): number {
    return this.#answers[answer] ?? 0;
  }

  report(): HostileReport {
    return { operations: this.#operations, answers: this.#answers, unexpected: this.#unexpected };
  }
}

export interface Pace {
  readonly perSecond: number;
  readonly seconds: number;
  /** Acts under way at most; beyond, one is left out. Default 256. */
  readonly underWayMax?: number;
}

/** Acts at a steady rate, then waits for those that are under way. */
export async function paced(pace: Pace, act: (index: number) => Promise<void> | void): Promise<void> {
  const { perSecond, seconds, underWayMax = 256 } = pace;
  const underWay = new Set<Promise<void>>();
  const startMs = performance.now();
  const total = Math.round(perSecond * seconds);
  for (let index = 0; index < total; ) {
    const due = Math.min(total, Math.ceil(((performance.now() - startMs) / 1000) * perSecond));
    for (; index < due; index++) {
      if (underWay.size >= underWayMax) continue;
      const running = Promise.resolve(act(index)).finally(() => underWay.delete(running));
      underWay.add(running);
    }
    await delay(5);
  }
  await Promise.all(underWay);
}

/** Resolves when the promise does, or with `undefined` when the time is over. */
export async function within<Value>(promise: Promise<Value>, ms: number): Promise<Value | undefined> {
  const abort = new AbortController();
  const late = delay(ms, undefined, { signal: abort.signal }).catch(() => undefined);
  try {
    return await Promise.race([promise, late]);
  } finally {
    abort.abort();
  }
}
