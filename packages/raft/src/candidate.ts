/**
 * What candidates and pre-candidates do with messages of their own term: count answers to their own question, and give
 * way to a leader of the term. Answers to the question of the other role are stale and ignored, and so is a pre-vote for a
 * term that this node has entered meanwhile.
 */
import type { DomainError } from '@fleetmq/shared';
import type { RaftCore } from './core.ts';
import { campaign } from './election.ts';
import { followLeader } from './follower.ts';
import { hex } from './logger.ts';
import { type Message, noNode } from './messages.ts';
import { proposalDropped } from './proposals.ts';
import { dropRead } from './reads.ts';
import { broadcastAppend } from './replication.ts';
import { becomeFollower, becomeLeader } from './roles.ts';

export function stepCandidate(core: RaftCore, message: Message): DomainError | undefined {
  const { logger } = core.config;
  const ownAnswer = core.role === 'StatePreCandidate' ? 'MsgPreVoteResp' : 'MsgVoteResp';
  switch (message.type) {
    case 'MsgProp':
      logger.info(`${hex(core.id)} no leader at term ${core.term}; dropping proposal`);
      return proposalDropped(core);
    case 'MsgReadIndex':
      return dropRead(core);
    case 'MsgApp':
    case 'MsgHeartbeat':
    case 'MsgSnap':
      becomeFollower(core, message.term, message.from);
      followLeader(core, message);
      return undefined;
    case ownAnswer:
      if (!isOutdatedPreVote(core, message)) countVote(core, message);
      return undefined;
    case 'MsgTimeoutNow':
      logger.debug(
        `${hex(core.id)} [term ${core.term} state ${core.role}] ignored MsgTimeoutNow from ${hex(message.from)}`,
      );
      return undefined;
    default:
      return undefined;
  }
}

/** Granted for the present term when the node was not in it yet: it says nothing about the next one, which is asked for now. */
function isOutdatedPreVote(core: RaftCore, { type, from, term, reject }: Message): boolean {
  if (type !== 'MsgPreVoteResp' || reject || term > core.term) return false;
  core.config.logger.info(`${hex(core.id)} [term: ${core.term}] ignored ${type} of ${hex(from)} for term ${term}`);
  return true;
}

function countVote(core: RaftCore, message: Message): void {
  const { logger } = core.config;
  const verdict = message.reject ? ' rejection' : '';
  logger.info(`${hex(core.id)} received ${message.type}${verdict} from ${hex(message.from)} at term ${core.term}`);
  core.tracker.recordVote(message.from, !message.reject);
  const { granted, rejected, result } = core.tracker.tallyVotes();
  logger.info(`${hex(core.id)} has received ${granted} ${message.type} votes and ${rejected} vote rejections`);
  if (result === 'VoteLost') {
    // The own term, not the message's: an answer to a pre-vote carries a term that nobody has entered.
    becomeFollower(core, core.term, noNode);
  } else if (result === 'VoteWon' && core.role === 'StatePreCandidate') {
    campaign(core, 'election');
  } else if (result === 'VoteWon') {
    becomeLeader(core);
    broadcastAppend(core);
  }
}
