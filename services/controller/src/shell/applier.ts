/**
 * Folds what is committed into the state machine and into the configuration of the quorum: each entry once, in order. A
 * snapshot that is installed replaces both before any later entry is applied. Nothing here waits for a disk but a leader,
 * for the note that a change of members is committed.
 */
import {
  type ConfChange,
  type ConfState,
  decodeConfChange,
  type Entry,
  leaveJointChange,
  type Raft,
  type Snapshot,
} from '@fleetmq/raft';
import type { Logger, LogIndex } from '@fleetmq/shared';
import type { DiskRaftStorage } from './raft-storage.ts';
import type { StateMachine } from './state-machine.ts';

export interface ApplierOptions {
  readonly raft: Pick<Raft, 'applyConfChange'>;
  readonly storage: DiskRaftStorage;
  readonly stateMachine: StateMachine;
  readonly logger: Logger;
  /** The quorum has other members. */
  readonly onMembers: () => void;
}

export class Applier {
  readonly #options: ApplierOptions;
  #confState: ConfState;
  /** A snapshot that is being installed covers what is handed out to be applied: nothing is, until it is in. */
  #isOvertaken = false;

  constructor(options: ApplierOptions) {
    this.#options = options;
    this.#confState = options.storage.initialState().confState;
  }

  /** As of the last configuration change that was applied. */
  get confState(): ConfState {
    return this.#confState;
  }

  /** Configuration changes in the log that are not applied here, oldest first. Some may never be committed. */
  unappliedConfChanges(): readonly ConfChange[] {
    const { storage, stateMachine } = this.#options;
    const from = Math.max(stateMachine.appliedIndex + 1, storage.firstIndex()) as LogIndex;
    const to = (storage.lastIndex() + 1) as LogIndex;
    if (from >= to) return [];
    const entries = storage.entries(from, to, Number.POSITIVE_INFINITY) ?? [];
    return entries
      .filter(({ type, data }) => type !== 'EntryNormal' && data.length > 0)
      .map(({ type, data }) => decodeConfChange(type, data));
  }

  /**
   * On the leader a change of members is known to be committed, also after a crash, before it takes effect: who was removed
   * may be gone for good as soon as that is answered, and a leader that forgot would wait for its vote. The others need not
   * wait for the disk; if the note fails, so does their next write.
   */
  async noteConfChange(entries: readonly Entry[], isLeader: boolean): Promise<void> {
    const change = entries.findLast(({ type }) => type !== 'EntryNormal');
    if (change === undefined) return;
    const noted = this.#options.storage.noteCommit(change.index);
    if (isLeader) await noted;
    else noted.catch(() => undefined);
  }

  apply(entries: readonly Entry[]): void {
    const { stateMachine } = this.#options;
    for (const entry of entries) {
      // A snapshot that was installed meanwhile holds it already, or will: see Raft.applyConfChange.
      if (entry.index <= stateMachine.appliedIndex || this.#isOvertaken) continue;
      if (entry.type !== 'EntryNormal') this.#applyConfChange(entry);
      if (!this.#isOvertaken) stateMachine.apply(entry);
    }
  }

  /** A snapshot that is durable. */
  restore(snapshot: Snapshot): void {
    this.#options.stateMachine.restore(snapshot);
    this.#confState = snapshot.confState;
    this.#isOvertaken = false;
  }

  #applyConfChange(entry: Entry): void {
    const change = entry.data.length === 0 ? leaveJointChange : decodeConfChange(entry.type, entry.data);
    const confState = this.#options.raft.applyConfChange(change, entry.index);
    if (confState === undefined) {
      this.#isOvertaken = true;
      return;
    }
    // Disks and addresses alone need no snapshot.
    const isUpdate = change.kind === 'one-step' && change.type === 'ConfChangeUpdateNode';
    if (!isUpdate) this.#options.onMembers();
    this.#confState = confState;
    this.#options.logger.info({ index: entry.index, ...confState }, 'the quorum has a new configuration');
  }
}
