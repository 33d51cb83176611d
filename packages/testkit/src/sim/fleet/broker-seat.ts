/** A place for a broker: its id, its disk, and whoever runs on it now. */
import type { BrokerNode } from '@fleetmq/broker/sim';
import type { MemoryDisk } from '@fleetmq/log/testing';
import { type DiskState, emptyDisk, healthyDisk } from '../disk.ts';
import type { SimProcess } from '../process.ts';

/** One process with a node of the production code in it. */
export interface BrokerLife {
  readonly process: SimProcess;
  /** Undefined while it starts. */
  node: BrokerNode | undefined;
  /** Ends its start. */
  readonly ending: AbortController;
  /** Its listeners begin to close. */
  readonly draining: AbortController;
  isStopping: boolean;
}

export interface BrokerSeat {
  readonly id: number;
  memory: MemoryDisk;
  readonly disk: DiskState;
  /** Undefined while it is down. */
  life: BrokerLife | undefined;
  /** Something on its disk is not what was written there. */
  isDamaged: boolean;
}

export function newBrokerSeat(id: number): BrokerSeat {
  return { id, memory: emptyDisk(), disk: healthyDisk(), life: undefined, isDamaged: false };
}
