/**
 * Handing leadership over (dissertation, section 3.10). The leader refuses proposals, brings the target's log up to its
 * own, and then tells it to start an election at once (MsgTimeoutNow). Given up after one election timeout (tick.ts), and
 * when the target leaves the voters (membership.ts); a further request for another target replaces the first.
 */
import type { RaftCore } from './core.ts';
import { hex } from './logger.ts';
import { type NodeId, noNode } from './messages.ts';
import type { Progress } from './progress.ts';
import { sendAppend } from './replication.ts';
import { send } from './send.ts';

export function startTransfer(core: RaftCore, target: NodeId, progress: Progress): void {
  const { logger } = core.config;
  const own = hex(core.id);
  if (progress.isLearner) {
    logger.debug(`${own} is learner. Ignored transferring leadership`);
    return;
  }
  const previous = core.leadTransferee;
  if (previous === target) {
    logger.info(
      `${own} [term ${core.term}] transfer leadership to ${hex(target)} is in progress, ignores request to same node ${hex(target)}`,
    );
    return;
  }
  if (previous !== noNode) {
    core.leadTransferee = noNode;
    logger.info(`${own} [term ${core.term}] abort previous transferring leadership to ${hex(previous)}`);
  }
  if (target === core.id) {
    logger.debug(`${own} is already leader. Ignored transferring leadership to self`);
    return;
  }
  logger.info(`${own} [term ${core.term}] starts to transfer leadership to ${hex(target)}`);
  // A count of its own: one request after the other must not put off the check of the quorum.
  core.transferElapsed = 0;
  core.leadTransferee = target;
  if (progress.match === core.log.lastIndex()) {
    sendTimeoutNow(core, target);
    logger.info(
      `${own} sends MsgTimeoutNow to ${hex(target)} immediately as ${hex(target)} already has up-to-date log`,
    );
  } else {
    sendAppend(core, target);
  }
}

/** Called when `from` has acknowledged entries. */
export function continueTransfer(core: RaftCore, from: NodeId, progress: Progress): void {
  if (from !== core.leadTransferee || progress.match !== core.log.lastIndex()) return;
  core.config.logger.info(`${hex(core.id)} sent MsgTimeoutNow to ${hex(from)} after received MsgAppResp`);
  sendTimeoutNow(core, from);
}

function sendTimeoutNow(core: RaftCore, to: NodeId): void {
  send(core, 'MsgTimeoutNow', { to });
}
