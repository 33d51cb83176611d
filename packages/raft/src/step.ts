/**
 * The one way in for messages. First the term decides: a newer term makes a follower of everybody, an older one is mostly
 * ignored. Then the few types that mean the same in every role, then the role.
 *
 * Exceptions from "a newer term wins": a request for a vote while a leader is known to be alive (check-quorum), and
 * everything about pre-votes, which talk about terms that nobody has entered. Exceptions from "an older term is ignored":
 * an old leader must learn the newer term even when it never hears a vote request, and an old pre-candidate too, or it
 * could stay stuck behind its partition.
 */
import type { DomainError } from '@fleetmq/shared';
import { stepCandidate } from './candidate.ts';
import type { RaftCore } from './core.ts';
import { answerVote, isInLease, learnCommit, refuseVote, startElection, timeoutCampaign } from './election.ts';
import { entriesSize } from './entry-size.ts';
import { stepFollower } from './follower.ts';
import { stepLeader } from './leader.ts';
import { hex } from './logger.ts';
import { appliedTo } from './membership.ts';
import { lastIndexOf, type Message, noNode, type Snapshot } from './messages.ts';
import { reduceUncommitted } from './proposals.ts';
import { becomeFollower } from './roles.ts';
import { send } from './send.ts';

/** The error says why a request was refused; for other messages there is none. */
export function step(core: RaftCore, message: Message): DomainError | undefined {
  learnCommit(core, message);
  if (message.term > core.term) {
    if (!enterNewerTerm(core, message)) return undefined;
  } else if (message.term !== 0 && message.term < core.term) {
    answerOlderTerm(core, message);
    return undefined;
  }
  switch (message.type) {
    case 'MsgHup':
      startElection(core, timeoutCampaign(core));
      return undefined;
    case 'MsgStorageAppendResp':
      if (message.index !== 0) core.log.unstable.stableTo({ index: message.index, term: message.logTerm });
      if (message.snapshot !== undefined) installedSnapshot(core, message.snapshot);
      return undefined;
    case 'MsgStorageApplyResp':
      if (message.entries.length > 0) {
        appliedTo(core, lastIndexOf(message.entries), entriesSize(message.entries));
        reduceUncommitted(core, message.entries);
      }
      return undefined;
    case 'MsgVote':
    case 'MsgPreVote':
      answerVote(core, message);
      return undefined;
    default:
      return stepRole(core, message);
  }
}

function stepRole(core: RaftCore, message: Message): DomainError | undefined {
  if (core.role === 'StateLeader') return stepLeader(core, message);
  if (core.role === 'StateFollower') return stepFollower(core, message);
  return stepCandidate(core, message);
}

/** False when the message is to be ignored. */
function enterNewerTerm(core: RaftCore, message: Message): boolean {
  const { type, from, term } = message;
  if ((type === 'MsgVote' || type === 'MsgPreVote') && isInLease(core, message)) return false;
  if (type === 'MsgPreVote') return true;
  // Granted: the term rises once a majority has granted. Rejected: the term is that of the node that rejected.
  if (type === 'MsgPreVoteResp' && !message.reject) return true;
  core.config.logger.info(
    `${hex(core.id)} [term: ${core.term}] received a ${type} message with higher term from ${hex(from)} [term: ${term}]`,
  );
  const isFromLeader = type === 'MsgApp' || type === 'MsgHeartbeat' || type === 'MsgSnap';
  becomeFollower(core, term, isFromLeader ? from : noNode);
  return true;
}

function answerOlderTerm(core: RaftCore, message: Message): void {
  const { type, from } = message;
  const { checkQuorum, preVote, logger } = core.config;
  if ((checkQuorum || preVote) && (type === 'MsgHeartbeat' || type === 'MsgApp')) {
    // A node behind a partition may have raised its term alone. Its vote requests would be ignored, so this answer tells
    // the leader. A removed node hears no leader and thus raises nobody's term.
    send(core, 'MsgAppResp', { to: from });
  } else if (type === 'MsgPreVote') {
    refuseVote(core, message);
  } else if (type === 'MsgStorageAppendResp') {
    // The entries may have been overwritten in the new term, by writes that are still under way: marking them stable
    // could make the log read old entries from storage (the ABA case). An answer of the new term will mark them.
    if (message.index !== 0) {
      logger.info(
        `${hex(core.id)} [term: ${core.term}] ignored entry appends from a ${type} message with lower term [term: ${message.term}]`,
      );
    }
    // A snapshot holds committed state, which no term changes.
    if (message.snapshot !== undefined) installedSnapshot(core, message.snapshot);
  } else {
    logger.info(
      `${hex(core.id)} [term: ${core.term}] ignored a ${type} message with lower term from ${hex(from)} [term: ${message.term}]`,
    );
  }
}

function installedSnapshot(core: RaftCore, snapshot: Snapshot): void {
  core.log.unstable.stableSnapshotTo(snapshot.index);
  appliedTo(core, snapshot.index, 0);
}
