/**
 * What the core reads from its host's storage: the log that is on disk, the last snapshot, and the state to start from.
 *
 * The core never writes: a Ready (or a MsgStorageAppend) tells the host what to write, and a call below must see it from
 * the moment on that the host has acknowledged it. All calls are synchronous and see one consistent state; a host on real
 * disks keeps the tail of its log in memory. Failures of the disk are the host's: a method that cannot answer throws, and
 * the core must not be used any more.
 */
import type { LogIndex, Term } from '@fleetmq/shared';
import type { ConfState, Entry, HardState, Snapshot } from './messages.ts';

export interface RaftStorage {
  /**
   * State at the start; `emptyHardState` and `emptyConfState` for a new node. The configuration is the one at the index up
   * to which the state machine has applied the log (option `applied`): that of the snapshot which it starts from.
   */
  initialState(): { readonly hardState: HardState; readonly confState: ConfState };
  /**
   * Entries from `low` up to and without `high`, as many of the first as fit in `maxBytes` of encoded size, but at least
   * one. Undefined when `low` is compacted. Asked only for firstIndex <= low < high <= lastIndex + 1, unless a compaction
   * came between. The result must not be changed by either side.
   */
  entries(low: LogIndex, high: LogIndex, maxBytes: number): readonly Entry[] | undefined;
  /** Term of the entry at `index`: known from firstIndex - 1 (the last compacted one) to lastIndex, else undefined. */
  term(index: LogIndex): Term | undefined;
  /** Index of the last entry; that of the snapshot when there is none behind it; 0 when there is neither. */
  lastIndex(): LogIndex;
  /** Index of the first entry that is not compacted: 1 for a new node, else 1 behind the last compacted one. */
  firstIndex(): LogIndex;
  /**
   * A snapshot for a member whose entries are compacted. Its index is at least firstIndex - 1, and its configuration knows
   * the member: so it is to be taken from the state machine as it is now, or not long ago. Undefined: not available now;
   * the core asks again after the member's next heartbeat answer.
   */
  snapshot(): Snapshot | undefined;
}
