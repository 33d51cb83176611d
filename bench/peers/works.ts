/** What every system of the suite `peers` has to do. */
import type { Measure } from '../bench-case.ts';

interface Work {
  readonly name: string;
  readonly title: string;
  readonly size: number;
  readonly measure: Measure;
}

export const works: readonly Work[] = [
  { name: '1k', title: '1 KiB', size: 1024, measure: { kind: 'throughput', cold: false } },
  { name: '100b', title: '100 B', size: 100, measure: { kind: 'throughput', cold: false } },
  { name: 'latency', title: '100 B, 500/s', size: 100, measure: { kind: 'latency', perSecond: 500 } },
];
