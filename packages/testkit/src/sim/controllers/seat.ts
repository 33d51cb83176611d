/**
 * A place for a controller: its id and address, its disk, and whoever runs on it now. The first seats begin the quorum, the
 * others are spares, whose controllers wait to be added (`quorum.join`).
 */
import type { ControllerNode, Failpoint } from '@fleetmq/controller/sim';
import type { MemoryDisk } from '@fleetmq/log/testing';
import { type CrashKind, type DiskState, emptyDisk, healthyDisk } from '../disk.ts';
import type { SimProcess } from '../process.ts';

/** One process with a node of the production code in it. */
export interface Life {
  readonly process: SimProcess;
  /** Undefined while it starts, and once it stops. */
  node: ControllerNode | undefined;
  readonly stopping: AbortController;
}

export interface Seat {
  readonly id: number;
  /** It belongs to the first voters, and is configured so. */
  readonly isFirst: boolean;
  memory: MemoryDisk;
  /** Of its disk; undefined until somebody has run on it. */
  diskId: string | undefined;
  readonly disk: DiskState;
  /** Undefined while it is down. */
  life: Life | undefined;
  /** Somebody has started it, and nobody has shut it down: it comes back after a crash. */
  isInUse: boolean;
  /** Its `quorum.join`. */
  joins: boolean;
  /** The disk that it began with is gone. */
  isWiped: boolean;
  /** Something on its disk is not what was written there, or may come to be. */
  isDamaged: boolean;
  /** And that is the write-ahead log. */
  isLogDamaged: boolean;
  /** Its node has refused to start with what it found. */
  isBroken: boolean;
  /** A crash that waits for its moment. */
  armed: { readonly point: Failpoint; left: number; readonly kind: CrashKind } | undefined;
}

export function newSeat(id: number, isFirst: boolean): Seat {
  return {
    id,
    isFirst,
    memory: emptyDisk(),
    diskId: undefined,
    disk: healthyDisk(),
    life: undefined,
    isInUse: isFirst,
    joins: !isFirst,
    isWiped: false,
    isDamaged: false,
    isLogDamaged: false,
    isBroken: false,
    armed: undefined,
  };
}

/** It would begin a quorum of its own, if only enough others did the same. */
export function isStranger({ isWiped, joins }: Seat): boolean {
  return isWiped && !joins;
}
