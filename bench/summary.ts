/** From runs to figures: medians, how far the runs lie apart, ratios of runs of the same round, quantiles over all records. */
import type { BenchCase, PhaseName } from './bench-case.ts';
import { type Disturbance, isDisturbed } from './machine.ts';
import type { CaseResult } from './matrix.ts';
import type { RunFigures } from './run.ts';
import { median, quantile } from './statistics.ts';

/** Of all rounds. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export interface PhaseSummary extends Disturbance {
  /** Records or calls per second of each run. */
  readonly perSecond: readonly number[];
  /** Medians; microseconds of processor time per record. */
  readonly serverUs: number;
  readonly clientUs: number;
  /** To the baseline, run by run. */
  readonly ratio?: Spread;
  /** In at least one run others used much of the machine: `others` and `steal` are those of the worst one. */
  readonly isDisturbed: boolean;
}

/** Milliseconds, over the records of all runs; p99 of each run too. */
export interface LatencySummary {
  readonly records: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  readonly p99PerRun: readonly number[];
  /** Divided by those of the baseline. */
  readonly ratio?: { readonly p50: number; readonly p99: number };
}

export interface CaseSummary extends BenchCase {
  readonly version?: string;
  readonly durability?: string;
  readonly driver?: string;
  readonly count?: number;
  readonly phases: Partial<Readonly<Record<PhaseName, PhaseSummary>>>;
  readonly latency?: LatencySummary;
  /** The most memory of a broker, in any run. */
  readonly peakMb?: number;
  readonly problem?: CaseResult['problem'];
}

function spreadOf(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/** Of the runs of the same rounds; undefined when there are none. */
export function ratioOf(ours: readonly number[] = [], theirs: readonly number[] = []): Spread | undefined {
  const rounds = Math.min(ours.length, theirs.length);
  if (rounds === 0) return undefined;
  return spreadOf(ours.slice(0, rounds).map((value, round) => value / (theirs[round] as number)));
}

export function summarise(results: readonly CaseResult[]): CaseSummary[] {
  const byName = new Map(results.map((result) => [result.bench.name, result]));
  return results.map((result) => {
    const { bench, version, durability, driver, count, runs, problem } = result;
    const baseline = byName.get(bench.baseline ?? '');
    const peaks = runs.map(({ peakMb }) => peakMb);
    return {
      ...bench,
      ...(version !== undefined && { version }),
      ...(durability !== undefined && { durability }),
      ...(driver !== undefined && { driver }),
      ...(count > 0 && { count }),
      phases: summarisePhases(result, baseline),
      ...(bench.measure.kind === 'latency' && runs.length > 0 && { latency: summariseLatency(result, baseline) }),
      ...(peaks.length > 0 && { peakMb: Math.max(...peaks) }),
      ...(problem !== undefined && { problem }),
    };
  });
}

function ratesOf(result: CaseResult | undefined, phase: PhaseName): number[] {
  return (result?.runs ?? []).flatMap(({ phases }) => phases[phase]?.perSecond ?? []);
}

function summarisePhases(result: CaseResult, baseline: CaseResult | undefined): CaseSummary['phases'] {
  const names = new Set(result.runs.flatMap(({ phases }) => Object.keys(phases) as PhaseName[]));
  const summaries: Partial<Record<PhaseName, PhaseSummary>> = {};
  for (const name of names) {
    const figures = result.runs.flatMap(({ phases }) => phases[name] ?? []);
    const perSecond = ratesOf(result, name);
    // What every run shares, such as the rate of an open loop, has no ratio.
    const ratio = name === 'latency' ? undefined : ratioOf(perSecond, ratesOf(baseline, name));
    summaries[name] = {
      perSecond,
      serverUs: median(figures.map(({ serverUs }) => serverUs)),
      clientUs: median(figures.map(({ clientUs }) => clientUs)),
      ...(ratio !== undefined && { ratio }),
      others: Math.max(...figures.map(({ others }) => others)),
      steal: Math.max(...figures.map(({ steal }) => steal)),
      isDisturbed: figures.some(isDisturbed),
    };
  }
  return summaries;
}

function summariseLatency({ runs }: CaseResult, baseline: CaseResult | undefined): LatencySummary {
  const sorted = sortedLatencies(runs);
  const theirs = sortedLatencies(baseline?.runs ?? []);
  const ms = (share: number): number => quantile(sorted, share) / 1000;
  const ratio = {
    p50: quantile(sorted, 0.5) / quantile(theirs, 0.5),
    p99: quantile(sorted, 0.99) / quantile(theirs, 0.99),
  };
  return {
    records: sorted.length,
    p50: ms(0.5),
    p99: ms(0.99),
    p999: ms(0.999),
    max: (sorted.at(-1) ?? Number.NaN) / 1000,
    p99PerRun: runs.map(({ latenciesUs }) => quantile(latenciesUs, 0.99) / 1000),
    ...(theirs.length > 0 && { ratio }),
  };
}

function sortedLatencies(runs: readonly RunFigures[]): number[] {
  return runs.flatMap(({ latenciesUs }) => latenciesUs).sort((one, other) => one - other);
}
