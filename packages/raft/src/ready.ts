/**
 * What the core wants from its host: built here, and marked as taken here.
 *
 * The order of the host's duties for one Ready, without async storage writes:
 *  1. Write `snapshot`, then `entries`, then `hardState` (so that its commit index never points at what is missing), and
 *     make them durable if `mustSync` or if there is a snapshot. Entries replace whatever the log holds from the first
 *     one's index on. Nothing of step 2 before this is done.
 *  2. Send `messages`. Apply `snapshot`, then `committedEntries`, in order; each configuration change goes through
 *     `applyConfChange`. Serve reads of `readStates` once their index is applied.
 *  3. Call `advance`, once per Ready. Only then take the next one.
 * With async storage writes there is no `advance`. Steps 1 and 2's applying come as the messages MsgStorageAppend and
 * MsgStorageApply to two local queues, each worked off in order and never dropped; `responses` go out (those to other
 * nodes) or back in through `step` (those to this node) when the work is done: for an append that means durable.
 * `entries`, `hardState`, `snapshot` and `committedEntries` then repeat what these messages carry. All other messages may
 * leave at once. A snapshot may be installed while older entries wait in the apply queue: those are skipped, but answered.
 */

import type { RaftCore } from './core.ts';
import { hardStateOf, softStateOf } from './core.ts';
import { entriesSize } from './entry-size.ts';
import {
  appendThread,
  applyThread,
  createMessage,
  type Entry,
  emptyHardState,
  type HardState,
  isEmptyHardState,
  isEqualHardState,
  lastIndexOf,
  type Message,
  noIndex,
  noTerm,
  type ReadState,
  type Snapshot,
  type SoftState,
} from './messages.ts';

export interface Ready {
  /** Set when it changed since the last Ready. */
  readonly softState: SoftState | undefined;
  /** Set when it changed since the last Ready. */
  readonly hardState: HardState | undefined;
  readonly readStates: readonly ReadState[];
  /** To be written. */
  readonly entries: readonly Entry[];
  /** To be written and applied; then there are no committed entries. */
  readonly snapshot: Snapshot | undefined;
  /** To be applied. */
  readonly committedEntries: readonly Entry[];
  readonly messages: readonly Message[];
  /** Term, vote or log change: the write must be durable before messages leave. A mere commit index need not be. */
  readonly mustSync: boolean;
}

/** What the host was last told, and what `advance` will step (empty with async storage writes). */
export interface ReadyState {
  softState: SoftState;
  hardState: HardState;
  stepsOnAdvance: Message[];
}

export function createReadyState(core: RaftCore): ReadyState {
  return { softState: softStateOf(core), hardState: hardStateOf(core), stepsOnAdvance: [] };
}

export function hasReady(core: RaftCore, state: ReadyState): boolean {
  const { log } = core;
  return (
    core.messages.length > 0 ||
    core.messagesAfterAppend.length > 0 ||
    core.readStates.length > 0 ||
    log.unstable.offsetInProgress < log.unstable.offset + log.unstable.length ||
    log.unstable.nextSnapshot() !== undefined ||
    log.hasNextCommitted(!core.config.asyncStorageWrites) ||
    changedSoftState(core, state) !== undefined ||
    changedHardState(core, state) !== undefined
  );
}

/** Everything that is outstanding; it counts as taken from here on. */
export function takeReady(core: RaftCore, state: ReadyState): Ready {
  const isAsync = core.config.asyncStorageWrites;
  const softState = changedSoftState(core, state);
  const hardState = changedHardState(core, state);
  const entries = core.log.unstable.nextEntries();
  const snapshot = core.log.unstable.nextSnapshot();
  const committedEntries = core.log.nextCommitted(!isAsync);
  const mustSync = entries.length > 0 || core.vote !== state.hardState.vote || core.term !== state.hardState.term;
  const work: StorageWork = { hardState, entries, snapshot, committedEntries };
  const storageMessages = isAsync ? storageRequests(core, work) : durableMessagesToOthers(core);
  const ready: Ready = {
    softState,
    hardState,
    readStates: core.readStates,
    entries,
    snapshot,
    committedEntries,
    messages: [...core.messages, ...storageMessages],
    mustSync,
  };
  if (!isAsync) state.stepsOnAdvance = stepsAfter(core, work);
  accept(core, state, ready);
  return ready;
}

type StorageWork = Pick<Ready, 'hardState' | 'entries' | 'snapshot' | 'committedEntries'>;

function accept(core: RaftCore, state: ReadyState, ready: Ready): void {
  state.softState = ready.softState ?? state.softState;
  state.hardState = ready.hardState ?? state.hardState;
  core.readStates = [];
  core.messages = [];
  core.messagesAfterAppend = [];
  core.log.unstable.acceptInProgress();
  const { committedEntries } = ready;
  if (committedEntries.length > 0) {
    const index = lastIndexOf(committedEntries);
    core.log.acceptApplying(index, entriesSize(committedEntries), !core.config.asyncStorageWrites);
  }
}

function changedSoftState(core: RaftCore, state: ReadyState): SoftState | undefined {
  const { lead, role } = state.softState;
  return core.lead === lead && core.role === role ? undefined : softStateOf(core);
}

function changedHardState(core: RaftCore, state: ReadyState): HardState | undefined {
  const current = hardStateOf(core);
  return isEmptyHardState(current) || isEqualHardState(current, state.hardState) ? undefined : current;
}

/** Without async writes the host sends only after it has written: the waiting messages may go along. */
function durableMessagesToOthers(core: RaftCore): readonly Message[] {
  return core.messagesAfterAppend.filter((message) => message.to !== core.id);
}

/** What the node tells itself once a Ready is done. */
function stepsAfter(core: RaftCore, work: StorageWork): Message[] {
  const steps = core.messagesAfterAppend.filter((message) => message.to === core.id);
  if (needsAppendResponse(core, work)) steps.push(appendResponse(core, work));
  if (work.committedEntries.length > 0) steps.push(applyResponse(core, work.committedEntries));
  return steps;
}

function storageRequests(core: RaftCore, work: StorageWork): readonly Message[] {
  const requests: Message[] = [];
  const { hardState, entries, snapshot, committedEntries } = work;
  const needsAppend =
    entries.length > 0 || hardState !== undefined || snapshot !== undefined || core.messagesAfterAppend.length > 0;
  if (needsAppend) {
    const { term, vote, commit } = hardState ?? emptyHardState;
    // The answer comes behind the messages to oneself: these read the unstable tail, which the answer cuts.
    const responses = [...core.messagesAfterAppend];
    if (needsAppendResponse(core, work)) responses.push(appendResponse(core, work));
    requests.push(
      createMessage('MsgStorageAppend', {
        to: appendThread,
        from: core.id,
        entries,
        term,
        vote,
        commit,
        snapshot,
        responses,
      }),
    );
  }
  if (committedEntries.length > 0) {
    requests.push(
      createMessage('MsgStorageApply', {
        to: applyThread,
        from: core.id,
        entries: committedEntries,
        responses: [applyResponse(core, committedEntries)],
      }),
    );
  }
  return requests;
}

/**
 * Asked for whenever there is an unstable tail, not only when this Ready has entries: an answer to an earlier append may be
 * ignored because the term changed meanwhile, and then the one that carries the new term must mark its entries.
 */
function needsAppendResponse(core: RaftCore, work: StorageWork): boolean {
  return core.log.unstable.length > 0 || work.snapshot !== undefined;
}

/**
 * Vouches that storage has the log up to its present end. Valid only while the term stays: in a later term other entries
 * may have been written over these and back again, and an old answer could mark the third version stable while the second
 * is still being written (the ABA case). Hence the term in the message, which `step` compares.
 */
function appendResponse(core: RaftCore, work: StorageWork): Message {
  const hasTail = core.log.unstable.length > 0;
  const last = hasTail ? core.log.lastEntryId() : { index: noIndex, term: noTerm };
  return createMessage('MsgStorageAppendResp', {
    to: core.id,
    from: appendThread,
    term: core.term,
    index: last.index,
    logTerm: last.term,
    snapshot: work.snapshot,
  });
}

/** Committed entries are applied under no term. */
function applyResponse(core: RaftCore, entries: readonly Entry[]): Message {
  return createMessage('MsgStorageApplyResp', { to: core.id, from: applyThread, entries });
}
