/** Figures of cases as bars. */
import type { PhaseName } from '../bench-case.ts';
import { formatNumber } from '../page.ts';
import { median } from '../statistics.ts';
import type { CaseSummary } from '../summary.ts';
import type { Bar, BarColumn, BarRow } from './bar-chart.ts';

export const throughputColumns: readonly BarColumn[] = [
  { title: 'Write', hint: 'MB/s, records/s' },
  { title: 'Read', hint: 'MB/s, records/s' },
];

export const latencyColumns: readonly BarColumn[] = [
  { title: 'p50', hint: 'ms' },
  { title: 'p99', hint: 'ms' },
  { title: 'p99.9', hint: 'ms' },
];

const compact = new Intl.NumberFormat('en-US', { notation: 'compact', maximumSignificantDigits: 3 });

export function rowOf(label: string, tone: BarRow['tone'], summary: CaseSummary | undefined): BarRow[] {
  if (summary === undefined || summary.problem !== undefined) return [];
  if (summary.measure.kind === 'latency') return [{ label, tone, bars: latencyBars(summary) }];
  return [{ label, tone, bars: [rateBar(summary, 'produce'), rateBar(summary, 'consume')] }];
}

function rateBar({ phases, workload }: CaseSummary, phase: PhaseName): Bar | undefined {
  const rate = median(phases[phase]?.perSecond ?? []);
  if (Number.isNaN(rate)) return undefined;
  const megabytes = (rate * workload.size) / 1e6;
  return { value: megabytes, text: `${formatNumber(megabytes)}, ${compact.format(rate)}/s` };
}

function latencyBars({ latency }: CaseSummary): (Bar | undefined)[] {
  if (latency === undefined) return [];
  return [latency.p50, latency.p99, latency.p999].map((value) => ({ value, text: formatNumber(value) }));
}
