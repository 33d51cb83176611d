/** A node of the cluster in a box: its disk, its core, and a state machine that is one number, a hash over all that was applied. */
import type { LogIndex } from '@fleetmq/shared';
import { MemoryStorage } from '../memory-storage.ts';
import type { ConfState, Entry, Message, NodeId, Snapshot } from '../messages.ts';
import type { Raft } from '../raft.ts';

/** Of the snapshot that every first voter begins with. */
export const firstIndex = 5 as LogIndex;

/** A disk that makes a snapshot of the present state when it is asked for one, or not, when it is busy. */
export class Disk extends MemoryStorage {
  makeSnapshot: () => Snapshot | undefined = () => undefined;

  get lastSnapshot(): Snapshot {
    return super.snapshot() as Snapshot;
  }

  override snapshot(): Snapshot | undefined {
    return this.makeSnapshot();
  }
}

export interface Host {
  readonly id: NodeId;
  readonly disk: Disk;
  raft: Raft;
  /** Chain of hashes over all that was applied. */
  state: number;
  applied: LogIndex;
  confState: ConfState;
  appendWork: Message[];
  applyWork: Message[];
}

export function nextState(state: number, entry: Entry): number {
  let hash = Math.imul(state ^ entry.term, 0x01000193) ^ entry.index;
  for (const byte of entry.data) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

export function stateBytes(state: number): Uint8Array {
  return numberBytes(state);
}

export function stateOf(bytes: Uint8Array): number {
  return numberOf(bytes);
}

export function numberBytes(value: number): Uint8Array {
  return Uint8Array.of(value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24);
}

export function numberOf(bytes: Uint8Array): number {
  const [a = 0, b = 0, c = 0, d = 0] = bytes;
  return (a + b * 2 ** 8 + c * 2 ** 16 + d * 2 ** 24) >>> 0;
}
