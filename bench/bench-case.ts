/** A named case: what is measured, on which target, with what work, and what it is compared with. */
import type { Workload } from './workload.ts';

export type Measure =
  /** Write all, read all back; `cold`: and once more from the disk. */
  | { readonly kind: 'throughput'; readonly cold: boolean }
  /** Publish to receive, at a fixed rate. */
  | { readonly kind: 'latency'; readonly perSecond: number }
  /** A call per record, by so many callers at a time. */
  | { readonly kind: 'calls'; readonly callers: number };

export interface BenchCase {
  /** Unique in its suite; `--only` selects by it. */
  readonly name: string;
  /** Cases of one section share a table. */
  readonly section: string;
  /** Sections whose tables show it too, to compare with. */
  readonly alsoIn?: readonly string[];
  readonly title: string;
  readonly target: string;
  readonly entrance: string;
  readonly workload: Workload;
  readonly measure: Measure;
  /** Name of the case that its figures are divided by, run by run. It is measured too when this one is selected. */
  readonly baseline?: string;
}

export type PhaseName = 'produce' | 'consume' | 'cold' | 'latency' | 'calls';

/**
 * Those that are named, or whose names contain what is named, with their baselines; all when nothing is named. Throws for what
 * selects nothing.
 */
export function selectCases(cases: readonly BenchCase[], only: readonly string[]): readonly BenchCase[] {
  if (only.length === 0) return cases;
  const names = new Set<string>();
  for (const part of only) {
    const exact = cases.filter(({ name }) => name === part);
    const found = exact.length > 0 ? exact : cases.filter(({ name }) => name.includes(part));
    if (found.length === 0) throw new Error(`no case is named "${part}": ${cases.map(({ name }) => name).join(', ')}`);
    for (const { name } of found) names.add(name);
  }
  const wanted = cases.filter(({ name }) => names.has(name));
  for (const { baseline } of wanted) if (baseline !== undefined) names.add(baseline);
  return cases.filter(({ name }) => names.has(name));
}
