/**
 * What a leader does with messages of its own term: takes proposals and reads, and learns from the answers of its
 * followers what is committed, where their logs part from its own, and who is still there.
 * It never commits by counting an entry of an earlier term, and counts itself only by its own durable acknowledgement.
 */
import type { DomainError } from '@fleetmq/shared';
import type { RaftCore } from './core.ts';
import { describeProgress } from './describe-config.ts';
import { hex } from './logger.ts';
import { type Message, type NodeId, noIndex, noNode } from './messages.ts';
import type { Progress } from './progress.ts';
import { proposeOnLeader } from './proposals.ts';
import { readOnLeader, releaseConfirmedReads, releaseEarlyReads } from './reads.ts';
import { broadcastAppend, broadcastHeartbeat, maybeCommit, maybeSendAppend, sendAppend } from './replication.ts';
import { becomeFollower } from './roles.ts';
import { continueTransfer, startTransfer } from './transfer.ts';

export function stepLeader(core: RaftCore, message: Message): DomainError | undefined {
  switch (message.type) {
    case 'MsgBeat':
      broadcastHeartbeat(core);
      return undefined;
    case 'MsgCheckQuorum':
      checkQuorum(core);
      return undefined;
    case 'MsgProp':
      return proposeOnLeader(core, message.entries);
    case 'MsgReadIndex':
      return readOnLeader(core, message);
    case 'MsgForgetLeader':
      return undefined;
    default:
      stepMember(core, message);
      return undefined;
  }
}

/** Messages that mean something only when their sender is a member. */
function stepMember(core: RaftCore, message: Message): void {
  const { from } = message;
  const progress = core.tracker.progress.get(from);
  if (progress === undefined) {
    core.config.logger.debug(`${hex(core.id)} no progress available for ${hex(from)}`);
    return;
  }
  switch (message.type) {
    case 'MsgAppResp':
      progress.recentActive = true;
      if (message.reject) handleRejection(core, message, progress);
      else handleAcknowledgement(core, message, progress);
      break;
    case 'MsgHeartbeatResp':
      handleHeartbeatAnswer(core, message, progress);
      break;
    case 'MsgSnapStatus':
      handleSnapshotStatus(core, message, progress);
      break;
    case 'MsgUnreachable':
      handleUnreachable(core, from, progress);
      break;
    case 'MsgTransferLeader':
      startTransfer(core, from, progress);
      break;
    default:
      break;
  }
}

function checkQuorum(core: RaftCore): void {
  if (!core.tracker.isQuorumActive()) {
    core.config.logger.warn(`${hex(core.id)} stepped down to follower since quorum is not active`);
    becomeFollower(core, core.term, noNode);
  }
  for (const [id, progress] of core.tracker.progress) if (id !== core.id) progress.recentActive = false;
}

/**
 * The hint says: the follower's log ends at `rejectHint` or earlier with an entry of `logTerm`. Terms never fall along a
 * log, so everything here with a higher term cannot match and is skipped: at most one probe per term.
 */
function handleRejection(core: RaftCore, message: Message, progress: Progress): void {
  const { logger } = core.config;
  const { from, index, rejectHint, logTerm } = message;
  logger.debug(
    `${hex(core.id)} received MsgAppResp(rejected, hint: (index ${rejectHint}, term ${logTerm})) from ${hex(from)} for index ${index}`,
  );
  const next = logTerm > 0 ? core.log.findConflictByTerm(rejectHint, logTerm).index : rejectHint;
  if (!progress.maybeDecrease(index, next)) return;
  logger.debug(`${hex(core.id)} decreased progress of ${hex(from)} to [${describeProgress(progress)}]`);
  if (progress.state === 'StateReplicate') progress.becomeProbe();
  sendAppend(core, from);
}

function handleAcknowledgement(core: RaftCore, message: Message, progress: Progress): void {
  const { from, index } = message;
  // An answer that brings nothing new may still end probing: the follower is reachable again.
  if (!progress.maybeUpdate(index) && !(progress.match === index && progress.state === 'StateProbe')) return;
  resumeReplication(core, from, index, progress);
  if (maybeCommit(core)) {
    releaseEarlyReads(core);
    broadcastAppend(core);
  } else if (from !== core.id && progress.canBumpCommit(core.log.committed)) {
    // Heartbeats would bring the commit index too, but later.
    sendAppend(core, from);
  }
  if (from !== core.id) {
    // The window may have room for several messages now.
    while (maybeSendAppend(core, from, false));
  }
  continueTransfer(core, from, progress);
}

function resumeReplication(core: RaftCore, from: NodeId, index: number, progress: Progress): void {
  if (progress.state === 'StateProbe') {
    progress.becomeReplicate();
  } else if (progress.state === 'StateReplicate') {
    progress.inflights.freeUpTo(index);
  } else if (progress.match + 1 >= core.log.firstIndex()) {
    // Whatever snapshot the follower installed: the log reaches it again.
    core.config.logger.debug(
      `${hex(core.id)} recovered from needing snapshot, resumed sending replication messages to ${hex(from)} [${describeProgress(progress)}]`,
    );
    progress.becomeProbe();
    progress.becomeReplicate();
  }
}

function handleHeartbeatAnswer(core: RaftCore, message: Message, progress: Progress): void {
  progress.recentActive = true;
  progress.appendsPaused = false;
  // Also to a follower in probing that has everything: only an append's answer ends the probing.
  if (progress.match < core.log.lastIndex() || progress.state === 'StateProbe') sendAppend(core, message.from);
  if (message.readSequence === 0) return;
  core.reads.acknowledge(message.from, message.readSequence);
  releaseConfirmedReads(core);
}

function handleSnapshotStatus(core: RaftCore, message: Message, progress: Progress): void {
  if (progress.state !== 'StateSnapshot') return;
  // After a failure, probing must start behind what matches, not behind a snapshot that never arrived.
  if (message.reject) progress.pendingSnapshot = noIndex;
  progress.becomeProbe();
  const outcome = message.reject ? 'failed' : 'succeeded';
  core.config.logger.debug(
    `${hex(core.id)} snapshot ${outcome}, resumed sending replication messages to ${hex(message.from)} [${describeProgress(progress)}]`,
  );
  // After success the follower's own answer comes first; after failure the next try waits for a heartbeat.
  progress.appendsPaused = true;
}

function handleUnreachable(core: RaftCore, from: NodeId, progress: Progress): void {
  // Appends sent in advance are probably lost.
  if (progress.state === 'StateReplicate') progress.becomeProbe();
  core.config.logger.debug(
    `${hex(core.id)} failed to send message to ${hex(from)} because it is unreachable [${describeProgress(progress)}]`,
  );
}
