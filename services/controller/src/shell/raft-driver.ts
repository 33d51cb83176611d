/**
 * Drives the Raft core: THE loop that takes each Ready, and the queue of disk writes beside it. Nobody else calls the core.
 *
 * The order of duties (packages/raft/src/ready.ts has the reasons):
 *  1. Writes (MsgStorageAppend) go to one queue, worked off in order; those that wait are made durable together. Answers
 *     that rest on a write leave when it is durable: to peers, or back into the core.
 *  2. Other messages leave at once, unless their term is newer than the durable one: no answer leaves under a term that a
 *     crash could take back (P24).
 *  3. Committed entries, which are durable here, are applied at once, in order, on a leader a change of members once it is
 *     noted that it is committed; a snapshot that was installed replaces the state machine before any later entry is applied.
 *  4. Now and then the state machine's snapshot replaces the log's beginning; and after each configuration change, since a
 *     new member begins with a snapshot that knows it. It is prepared in slices, so that it holds up nothing else.
 * Any failure of a write, and any broken invariant, stops the driver for good (`onFatal`): what is on disk is not known,
 * and a restart recovers. Failpoints between the steps cost one comparison when they are off.
 */
import {
  appendThread,
  applyThread,
  type ConfChange,
  type ConfState,
  decodeConfChange,
  type Entry,
  leaveJointChange,
  type Message,
  Raft,
  type RaftOptions,
  type RaftStatus,
  type ReadState,
  type Role,
} from '@fleetmq/raft';
import {
  assert,
  type Clock,
  DomainError,
  type Logger,
  type LogIndex,
  Ring,
  type Term,
  type Timer,
  type Timers,
} from '@fleetmq/shared';
import type { DiskRaftStorage } from './raft-storage.ts';
import type { StateMachine } from './state-machine.ts';

export type Failpoint = 'before-persist' | 'after-persist' | 'before-send' | 'before-apply' | 'after-apply';

export interface Leadership {
  readonly role: Role;
  /** 0: not known. */
  readonly leaderId: number;
  readonly term: Term;
}

/** What the newest snapshot that this node has made took. */
export interface SnapshotFigures {
  readonly bytes: number;
  /** In all slices together. */
  readonly encodeMs: number;
  /** Until it was durable and the log was cut. */
  readonly writeMs: number;
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
  readonly failpoint?: ((point: Failpoint) => void | Promise<void>) | undefined;
  /** Writes that wait for the disk; more stop the node, since the core itself bounds what is under way. Default 16,384. */
  readonly writesMax?: number;
}

const snapshotRetryMs = 1_000;
/** Topics and partitions that are encoded in one go: some milliseconds. */
const sliceItems = 2_000;
/** Between two slices. */
const slicePauseMs = 1;
/** Metadata that change faster than they are encoded: after so many items for each one that there is, the rest waits no more. */
const slicedRounds = 2;

export class RaftDriver {
  readonly #options: RaftDriverOptions;
  readonly #raft: Raft;
  readonly #writes: Ring<Message>;
  /** Messages whose term is not durable yet. */
  #held: Message[] = [];
  #durableTerm: Term;
  #confState: ConfState;
  /** A snapshot that is being installed covers what is handed out to be applied: nothing is, until it is in. */
  #isOvertaken = false;
  #wakeLoop: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;
  #ticker: Timer | undefined;
  #running: Promise<unknown> = Promise.resolve();
  #savingSnapshot: Promise<void> | undefined;
  /** The quorum has changed since the last one. */
  #isSnapshotDue = false;
  #snapshotRetry: Timer | undefined;
  #lastSnapshot: SnapshotFigures | undefined;
  /** While a snapshot is being prepared. */
  #preparing: { items: number; encodeMs: number; timer: Timer | undefined } | undefined;
  #isStopped = false;
  #isQuiet = false;
  #leadership: Leadership;

  constructor(options: RaftDriverOptions) {
    const { storage, stateMachine } = options;
    this.#options = options;
    this.#writes = new Ring(options.writesMax ?? 16_384);
    const { hardState, confState } = storage.initialState();
    this.#durableTerm = hardState.term;
    this.#confState = confState;
    this.#raft = new Raft({ ...options.raft, storage, applied: stateMachine.appliedIndex, asyncStorageWrites: true });
    const { role, lead, term } = this.#raft.status();
    this.#leadership = { role, leaderId: lead, term };
  }

  /** Begins to tick. Once. */
  start(): void {
    this.#running = Promise.all([this.#guarded(() => this.#loop()), this.#guarded(() => this.#writeLoop())]);
    this.#ticker = this.#options.timers.every(this.#options.tickMs, () => this.#call(() => this.#tick()));
    const { voters, votersOutgoing } = this.#confState;
    // Alone there is nobody to wait for.
    const isAlone = voters.length === 1 && voters[0] === this.#raft.id && votersOutgoing.length === 0;
    if (isAlone && !this.#isQuiet) this.#call(() => this.#raft.campaign());
  }

  /** Ends the loops; writes under way are finished. Idempotent. */
  async stop(): Promise<void> {
    this.#halt();
    await this.#running;
    await this.#savingSnapshot;
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  get leadership(): Leadership {
    return this.#leadership;
  }

  /** As of the last configuration change that was applied. */
  get confState(): ConfState {
    return this.#confState;
  }

  /** Undefined until this process has made one. */
  get lastSnapshot(): SnapshotFigures | undefined {
    return this.#lastSnapshot;
  }

  /** The newest term that a crash cannot take back. What this node tells of its term is this one, not that of `status`. */
  get durableTerm(): Term {
    return this.#durableTerm;
  }

  status(): RaftStatus {
    return this.#raft.status();
  }

  /** A message of another node. The error says why it is refused. */
  step(message: Message): DomainError | undefined {
    return this.#call(() => this.#raft.step(message));
  }

  /** On the leader: the place that the entry has got in the log; it may still lose it to another leader's. */
  propose(data: Uint8Array): { readonly index: LogIndex; readonly term: Term } | DomainError {
    return this.#call(() => {
      const error = this.#raft.propose(data);
      if (error !== undefined) return error;
      const { lastIndex, term } = this.#raft.status();
      return { index: lastIndex, term };
    });
  }

  /** As `propose`. A change that comes before the one before it is applied becomes an empty entry at its place. */
  proposeConfChange(change: ConfChange): { readonly index: LogIndex; readonly term: Term } | DomainError {
    return this.#call(() => {
      const error = this.#raft.proposeConfChange(change);
      if (error !== undefined) return error;
      const { lastIndex, term } = this.#raft.status();
      return { index: lastIndex, term };
    });
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
    this.#maybeSnapshot();
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
          this.#enqueueWrite(message);
        } else if (message.to === applyThread) {
          if (failpoint !== undefined) await failpoint('before-apply');
          await this.#noteConfChange(message);
          this.#apply(message);
          if (failpoint !== undefined) await failpoint('after-apply');
        } else {
          if (failpoint !== undefined) await failpoint('before-send');
          this.#sendOrHold(message);
        }
      }
    }
  }

  /** Pre-votes name a term that nobody is in yet: they promise nothing. */
  #sendOrHold(message: Message): void {
    const isPreVote = message.type === 'MsgPreVote' || message.type === 'MsgPreVoteResp';
    if (message.term > this.#durableTerm && !isPreVote) this.#held.push(message);
    else this.#options.send(message);
  }

  #enqueueWrite(message: Message): void {
    assert(this.#writes.push(message), `${this.#writes.capacity} writes wait for the disk`);
    this.#wakeWriter?.();
  }

  async #writeLoop(): Promise<void> {
    const { failpoint, storage } = this.#options;
    while (!this.#isStopped) {
      const writes = this.#takeWrites();
      if (writes.length === 0) {
        await new Promise<void>((resolve) => {
          this.#wakeWriter = resolve;
        });
        this.#wakeWriter = undefined;
        continue;
      }
      if (failpoint !== undefined) await failpoint('before-persist');
      await storage.persist(writes);
      if (failpoint !== undefined) await failpoint('after-persist');
      if (this.#isStopped) return;
      this.#durable(writes);
    }
  }

  /** All that wait, up to and with the first that installs a snapshot. */
  #takeWrites(): readonly Message[] {
    const taken: Message[] = [];
    for (let next = this.#writes.shift(); next !== undefined; next = this.#writes.shift()) {
      taken.push(next);
      if (next.snapshot !== undefined) break;
    }
    return taken;
  }

  #durable(writes: readonly Message[]): void {
    for (const { term, snapshot } of writes) {
      if (term > this.#durableTerm) this.#durableTerm = term;
      if (snapshot === undefined) continue;
      this.#options.stateMachine.restore(snapshot);
      this.#confState = snapshot.confState;
      this.#isOvertaken = false;
    }
    this.#release();
    for (const { responses } of writes) {
      for (const response of responses) {
        if (response.to === this.#raft.id) this.#call(() => this.#raft.step(response));
        else this.#sendOrHold(response);
      }
    }
  }

  #release(): void {
    const held = this.#held;
    this.#held = [];
    for (const message of held) this.#sendOrHold(message);
  }

  /**
   * On the leader a change of members is known to be committed, also after a crash, before it takes effect: who was removed
   * may be gone for good as soon as that is answered, and a leader that forgot would wait for its vote. The others need not
   * wait for the disk; if the note fails, so does their next write.
   */
  async #noteConfChange({ entries }: Message): Promise<void> {
    const change = entries.findLast(({ type }) => type !== 'EntryNormal');
    if (change === undefined) return;
    const noted = this.#options.storage.noteCommit(change.index);
    if (this.#leadership.role === 'StateLeader') await noted;
    else noted.catch(() => undefined);
  }

  #apply(message: Message): void {
    for (const entry of message.entries) {
      // A snapshot that was installed meanwhile holds it already, or will: see Raft.applyConfChange.
      if (entry.index <= this.#options.stateMachine.appliedIndex || this.#isOvertaken) continue;
      if (entry.type !== 'EntryNormal') this.#applyConfChange(entry);
      if (!this.#isOvertaken) this.#options.stateMachine.apply(entry);
    }
    for (const response of message.responses) this.#raft.step(response);
    this.#maybeSnapshot();
  }

  #applyConfChange(entry: Entry): void {
    const change = entry.data.length === 0 ? leaveJointChange : decodeConfChange(entry.type, entry.data);
    const confState = this.#raft.applyConfChange(change, entry.index);
    if (confState === undefined) {
      this.#isOvertaken = true;
      return;
    }
    // Disks and addresses alone need no snapshot.
    const isUpdate = change.kind === 'one-step' && change.type === 'ConfChangeUpdateNode';
    if (!isUpdate) this.#isSnapshotDue = true;
    this.#confState = confState;
    this.#options.logger.info({ index: entry.index, ...confState }, 'the quorum has a new configuration');
  }

  #maybeSnapshot(): void {
    const { storage, stateMachine, snapshotEntries, logger, clock, timers } = this.#options;
    const retry = (): void => {
      this.#isSnapshotDue = true;
    };
    const index = stateMachine.appliedIndex;
    const missing = index - storage.currentSnapshot().index;
    if (this.#savingSnapshot !== undefined) return;
    if (missing < (this.#isSnapshotDue ? 1 : snapshotEntries)) {
      // Also when one that came from the leader has made it superfluous.
      this.#preparing = undefined;
      return;
    }
    if (!this.#prepareSnapshot()) return;
    const wasDue = this.#isSnapshotDue;
    this.#isSnapshotDue = false;
    const startMs = clock.monotonicMs();
    const snapshot = { index, confState: this.#confState, data: stateMachine.snapshotBytes() };
    const encodedMs = clock.monotonicMs();
    const encodeMs = encodedMs - startMs + (this.#preparing?.encodeMs ?? 0);
    this.#preparing = undefined;
    // Half of it stays in the log, for followers that are a little behind.
    const saving = storage.saveSnapshot(snapshot, Math.floor(snapshotEntries / 2)).then(
      () => {
        const writeMs = clock.monotonicMs() - encodedMs;
        this.#lastSnapshot = { bytes: snapshot.data.length, encodeMs, writeMs };
        logger.info({ index, ...this.#lastSnapshot }, 'made a snapshot');
      },
      // The log has all of it; the next round tries again. If the log itself was hit, the next append says so.
      (error: unknown) => {
        logger.error({ error, index }, 'could not make a snapshot');
        if (wasDue && !this.#isStopped) this.#snapshotRetry = timers.after(snapshotRetryMs, retry);
      },
    );
    this.#savingSnapshot = saving.finally(() => {
      this.#savingSnapshot = undefined;
    });
  }

  /** One slice of the work; false while there is more, which a timer goes on with. */
  #prepareSnapshot(): boolean {
    const { stateMachine, clock, timers } = this.#options;
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
      if (!this.#isStopped) this.#call(() => this.#maybeSnapshot());
    });
    return false;
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
    this.#snapshotRetry?.cancel();
    this.#preparing?.timer?.cancel();
    this.#wakeLoop?.();
    this.#wakeWriter?.();
  }
}
