/** What the invariants remember of one controller, over all of its lives. */
import type { ControllerNode, StorageWrite } from '@fleetmq/controller/sim';
import type { HardState } from '@fleetmq/raft';

export type Storage = ControllerNode['storage'];

export interface Observed {
  readonly id: number;
  node: ControllerNode | undefined;
  /** Of the present life, or the last one. */
  storage: Storage | undefined;
  /** Writes that a crash finds under way. */
  writing: readonly StorageWrite[] | undefined;
  appliedIndex: number;
  commit: number;
  leads: boolean;
  electedAtCommit: number;
  /** Of the last change of members that it wrote. */
  lastConfIndex: number;
  /** Highest term in a message of this node. */
  spokenTerm: number;
  isWiped: boolean;
  /** As it was when its disk was wiped. */
  wipedStorage: Storage | undefined;
}

export function observedOf(id: number): Observed {
  return {
    id,
    node: undefined,
    storage: undefined,
    writing: undefined,
    appliedIndex: 0,
    commit: 0,
    leads: false,
    electedAtCommit: 0,
    lastConfIndex: 0,
    spokenTerm: 0,
    isWiped: false,
    wipedStorage: undefined,
  };
}

/** What is durable, as this life knows. */
export function hardStateOf({ storage }: Observed): HardState | undefined {
  return storage?.initialState().hardState;
}

export function quorumOf(count: number): number {
  return Math.floor(count / 2) + 1;
}
