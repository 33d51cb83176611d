/** What every part of the suite is told. */
export interface PartOptions {
  /** Of its own, on a disk. */
  readonly folder: string;
  readonly runs: number;
  readonly scale: number;
}
