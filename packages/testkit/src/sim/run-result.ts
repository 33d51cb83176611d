/** What one run of any scenario comes to. */
import type { Counts } from './counts.ts';
import type { Failure } from './failure.ts';

export interface RunResult {
  readonly seed: number;
  readonly traceHash: string;
  readonly failure: Failure | undefined;
  readonly counts: Counts;
  readonly virtualMs: number;
  readonly events: number;
}
