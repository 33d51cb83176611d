/** What every part of the suite is told, and how it says how far it is. */
export interface PartOptions {
  /** Of its own, on a disk. */
  readonly folder: string;
  readonly runs: number;
  readonly scale: number;
}

export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
