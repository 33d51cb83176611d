/**
 * Makes the snapshots that replace the log's beginning: every so many entries, and soon after each configuration change,
 * since a new member begins with a snapshot that knows it. One at a time; it is prepared in slices, so that it holds up
 * nothing else. One that fails does not stop the node: what a snapshot lacks is in the log.
 */
import type { ConfState } from '@fleetmq/raft';
import type { Clock, Logger, Timer, Timers } from '@fleetmq/shared';
import type { DiskRaftStorage } from './raft-storage.ts';
import type { StateMachine } from './state-machine.ts';

/** What the newest snapshot that this node has made took. */
export interface SnapshotFigures {
  readonly bytes: number;
  /** In all slices together. */
  readonly encodeMs: number;
  /** Until it was durable and the log was cut. */
  readonly writeMs: number;
}

export interface SnapshotMakerOptions {
  readonly storage: Pick<DiskRaftStorage, 'currentSnapshot' | 'saveSnapshot'>;
  readonly stateMachine: StateMachine;
  /** As of the state machine's last entry. */
  readonly confState: () => ConfState;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
  /** One is made every so many entries. */
  readonly snapshotEntries: number;
  /** Carries out what a timer has to do; what that throws is fatal. */
  readonly guard: (work: () => void) => void;
}

const retryMs = 1_000;
/** Topics and partitions that are encoded in one go: some milliseconds. */
const sliceItems = 2_000;
/** Between two slices. */
const slicePauseMs = 1;
/** Metadata that change faster than they are encoded: after so many items for each one that there is, the rest waits no more. */
const slicedRounds = 2;

export class SnapshotMaker {
  readonly #options: SnapshotMakerOptions;
  /** The quorum has changed since the last one. */
  #isDue = false;
  #saving: Promise<void> | undefined;
  #retry: Timer | undefined;
  #last: SnapshotFigures | undefined;
  /** While a snapshot is being prepared. */
  #preparing: { items: number; encodeMs: number; timer: Timer | undefined } | undefined;
  #isStopped = false;

  constructor(options: SnapshotMakerOptions) {
    this.#options = options;
  }

  /** Undefined until this process has made one. */
  get last(): SnapshotFigures | undefined {
    return this.#last;
  }

  /** While one is being written. Never rejects. */
  get saving(): Promise<void> | undefined {
    return this.#saving;
  }

  /** The quorum has changed: the next `tick` makes one, however few entries there are. */
  becomeDue(): void {
    this.#isDue = true;
  }

  /** Begins one if it is time for it, or goes on with the one that is being prepared. */
  tick(): void {
    const { storage, stateMachine, snapshotEntries } = this.#options;
    if (this.#saving !== undefined) return;
    const missing = stateMachine.appliedIndex - storage.currentSnapshot().index;
    if (missing < (this.#isDue ? 1 : snapshotEntries)) {
      // Also when one that came from the leader has made it superfluous.
      this.#preparing = undefined;
      return;
    }
    if (this.#prepare()) this.#save();
  }

  /** Its timers end; a snapshot that is being written is finished. */
  stop(): void {
    this.#isStopped = true;
    this.#retry?.cancel();
    this.#preparing?.timer?.cancel();
  }

  /** One slice of the work; false while there is more, which a timer goes on with. */
  #prepare(): boolean {
    const { stateMachine, clock, timers, guard } = this.#options;
    this.#preparing ??= { items: 0, encodeMs: 0, timer: undefined };
    const preparing = this.#preparing;
    if (preparing.timer !== undefined) return false;
    const { topicCount, partitionCount } = stateMachine.view;
    if (preparing.items > slicedRounds * (topicCount + partitionCount)) return true;
    const startMs = clock.monotonicMs();
    const items = stateMachine.pages.prepare(sliceItems);
    preparing.items += items;
    preparing.encodeMs += clock.monotonicMs() - startMs;
    if (items < sliceItems) return true;
    preparing.timer = timers.after(slicePauseMs, () => {
      preparing.timer = undefined;
      if (!this.#isStopped) guard(() => this.tick());
    });
    return false;
  }

  #save(): void {
    const { storage, stateMachine, confState, snapshotEntries, logger, clock } = this.#options;
    const wasDue = this.#isDue;
    this.#isDue = false;
    const index = stateMachine.appliedIndex;
    const startMs = clock.monotonicMs();
    const snapshot = { index, confState: confState(), data: stateMachine.snapshotBytes() };
    const encodedMs = clock.monotonicMs();
    const encodeMs = encodedMs - startMs + (this.#preparing?.encodeMs ?? 0);
    this.#preparing = undefined;
    // Half of it stays in the log, for followers that are a little behind.
    const saving = storage.saveSnapshot(snapshot, Math.floor(snapshotEntries / 2)).then(
      () => {
        const writeMs = clock.monotonicMs() - encodedMs;
        this.#last = { bytes: snapshot.data.length, encodeMs, writeMs };
        logger.info({ index, ...this.#last }, 'made a snapshot');
      },
      // The next round tries again. If the log itself was hit, the next append says so.
      (error: unknown) => {
        logger.error({ error, index }, 'could not make a snapshot');
        if (wasDue) this.#retryLater();
      },
    );
    this.#saving = saving.finally(() => {
      this.#saving = undefined;
    });
  }

  #retryLater(): void {
    if (this.#isStopped) return;
    this.#retry = this.#options.timers.after(retryMs, () => this.becomeDue());
  }
}
