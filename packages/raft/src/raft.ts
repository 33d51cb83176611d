/**
 * A Raft node as its host sees it: calls go in, a Ready comes out. No promise, no timer, no I/O inside; one call at a time.
 *
 * A node starts from what its storage holds. A new cluster is bootstrapped by giving the storage of each first voter the
 * same snapshot (index above 0, configuration, state); a node that joins later starts with empty storage and is told its
 * configuration by the leader's snapshot or log.
 * Calls that can be refused return a DomainError instead of throwing. An AssertionFailure means a bug or lost data: the
 * node must not be used any more.
 * Source: dissertation of D. Ongaro (2014); shape and behaviour of etcd's RawNode.
 */
import { assert, type DomainError, type LogIndex } from '@fleetmq/shared';
import type { ConfChange } from './conf-change.ts';
import { type RaftOptions, resolveConfig } from './config.ts';
import { createCore, type RaftCore } from './core.ts';
import { hex } from './logger.ts';
import { applyConfChange, restoreMembership } from './membership.ts';
import { type ConfState, createMessage, isEmptyHardState, type Message, type NodeId, noNode } from './messages.ts';
import { createConfChangeProposal, createProposal } from './proposals.ts';
import { jointVoters } from './quorum.ts';
import { createReadyState, hasReady, type Ready, type ReadyState, takeReady } from './ready.ts';
import { becomeFollower } from './roles.ts';
import { type RaftStatus, statusOf } from './status.ts';
import { step } from './step.ts';
import { tick } from './tick.ts';
import { refusalOf } from './validate-message.ts';

export type SnapshotOutcome = 'finished' | 'failed';

export class Raft {
  readonly #core: RaftCore;
  readonly #ready: ReadyState;

  /** Throws INVALID_CONFIG for options out of range, INVALID_REQUEST for a stored configuration that is none. */
  constructor(options: RaftOptions) {
    const config = resolveConfig(options);
    const core = createCore(config);
    const { hardState, confState } = config.storage.initialState();
    const { index, term } = core.log.lastEntryId();
    restoreMembership(core, confState);
    if (!isEmptyHardState(hardState)) {
      core.log.loadCommit(hardState.commit, core.id);
      core.term = hardState.term;
      core.vote = hardState.vote;
    }
    if (config.applied > 0) {
      // What was applied was committed, even when the commit index did not reach the disk in time.
      core.log.commitTo(config.applied as LogIndex);
      core.log.appliedTo(config.applied as LogIndex, 0);
    }
    core.configIndex = core.log.applied;
    becomeFollower(core, core.term, noNode);
    const peers = jointVoters(core.tracker.config.voters).map(hex).join(',');
    config.logger.info(
      `newRaft ${hex(core.id)} [peers: [${peers}], term: ${core.term}, commit: ${core.log.committed}, applied: ${core.log.applied}, lastindex: ${index}, lastterm: ${term}]`,
    );
    this.#core = core;
    this.#ready = createReadyState(core);
  }

  get id(): NodeId {
    return this.#core.id;
  }

  /** One unit of time passed. */
  tick(): void {
    tick(this.#core);
  }

  /** Starts an election now. */
  campaign(): void {
    step(this.#core, createMessage('MsgHup'));
  }

  /**
   * Takes a message of another node, or an answer of a storage queue. INVALID_REQUEST: malformed, local, or an answer of a
   * node that is no member. PROPOSAL_DROPPED, LIMIT_EXCEEDED, NOT_AVAILABLE: a forwarded request that nobody will answer.
   */
  step(message: Message): DomainError | undefined {
    return refusalOf(this.#core, message) ?? step(this.#core, message);
  }

  /** Asks for `data` to be appended; whether it is, shows when it is committed. PROPOSAL_DROPPED: it is not. */
  propose(data: Uint8Array): DomainError | undefined {
    const entries = [createProposal({ type: 'EntryNormal', data })];
    return step(this.#core, createMessage('MsgProp', { from: this.#core.id, entries }));
  }

  /** As `propose`. A change that does not fit the active configuration, or comes too early, becomes an empty entry. */
  proposeConfChange(change: ConfChange): DomainError | undefined {
    return step(this.#core, createMessage('MsgProp', { entries: [createConfChangeProposal(change)] }));
  }

  /**
   * Must be called for each committed configuration change, when the entry at `index` is applied. A host that turns a change
   * down applies it with node ids of 0. Returns the configuration, for snapshots.
   * Undefined: a snapshot that holds this change is being installed and has overtaken it (only with async storage writes).
   * The host then applies no further entries until the snapshot is in, and skips those that it covers.
   */
  applyConfChange(change: ConfChange, index: LogIndex): ConfState | undefined {
    return applyConfChange(this.#core, change, index);
  }

  /**
   * Asks for an index at which a linearizable read may be served; it comes as a ReadState with the same `context`.
   * It may never come, when the leader or its term changes: ask again then. NOT_AVAILABLE: no leader is known.
   * LIMIT_EXCEEDED: too many reads wait already.
   */
  readIndex(context: Uint8Array): DomainError | undefined {
    return step(this.#core, createMessage('MsgReadIndex', { context }));
  }

  /** Asks the leader to hand over to this voter. Nothing happens when that does not work out within an election timeout. */
  transferLeader(target: NodeId): void {
    step(this.#core, createMessage('MsgTransferLeader', { from: target }));
  }

  /** A follower gives up its leader without a timeout, so that it may vote in spite of check-quorum. */
  forgetLeader(): void {
    step(this.#core, createMessage('MsgForgetLeader'));
  }

  /** The last message to this member was not delivered. */
  reportUnreachable(id: NodeId): void {
    step(this.#core, createMessage('MsgUnreachable', { from: id }));
  }

  /** How the transfer of a MsgSnap to this member ended. */
  reportSnapshot(id: NodeId, outcome: SnapshotOutcome): void {
    step(this.#core, createMessage('MsgSnapStatus', { from: id, reject: outcome === 'failed' }));
  }

  hasReady(): boolean {
    return hasReady(this.#core, this.#ready);
  }

  /** All outstanding work; see ready.ts for the order in which it must be done. */
  ready(): Ready {
    assert(this.#ready.stepsOnAdvance.length === 0, 'two accepted Ready structs without call to Advance');
    return takeReady(this.#core, this.#ready);
  }

  /** The last Ready is done. Not with async storage writes, whose answers take this call's place. */
  advance(): void {
    assert(!this.#core.config.asyncStorageWrites, 'advance must not be called when using asyncStorageWrites');
    const steps = this.#ready.stepsOnAdvance;
    this.#ready.stepsOnAdvance = [];
    for (const message of steps) step(this.#core, message);
  }

  status(): RaftStatus {
    return statusOf(this.#core);
  }

  /** Overrides the random election timeout, in ticks, until the role changes: for tests. */
  setRandomizedElectionTimeout(ticks: number): void {
    this.#core.randomizedElectionTimeout = ticks;
  }
}
