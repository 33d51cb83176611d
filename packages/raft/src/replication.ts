/**
 * What a leader sends its followers: appends, snapshots when the log no longer reaches far enough back, heartbeats.
 * Decides nothing about commitment; obeys the flow control in progress.ts.
 * Source: dissertation, sections 3.5, 5 and 10.2.1; etcd's maybeSendAppend.
 */
import { assert } from '@fleetmq/shared';
import type { RaftCore } from './core.ts';
import { describeProgress } from './describe-config.ts';
import { payloadSize } from './entry-size.ts';
import { hex } from './logger.ts';
import { isEmptySnapshot, isMember, lowerIndex, type NodeId, shift } from './messages.ts';
import type { Progress } from './progress.ts';
import { send } from './send.ts';

/** Sends an append, an empty one if there is nothing new: it carries the commit index. */
export function sendAppend(core: RaftCore, to: NodeId): void {
  maybeSendAppend(core, to, true);
}

/** True when a message went out. `sendIfEmpty`: also without entries. */
export function maybeSendAppend(core: RaftCore, to: NodeId, sendIfEmpty: boolean): boolean {
  const progress = progressOf(core, to);
  if (progress.isPaused) return false;
  const previousIndex = shift(progress.next, -1);
  const previousTerm = core.log.term(previousIndex);
  if (previousTerm === undefined) return maybeSendSnapshot(core, to, progress);

  // With a full window only empty appends go out: if all that filled it was lost, the answer to one clears it.
  const mayCarryEntries = progress.state !== 'StateReplicate' || !progress.inflights.isFull;
  const entries = mayCarryEntries ? core.log.entries(progress.next, core.config.maxSizePerMsg) : [];
  if (entries === undefined) return maybeSendSnapshot(core, to, progress);
  if (entries.length === 0 && !sendIfEmpty) return false;

  const commit = core.log.committed;
  send(core, 'MsgApp', { to, index: previousIndex, logTerm: previousTerm, entries, commit });
  progress.sentEntries(entries.length, payloadSize(entries));
  progress.sentCommit(commit);
  return true;
}

function maybeSendSnapshot(core: RaftCore, to: NodeId, progress: Progress): boolean {
  const { logger } = core.config;
  if (!progress.recentActive) {
    logger.debug(`ignore sending snapshot to ${hex(to)} since it is not recently active`);
    return false;
  }
  const snapshot = core.log.snapshot();
  // A snapshot from before the member was added would be refused by it, and it would wait for another one for ever.
  if (snapshot === undefined || !isMember(snapshot.confState, to)) {
    logger.debug(`${hex(core.id)} failed to send snapshot to ${hex(to)} because snapshot is temporarily unavailable`);
    return false;
  }
  assert(!isEmptySnapshot(snapshot), 'need non-empty snapshot');
  logger.debug(
    `${hex(core.id)} [firstindex: ${core.log.firstIndex()}, commit: ${core.log.committed}] sent snapshot[index: ${snapshot.index}, term: ${snapshot.term}] to ${hex(to)} [${describeProgress(progress)}]`,
  );
  progress.becomeSnapshot(snapshot.index);
  logger.debug(`${hex(core.id)} paused sending replication messages to ${hex(to)} [${describeProgress(progress)}]`);
  send(core, 'MsgSnap', { to, snapshot });
  return true;
}

export function broadcastAppend(core: RaftCore): void {
  for (const id of core.tracker.progress.keys()) if (id !== core.id) sendAppend(core, id);
}

/** Heartbeats carry the number of the youngest waiting read. */
export function broadcastHeartbeat(core: RaftCore): void {
  const readSequence = core.reads.sequence;
  for (const [to, progress] of core.tracker.progress) {
    if (to === core.id) continue;
    // Never beyond what is known to match: behind that the follower's log may differ.
    const commit = lowerIndex(progress.match, core.log.committed);
    send(core, 'MsgHeartbeat', { to, commit, readSequence });
    progress.sentCommit(commit);
  }
}

/** Commits what a quorum has, if it is of the own term. True when the commit index rose. */
export function maybeCommit(core: RaftCore): boolean {
  return core.log.maybeCommit({ index: core.tracker.committed(), term: core.term });
}

export function progressOf(core: RaftCore, id: NodeId): Progress {
  const progress = core.tracker.progress.get(id);
  assert(progress !== undefined, `${hex(id)} is no member`);
  return progress;
}
