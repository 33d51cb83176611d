/** What every check looks at. */
import type { Findings } from './findings.ts';
import type { Ledger } from './ledger.ts';
import type { PartitionOrder } from './partition-order.ts';
import type { Rules } from './rules.ts';

export interface CheckContext {
  readonly ledger: Ledger;
  readonly rules: Rules;
  readonly findings: Findings;
  /** By index of the partition. */
  readonly orders: readonly PartitionOrder[];
}
