/**
 * What the invariants remember of one disk of one controller, over all lives on it. A Raft id belongs to a (node, disk) pair: a
 * controller that comes back with another disk is another member, and what the old disk has promised stays the old disk's.
 */
import type { ControllerNode, StorageWrite } from '@fleetmq/controller/sim';
import type { HardState } from '@fleetmq/raft';
import type { LogIndex } from '@fleetmq/shared';
import type { SimProcess } from '../../process.ts';
import type { Configuration } from '../configurations.ts';

export type Storage = ControllerNode['storage'];

export interface Observed {
  readonly id: number;
  readonly diskId: string;
  /** Undefined while it is down. */
  node: ControllerNode | undefined;
  process: SimProcess | undefined;
  /** Of the present life, or the last one: what is durable, and counts in good faith when the disk is gone. */
  storage: Storage;
  /** Writes that a crash finds under way. */
  writing: readonly StorageWrite[] | undefined;
  appliedIndex: number;
  commit: number;
  leads: boolean;
  electedAtCommit: number;
  /** Highest term in a message of this node. */
  spokenTerm: number;
}

/** What a life has left on its disk. */
export type EarlierLife = Pick<Observed, 'storage' | 'writing'>;

/** All disks that ever ran. */
export class ObservedDisks {
  readonly #bySeat = new Map<number, Observed[]>();
  /** Those that run. */
  readonly #running = new Map<number, Observed>();

  get running(): Iterable<Observed> {
    return this.#running.values();
  }

  get all(): readonly Observed[] {
    return [...this.#bySeat.values()].flat();
  }

  /** Undefined while it is down, or starting. */
  runningAt(id: number): Observed | undefined {
    return this.#running.get(id);
  }

  /** A life begins. Also what was seen of the disk before, if it is not new. */
  started(
    node: ControllerNode,
    process: SimProcess,
  ): { readonly seen: Observed; readonly before: EarlierLife | undefined } {
    const { controllerId: id, storage } = node;
    const diskId = node.identity.diskOf(id) ?? '';
    const ofSeat = this.#bySeat.get(id) ?? [];
    this.#bySeat.set(id, ofSeat);
    let seen = ofSeat.find((each) => each.diskId === diskId);
    const before: EarlierLife | undefined = seen && { storage: seen.storage, writing: seen.writing };
    if (seen === undefined) {
      seen = newObserved(id, diskId, storage);
      ofSeat.push(seen);
    }
    const { appliedIndex } = node.stateMachine;
    Object.assign(seen, { node, process, storage, writing: undefined, leads: false, commit: 0, appliedIndex });
    this.#running.set(id, seen);
    return { seen, before };
  }

  ended(id: number): void {
    const seen = this.#running.get(id);
    if (seen === undefined) return;
    seen.node = undefined;
    seen.process = undefined;
    this.#running.delete(id);
  }

  /** The disk that counts under this id; for a first voter whose disk is not agreed on yet, the one that it began with. */
  holderOf(id: number, { membership }: Pick<Configuration, 'membership'>): Observed | undefined {
    const agreed = membership.members.find(({ controllerId }) => controllerId === id)?.diskId ?? '';
    const disks = this.#bySeat.get(id) ?? [];
    return agreed === '' ? disks[0] : disks.find(({ diskId }) => diskId === agreed);
  }
}

function newObserved(id: number, diskId: string, storage: Storage): Observed {
  return {
    id,
    diskId,
    node: undefined,
    process: undefined,
    storage,
    writing: undefined,
    appliedIndex: 0,
    commit: 0,
    leads: false,
    electedAtCommit: 0,
    spokenTerm: 0,
  };
}

/** What is durable, as this life knows. */
export function hardStateOf({ storage }: Observed): HardState {
  return storage.initialState().hardState;
}

/** Whether this entry, or a snapshot that covers it, is durable there. */
export function hasEntry(
  storage: Storage,
  { index, term }: { readonly index: number; readonly term: number },
): boolean {
  return storage.currentSnapshot().index >= index || storage.term(index as LogIndex) === term;
}

/** `controller 3`, and which disk of it. */
export function nameOf({ id, diskId }: Observed): string {
  return `controller ${id} (disk ${diskId.slice(0, 4)})`;
}
