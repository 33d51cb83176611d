/** Figures of a run: how often each fault fired, how long changes were impossible, and what took longer than it may. */
import type { FaultKind } from './faults.ts';

export interface Recovery {
  readonly tookMs: number;
  readonly boundMs: number;
  readonly atMs: number;
}

export interface Spread {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export class Measures {
  readonly #fired = new Map<FaultKind, number>();
  readonly #outages = new Map<string, number[]>();
  readonly #recoveries: number[] = [];
  /** In words: what took too long. */
  readonly late: string[] = [];

  fired(kind: FaultKind): void {
    this.#fired.set(kind, (this.#fired.get(kind) ?? 0) + 1);
  }

  /** The longest time without an acknowledged change once the leader was hit, in ms. */
  outage(what: string, tookMs: number): void {
    this.#outages.set(what, [...(this.#outages.get(what) ?? []), tookMs]);
  }

  /** From the end of a fault to the next acknowledged change. */
  recovered(kind: FaultKind, { tookMs, boundMs, atMs }: Recovery): void {
    this.#recoveries.push(tookMs);
    if (tookMs <= boundMs) return;
    this.late.push(
      `${tookMs.toFixed(0)} ms from the end of ${kind} at ${(atMs / 1_000).toFixed(1)} s to the next acknowledged change: ` +
        `more than ${boundMs.toFixed(0)} ms`,
    );
  }

  faults(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#fired].sort(([left], [right]) => (left < right ? -1 : 1)));
  }

  /** In ms: per fault of the leader, by name, and of all together. */
  outages(): Readonly<Record<string, Spread>> {
    const sorted = [...this.#outages].sort(([left], [right]) => (left < right ? -1 : 1));
    const each = sorted.map(([what, values]) => [what, spreadOf(values)] as const);
    const all = [...this.#outages.values()].flat();
    return Object.fromEntries(all.length === 0 ? [] : [...each, ['all', spreadOf(all)]]);
  }

  recoveries(): Spread {
    return spreadOf(this.#recoveries);
  }
}

/** By the nearest rank. Zeros when there are no values. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((left, right) => left - right);
  const at = (share: number): number => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) };
}

/** The longest time between two of these ascending moments that touches the interval; it counts from the interval's begin. */
export function longestGap(momentsMs: readonly number[], { fromMs, toMs }: { fromMs: number; toMs: number }): number {
  const within = momentsMs.filter((each) => each > fromMs && each <= toMs);
  const next = momentsMs.find((each) => each > toMs);
  const ends = next === undefined ? within : [...within, next];
  return Math.max(0, ...ends.map((each, position) => each - (ends[position - 1] ?? fromMs)));
}
