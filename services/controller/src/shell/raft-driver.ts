/**
 * Drives the Raft core: THE loop that takes each Ready. Nobody else calls the core, but for its own applier.
 *
 * The order of duties (packages/raft/src/ready.ts has the reasons):
 *  1. Writes (MsgStorageAppend) go to one queue (write-queue.ts). Answers that rest on a write leave when it is durable: to
 *     peers, or back into the core.
 *  2. Other messages leave at once, unless their term is newer than the durable one (term-gate.ts).
 *  3. Committed entries, which are durable here, are applied at once (applier.ts), on a leader a change of members once it
 *     is noted that it is committed.
 *  4. Now and then the state machine's snapshot replaces the log's beginning (snapshot-maker.ts).
 * Any failure of a write, and any broken invariant, stops the driver for good (`onFatal`): what is on disk is not known,
 * and a restart recovers. Failpoints between the steps cost one comparison when they are off.
 */
import {
  appendThread,
  applyThread,
  type ConfChange,
  type ConfState,
  type EntryId,
  type Message,
  Raft,
  type RaftOptions,
  type RaftStatus,
  type ReadState,
  type Role,
} from '@fleetmq/raft';
import { type Clock, DomainError, type Logger, type Term, type Timer, type Timers } from '@fleetmq/shared';
import { Applier } from './applier.ts';
import type { Failpoints } from './failpoint.ts';
import type { DiskRaftStorage } from './raft-storage.ts';
import { type SnapshotFigures, SnapshotMaker } from './snapshot-maker.ts';
import type { StateMachine } from './state-machine.ts';
import { TermGate } from './term-gate.ts';
import { WriteQueue } from './write-queue.ts';

export interface Leadership {
  readonly role: Role;
  /** 0: not known. */
  readonly leaderId: number;
  readonly term: Term;
}

export interface RaftDriverOptions {
  readonly raft: Omit<RaftOptions, 'storage' | 'applied' | 'asyncStorageWrites'>;
  readonly storage: DiskRaftStorage;
  readonly stateMachine: StateMachine;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly tickMs: number;
  /** A snapshot is made every so many entries. Default 10,000. */
  readonly snapshotEntries: number;
  /** Called for every message to another node. Must not throw and must not wait. */
  readonly send: (message: Message) => void;
  readonly onLeadership: (leadership: Leadership) => void;
  readonly onReadState: (state: ReadState) => void;
  /** The node cannot go on. Called once. */
  readonly onFatal: (error: unknown) => void;
  /** Default off. */
  readonly failpoint?: Failpoints | undefined;
  /** Writes that wait for the disk; more stop the node, since the core itself bounds what is under way. Default 16,384. */
  readonly writesMax?: number;
}

export class RaftDriver {
  readonly #options: RaftDriverOptions;
  readonly #raft: Raft;
  readonly #gate: TermGate;
  readonly #writes: WriteQueue;
  readonly #applier: Applier;
  readonly #snapshots: SnapshotMaker;
  #wakeLoop: (() => void) | undefined;
  #ticker: Timer | undefined;
  #running: Promise<unknown> = Promise.resolve();
  #isStopped = false;
  #isQuiet = false;
  #leadership: Leadership;

  constructor(options: RaftDriverOptions) {
    const { storage, stateMachine, failpoint, writesMax = 16_384, logger } = options;
    this.#options = options;
    this.#raft = new Raft({ ...options.raft, storage, applied: stateMachine.appliedIndex, asyncStorageWrites: true });
    this.#gate = new TermGate(storage.initialState().hardState.term, options.send);
    this.#writes = new WriteQueue({ storage, failpoint, writesMax, onDurable: (writes) => this.#onDurable(writes) });
    const onMembers = (): void => this.#snapshots.becomeDue();
    this.#applier = new Applier({ raft: this.#raft, storage, stateMachine, logger, onMembers });
    this.#snapshots = new SnapshotMaker({
      ...options,
      confState: () => this.#applier.confState,
      guard: (work) => this.#call(work),
    });
    const { role, lead, term } = this.#raft.status();
    this.#leadership = { role, leaderId: lead, term };
  }

  /** Begins to tick. Once. */
  start(): void {
    this.#running = Promise.all([this.#guarded(() => this.#loop()), this.#guarded(() => this.#writes.run())]);
    this.#ticker = this.#options.timers.every(this.#options.tickMs, () => this.#call(() => this.#tick()));
    const { voters, votersOutgoing } = this.confState;
    // Alone there is nobody to wait for.
    const isAlone = voters.length === 1 && voters[0] === this.#raft.id && votersOutgoing.length === 0;
    if (isAlone && !this.#isQuiet) this.#call(() => this.#raft.campaign());
  }

  /** Ends the loops; writes under way are finished. Idempotent. */
  async stop(): Promise<void> {
    this.#halt();
    await this.#running;
    await this.#snapshots.saving;
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  get leadership(): Leadership {
    return this.#leadership;
  }

  /** As of the last configuration change that was applied. */
  get confState(): ConfState {
    return this.#applier.confState;
  }

  /** Undefined until this process has made one. */
  get lastSnapshot(): SnapshotFigures | undefined {
    return this.#snapshots.last;
  }

  /** The newest term that a crash cannot take back. What this node tells of its term is this one, not that of `status`. */
  get durableTerm(): Term {
    return this.#gate.durableTerm;
  }

  status(): RaftStatus {
    return this.#raft.status();
  }

  /** A message of another node. The error says why it is refused. */
  step(message: Message): DomainError | undefined {
    return this.#call(() => this.#raft.step(message));
  }

  /** On the leader: the place that the entry has got in the log; it may still lose it to another leader's. */
  propose(data: Uint8Array): EntryId | DomainError {
    return this.#call(() => this.#raft.propose(data) ?? this.#lastPlace());
  }

  /** As `propose`. A change that comes before the one before it is applied becomes an empty entry at its place. */
  proposeConfChange(change: ConfChange): EntryId | DomainError {
    return this.#call(() => this.#raft.proposeConfChange(change) ?? this.#lastPlace());
  }

  /** Configuration changes in the log that are not applied here, oldest first. Some may never be committed. */
  unappliedConfChanges(): readonly ConfChange[] {
    return this.#applier.unappliedConfChanges();
  }

  /** It starts no elections any more, but answers. For one that was removed. */
  quiet(): void {
    this.#isQuiet = true;
  }

  readIndex(context: Uint8Array): DomainError | undefined {
    return this.#call(() => this.#raft.readIndex(context));
  }

  transferLeader(target: number): void {
    this.#call(() => this.#raft.transferLeader(target));
  }

  /** No news for a driver that has stopped. */
  reportUnreachable(id: number): void {
    if (!this.#isStopped) this.#call(() => this.#raft.reportUnreachable(id));
  }

  reportSnapshot(id: number, outcome: 'finished' | 'failed'): void {
    if (!this.#isStopped) this.#call(() => this.#raft.reportSnapshot(id, outcome));
  }

  #tick(): void {
    // Somebody who does not know of the removal yet may need its vote: no lease of a leader may keep it from that.
    if (this.#isQuiet) this.#raft.forgetLeader();
    else this.#raft.tick();
    this.#snapshots.tick();
  }

  #call<Result>(call: () => Result): Result {
    if (this.#isStopped) throw new DomainError('SHUTTING_DOWN', 'this controller is stopping');
    try {
      return call();
    } catch (error) {
      this.#fail(error);
      throw error;
    } finally {
      this.#wakeLoop?.();
    }
  }

  async #loop(): Promise<void> {
    const { failpoint } = this.#options;
    while (!this.#isStopped) {
      if (!this.#raft.hasReady()) {
        await new Promise<void>((resolve) => {
          this.#wakeLoop = resolve;
        });
        this.#wakeLoop = undefined;
        continue;
      }
      const ready = this.#raft.ready();
      if (ready.softState !== undefined || ready.hardState !== undefined) this.#noteLeadership();
      for (const state of ready.readStates) this.#options.onReadState(state);
      for (const message of ready.messages) {
        if (message.to === appendThread) {
          this.#writes.push(message);
        } else if (message.to === applyThread) {
          if (failpoint !== undefined) await failpoint('before-apply');
          await this.#applier.noteConfChange(message.entries, this.#leadership.role === 'StateLeader');
          this.#apply(message);
          if (failpoint !== undefined) await failpoint('after-apply');
        } else {
          if (failpoint !== undefined) await failpoint('before-send');
          this.#gate.pass(message);
        }
      }
    }
  }

  /** Answers that rest on these writes leave now: to peers, or back into the core. */
  #onDurable(writes: readonly Message[]): void {
    for (const { term, snapshot } of writes) {
      this.#gate.raise(term);
      if (snapshot !== undefined) this.#applier.restore(snapshot);
    }
    this.#gate.release();
    for (const { responses } of writes) {
      for (const response of responses) {
        if (response.to === this.#raft.id) this.#call(() => this.#raft.step(response));
        else this.#gate.pass(response);
      }
    }
  }

  #apply({ entries, responses }: Message): void {
    this.#applier.apply(entries);
    for (const response of responses) this.#raft.step(response);
    this.#snapshots.tick();
  }

  #lastPlace(): EntryId {
    const { lastIndex, term } = this.#raft.status();
    return { index: lastIndex, term };
  }

  #noteLeadership(): void {
    const { role, lead, term } = this.#raft.status();
    const before = this.#leadership;
    if (before.role === role && before.leaderId === lead && before.term === term) return;
    this.#leadership = { role, leaderId: lead, term };
    this.#options.onLeadership(this.#leadership);
  }

  async #guarded(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (this.#isStopped) return;
    this.#options.logger.error({ error }, 'the Raft driver stops');
    this.#halt();
    this.#options.onFatal(error);
  }

  #halt(): void {
    this.#isStopped = true;
    this.#ticker?.cancel();
    this.#snapshots.stop();
    this.#wakeLoop?.();
    this.#writes.stop();
  }
}
