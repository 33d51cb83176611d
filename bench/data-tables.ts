/** Tables of the suite `data` beside those of its sections. */
import { formatCount, formatNumber, type Table } from './page.ts';
import { formatProblem } from './report.ts';
import { median } from './statistics.ts';
import type { CaseSummary, PhaseSummary } from './summary.ts';

/** The most that a broker of each target ever had, while as much as possible was asked of it. */
export function memoryPeaks(cases: readonly CaseSummary[]): Table {
  const byTarget = Map.groupBy(cases, ({ target }) => target);
  const rows = [...byTarget].flatMap(([target, own]) => {
    const [most] = [...own].sort((one, other) => (other.peakMb ?? 0) - (one.peakMb ?? 0));
    if (most?.peakMb === undefined) return [];
    return [[`\`${target}\``, formatCount(most.peakMb), `\`${most.name}\``, most.title]];
  });
  return {
    title: 'Memory of a broker',
    columns: ['target', 'peak MB', 'in case', ''],
    rows,
    note: 'The largest VmHWM of any broker in any run of any case.',
  };
}

/** All cases of throughput, without what they cost. */
export function throughputInShort(cases: readonly CaseSummary[]): Table {
  const own = cases.filter(({ measure }) => measure.kind === 'throughput');
  const rows = own.map(({ section, title, phases, peakMb, problem }) => {
    if (problem !== undefined) return [section, title, formatProblem(problem)];
    const rates = [phases.produce, phases.consume, phases.cold].map(rateCell);
    return [section, title, ...rates, peakMb === undefined ? '-' : formatCount(peakMb)];
  });
  return {
    title: 'Throughput',
    columns: ['', 'work', 'produce /s', 'consume /s', 'consume from disk /s', 'memory MB'],
    rows,
    note: 'Medians; in parentheses the ratio to the bare loop, the median of the rounds. Memory: the most of the largest broker (VmHWM).',
  };
}

function rateCell(phase: PhaseSummary | undefined): string {
  if (phase === undefined) return '-';
  const ratio = phase.ratio === undefined ? '' : ` (${formatNumber(phase.ratio.median)})`;
  return `${formatCount(median(phase.perSecond))}${ratio}`;
}
