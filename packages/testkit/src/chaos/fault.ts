/** What a fault is, and what it has to work with. */
import type { Random } from '@fleetmq/shared';
import type { Cluster, Seat } from './cluster.ts';
import type { Findings } from './findings.ts';
import type { Leaders } from './leaders.ts';
import type { PrivateNetwork } from './network.ts';
import type { Prober } from './prober.ts';

export interface FaultContext {
  readonly cluster: Cluster;
  readonly network: PrivateNetwork;
  readonly leaders: Leaders;
  readonly prober: Prober;
  readonly findings: Findings;
  readonly random: Random;
}

/** A fault that is going on. */
export interface Fault {
  /** Whom it hits, and how. */
  readonly text: string;
  /** Seats that cannot take part in a majority until it is mended. */
  readonly victims: readonly Seat[];
  /** The leader cannot go on: another one must be found. */
  readonly endsLeadership: boolean;
  /** How long it shall last. */
  readonly lastsMs: number;
  mend(): Promise<void>;
}

export function between(random: Random, least: number, most: number): number {
  return least + random.next() * (most - least);
}
