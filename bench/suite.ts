/** What every suite is told. */
export interface SuiteOptions {
  /** A folder of its own on a disk; it goes when the suite has ended. */
  readonly folder: string;
  readonly runs: number;
  /** 1: the full size of each workload. */
  readonly scale: number;
  /** Of the suites `data` and `peers`: a round before the others finds out how fast things are. */
  readonly calibrates: boolean;
  /** Where the results go. */
  readonly out: string;
  /** Where the pictures go. */
  readonly plots: string;
  /** Of the suite `plots`: the page whose figures are made anew. */
  readonly page: string;
  /** Parts or cases of the suite to run; empty: all of them. */
  readonly only: readonly string[];
  /** Of the suite `ci`: the figures of this run become those that others are compared with. */
  readonly update: boolean;
}
