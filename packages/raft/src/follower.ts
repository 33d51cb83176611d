/**
 * What a follower does with messages of its own term: takes the leader's log, commit index and snapshots, passes requests
 * on to the leader, and starts an election when the leader tells it to.
 *
 * Entries are accepted only where the logs agree at the entry before; a rejection carries a hint that lets the leader skip
 * a whole diverging tail. Commit never goes beyond what is known to match the leader. Nothing committed is overwritten.
 */
import type { DomainError } from '@fleetmq/shared';
import type { RaftCore } from './core.ts';
import { describeConfState } from './describe.ts';
import { startElection } from './election.ts';
import { hex } from './logger.ts';
import { restoreMembership } from './membership.ts';
import { emptyBytes, isMember, lowerIndex, type Message, noNode, noTerm, type Snapshot } from './messages.ts';
import { proposalDropped } from './proposals.ts';
import { dropRead } from './reads.ts';
import { becomeFollower } from './roles.ts';
import { send } from './send.ts';

export function stepFollower(core: RaftCore, message: Message): DomainError | undefined {
  const { logger } = core.config;
  switch (message.type) {
    case 'MsgApp':
    case 'MsgHeartbeat':
    case 'MsgSnap':
      core.electionElapsed = 0;
      core.lead = message.from;
      followLeader(core, message);
      return undefined;
    case 'MsgProp':
      return forwardProposal(core, message);
    case 'MsgTransferLeader':
      if (core.lead === noNode) {
        logger.info(`${hex(core.id)} no leader at term ${core.term}; dropping leader transfer msg`);
      } else {
        send(core, 'MsgTransferLeader', { to: core.lead, from: message.from });
      }
      return undefined;
    case 'MsgReadIndex':
      return forwardRead(core, message);
    case 'MsgReadIndexResp':
      core.readStates.push({ index: message.index, context: message.context ?? emptyBytes });
      return undefined;
    case 'MsgForgetLeader':
      forgetLeader(core);
      return undefined;
    case 'MsgTimeoutNow':
      logger.info(
        `${hex(core.id)} [term ${core.term}] received MsgTimeoutNow from ${hex(message.from)} and starts an election to get leadership.`,
      );
      // Never with a pre-vote: the leader itself asks, so there is no partition to recover from.
      startElection(core, 'transfer');
      return undefined;
    default:
      return undefined;
  }
}

/** MsgApp, MsgHeartbeat or MsgSnap of this term's leader. */
export function followLeader(core: RaftCore, message: Message): void {
  if (message.type === 'MsgApp') handleAppend(core, message);
  else if (message.type === 'MsgHeartbeat') handleHeartbeat(core, message);
  else if (message.snapshot !== undefined) handleSnapshot(core, message.from, message.snapshot);
}

function forwardProposal(core: RaftCore, message: Message): DomainError | undefined {
  const { logger, disableProposalForwarding } = core.config;
  if (core.lead === noNode) {
    logger.info(`${hex(core.id)} no leader at term ${core.term}; dropping proposal`);
    return proposalDropped(core);
  }
  if (disableProposalForwarding) {
    logger.info(`${hex(core.id)} not forwarding to leader ${hex(core.lead)} at term ${core.term}; dropping proposal`);
    return proposalDropped(core);
  }
  send(core, 'MsgProp', { to: core.lead, from: message.from, entries: message.entries });
  return undefined;
}

function forwardRead(core: RaftCore, message: Message): DomainError | undefined {
  if (core.lead === noNode) return dropRead(core);
  send(core, 'MsgReadIndex', { to: core.lead, from: message.from, context: message.context });
  return undefined;
}

function forgetLeader(core: RaftCore): void {
  const { logger, readOnlyOption } = core.config;
  if (readOnlyOption === 'lease-based') {
    // Forgetting the leader would let this node vote while the leader still answers reads under its lease.
    logger.error('ignoring MsgForgetLeader due to ReadOnlyLeaseBased');
  } else if (core.lead !== noNode) {
    logger.info(`${hex(core.id)} forgetting leader ${hex(core.lead)} at term ${core.term}`);
    core.lead = noNode;
  }
}

function handleAppend(core: RaftCore, message: Message): void {
  const { from, index, logTerm } = message;
  const { log } = core;
  if (index < log.committed) {
    // An old message: all that is committed matches, and the leader may go on from there.
    send(core, 'MsgAppResp', { to: from, index: log.committed });
    return;
  }
  const last = log.maybeAppend({ previous: { index, term: logTerm }, entries: message.entries }, message.commit);
  if (last !== undefined) {
    send(core, 'MsgAppResp', { to: from, index: last });
    return;
  }
  core.config.logger.debug(
    `${hex(core.id)} [logterm: ${log.term(index) ?? noTerm}, index: ${index}] rejected MsgApp [logterm: ${logTerm}, index: ${index}] from ${hex(from)}`,
  );
  const hint = log.findConflictByTerm(lowerIndex(index, log.lastIndex()), logTerm);
  send(core, 'MsgAppResp', { to: from, index, reject: true, rejectHint: hint.index, logTerm: hint.term });
}

function handleHeartbeat(core: RaftCore, message: Message): void {
  core.log.commitTo(message.commit);
  send(core, 'MsgHeartbeatResp', { to: message.from, readSequence: message.readSequence });
}

function handleSnapshot(core: RaftCore, from: number, snapshot: Snapshot): void {
  const isRestored = restoreSnapshot(core, snapshot);
  const verdict = isRestored ? 'restored' : 'ignored';
  core.config.logger.info(
    `${hex(core.id)} [commit: ${core.log.committed}] ${verdict} snapshot [index: ${snapshot.index}, term: ${snapshot.term}]`,
  );
  send(core, 'MsgAppResp', { to: from, index: isRestored ? core.log.lastIndex() : core.log.committed });
}

/** Replaces log and configuration by the snapshot's. False when it brings nothing, or is not for this node. */
function restoreSnapshot(core: RaftCore, snapshot: Snapshot): boolean {
  const { log } = core;
  const { logger } = core.config;
  if (snapshot.index <= log.committed) return false;
  if (core.role !== 'StateFollower') {
    // Cannot happen; if it does, the safe way out is to leave the term.
    logger.warn(`${hex(core.id)} attempted to restore snapshot as leader; should never happen`);
    becomeFollower(core, (core.term + 1) as typeof core.term, noNode);
    return false;
  }
  const { confState } = snapshot;
  if (!isMember(confState, core.id)) {
    logger.warn(
      `${hex(core.id)} attempted to restore snapshot but it is not in the ConfState ${describeConfState(confState)}; should never happen`,
    );
    return false;
  }
  const last = log.lastEntryId();
  if (log.matches(snapshot)) {
    logger.info(
      `${hex(core.id)} [commit: ${log.committed}, lastindex: ${last.index}, lastterm: ${last.term}] fast-forwarded commit to snapshot [index: ${snapshot.index}, term: ${snapshot.term}]`,
    );
    log.commitTo(snapshot.index);
    return false;
  }
  log.restore(snapshot);
  restoreMembership(core, confState);
  core.configIndex = snapshot.index;
  const restored = log.lastEntryId();
  logger.info(
    `${hex(core.id)} [commit: ${log.committed}, lastindex: ${restored.index}, lastterm: ${restored.term}] restored snapshot [index: ${snapshot.index}, term: ${snapshot.term}]`,
  );
  return true;
}
