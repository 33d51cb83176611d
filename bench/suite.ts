/** What every suite is told. */
export interface SuiteOptions {
  /** A folder of its own on a disk; it goes when the suite has ended. */
  readonly folder: string;
  readonly runs: number;
  /** 1: the full size of each workload. */
  readonly scale: number;
  /** Where the results go. */
  readonly out: string;
  /** Parts of the suite to run; empty: all of them. */
  readonly only: readonly string[];
}
