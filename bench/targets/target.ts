/** The server half of what is measured: processes of its own, a folder on the disk, and the ways in. */
import type { DriverSpec } from '../client/driver.ts';

export interface ServerProcess {
  readonly name: string;
  readonly pid: number;
  /** It holds records: its memory is reported. */
  readonly isBroker: boolean;
}

export interface Entrance {
  /** What an acknowledgment that comes out here is worth. */
  readonly durability: string;
  /** Clients that can come in here; the fastest one counts. */
  readonly drivers: readonly DriverSpec[];
}

export interface Target extends AsyncDisposable {
  readonly version: string;
  readonly processes: readonly ServerProcess[];
  /** Where the records lie. */
  readonly dataFolder: string;
  readonly entrances: Readonly<Record<string, Entrance>>;
}

/** Starts with a folder that is there and empty. NotAvailable when this machine does not have what it needs. */
export type StartTarget = (folder: string) => Promise<Target>;

/** A target is skipped, with the reason, and everything else is measured. */
export class NotAvailable extends Error {}
