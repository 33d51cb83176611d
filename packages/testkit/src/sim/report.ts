/** What runs have covered and found, counted, as lines for people or as one value for programs. */
import { Counts } from './counts.ts';
import { exitCodes, type Failure } from './failure.ts';
import type { SeedDone } from './tasks.ts';

export interface FailedSeed extends Failure {
  readonly scenario: string;
  readonly seed: number;
  readonly traceHash: string;
}

export class Report {
  readonly #counts = new Counts();
  readonly #startedMs = performance.now();
  readonly failures: FailedSeed[] = [];
  #seeds = 0;
  #virtualMs = 0;
  #events = 0;

  /** How it failed, if it did. */
  add({ task, failure, traceHash, counts, virtualMs, events }: SeedDone): FailedSeed | undefined {
    for (const [name, count] of counts) this.#counts.add(name, count);
    this.#seeds++;
    this.#virtualMs += virtualMs;
    this.#events += events;
    if (failure === undefined) return undefined;
    const failed = { scenario: task.scenario, seed: task.seed, traceHash, ...failure };
    this.failures.push(failed);
    return failed;
  }

  /** 0, or what was found first. */
  get exitCode(): number {
    const first = this.failures[0];
    return first === undefined ? 0 : exitCodes[first.kind];
  }

  get progress(): string {
    const { seeds, seconds, seedsPerSecond } = this.#rates();
    return `${seeds} seeds in ${seconds.toFixed(0)} s, ${seedsPerSecond.toFixed(1)} seeds/s, ${this.failures.length} failed`;
  }

  /** Coverage, rates, and last how many passed and failed. */
  lines(): readonly string[] {
    const { seeds, seconds, seedsPerSecond } = this.#rates();
    const failed = this.failures.length;
    return [
      ...this.#counts.entries().map(([name, count]) => `${name.padEnd(44)} ${count}`),
      `${seeds} seeds, ${this.#events} events, ${(this.#virtualMs / 1_000).toFixed(0)} virtual seconds in ` +
        `${seconds.toFixed(1)} s: ${seedsPerSecond.toFixed(1)} seeds/s, ` +
        `${(this.#virtualMs / 1_000 / Math.max(1, seeds)).toFixed(1)} virtual seconds each`,
      `simulation: ${seeds - failed} passed, ${failed} failed`,
    ];
  }

  toJSON(): object {
    const counts = Object.fromEntries(this.#counts.entries());
    const { failures } = this;
    return { ...this.#rates(), events: this.#events, virtualSeconds: this.#virtualMs / 1_000, counts, failures };
  }

  #rates(): { readonly seeds: number; readonly seconds: number; readonly seedsPerSecond: number } {
    const seconds = (performance.now() - this.#startedMs) / 1_000;
    return { seeds: this.#seeds, seconds, seedsPerSecond: this.#seeds / seconds };
  }
}

export function describeFailure({ scenario, seed, kind, name, text, atMs, traceHash }: FailedSeed): string {
  return (
    `seed ${seed}: ${kind} at ${atMs.toFixed(3)} ms: ${name}\n  ${text}\n` +
    `  trace ${traceHash}; again: npm run sim -- --scenario ${scenario} --seeds 1 --from ${seed} --trace`
  );
}
