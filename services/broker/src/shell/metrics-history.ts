/**
 * A short history of the summary metrics, for GetMetrics: what the ops listener prints, sampled and kept in memory. Bounded
 * in samples and in values per sample; the oldest sample goes first.
 */
import type { Clock, Timer, Timers } from '@fleetmq/shared';
import { Ring } from '@fleetmq/shared';

export interface Sample {
  readonly atMs: number;
  readonly values: readonly MetricValue[];
}

export interface MetricValue {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface MetricsHistoryOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  /** The text of all summary metrics. */
  readonly print: () => string;
  /** Default 10 s. */
  readonly periodMs?: number;
  /** Default 60. */
  readonly samplesMax?: number;
  /** Values of one sample; the rest is left out. Default 2,000. */
  readonly valuesMax?: number;
}

const line = /^([a-z0-9_:]+)(?:\{(.*)\})? (\S+)$/i;
const label = /([a-z0-9_]+)="((?:[^"\\]|\\.)*)"/gi;

export class MetricsHistory implements Disposable {
  readonly #options: MetricsHistoryOptions;
  readonly #samples: Ring<Sample>;
  readonly #timer: Timer;

  constructor(options: MetricsHistoryOptions) {
    this.#options = options;
    this.#samples = new Ring(options.samplesMax ?? 60);
    this.#timer = options.timers.every(options.periodMs ?? 10_000, () => this.#keep(this.now()));
  }

  /** The values of this moment. */
  now(): Sample {
    const { clock, print, valuesMax = 2_000 } = this.#options;
    const values: MetricValue[] = [];
    for (const text of print().split('\n')) {
      const value = parseLine(text);
      if (value !== undefined && values.length < valuesMax) values.push(value);
    }
    return { atMs: Math.floor(clock.wallMs()), values };
  }

  /** The samples of a stretch of time, oldest first, and this moment's if it lies inside. */
  between(startMs: number, endMs: number): Sample[] {
    const samples: Sample[] = [];
    for (let i = 0; i < this.#samples.size; i++) {
      const sample = this.#samples.at(i);
      if (sample !== undefined && sample.atMs >= startMs && sample.atMs <= endMs) samples.push(sample);
    }
    const now = this.now();
    return now.atMs <= endMs ? [...samples, now] : samples;
  }

  [Symbol.dispose](): void {
    this.#timer.cancel();
  }

  #keep(sample: Sample): void {
    if (this.#samples.size === this.#samples.capacity) this.#samples.shift();
    this.#samples.push(sample);
  }
}

function parseLine(text: string): MetricValue | undefined {
  const match = line.exec(text);
  if (match === null) return undefined;
  const labels: Record<string, string> = {};
  for (const [, name, value] of (match[2] ?? '').matchAll(label)) labels[name as string] = value as string;
  return { name: match[1] as string, labels, value: Number(match[3]) };
}
