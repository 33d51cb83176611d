/**
 * Elections: who may start one, what is asked of whom, and who gets a vote.
 *
 * A vote is cast at most once per term, for a log that is up to date, and leaves only when it is durable (send.ts).
 * A pre-vote changes nothing on the node that casts it and may be given to many. Learners vote when they are asked: they
 * may be voters who do not know it yet, and an election could hang on them. Answers repeat the term of the question, or
 * a pre-candidate with a higher term ahead would drop them as outdated.
 * Source: dissertation, sections 3.4, 3.6, 9.6 and 4.2.3.
 */
import type { Term } from '@fleetmq/shared';
import { isPromotable, type RaftCore } from './core.ts';
import { hex } from './logger.ts';
import { type EntryId, type Message, type MessageType, noNode } from './messages.ts';
import { isVoter, jointVoters } from './quorum.ts';
import { becomeCandidate, becomeFollower, becomePreCandidate } from './roles.ts';
import { send } from './send.ts';

/** `transfer`: the leader asked for it; no pre-vote, and the lease of check-quorum does not count. */
export type CampaignType = 'pre-election' | 'election' | 'transfer';

/** Starts an election, unless this node leads, may not lead, or has changes of members to apply first. */
export function startElection(core: RaftCore, type: CampaignType): void {
  const { logger } = core.config;
  if (core.role === 'StateLeader') {
    logger.debug(`${hex(core.id)} ignoring MsgHup because already leader`);
    return;
  }
  if (!isPromotable(core)) {
    logger.warn(`${hex(core.id)} is unpromotable and can not campaign`);
    return;
  }
  // A leader must know the configuration that holds at the end of its committed log.
  if (hasUnappliedConfChange(core)) {
    logger.warn(
      `${hex(core.id)} cannot campaign at term ${core.term} since there are still pending configuration changes to apply`,
    );
    return;
  }
  logger.info(`${hex(core.id)} is starting a new election at term ${core.term}`);
  campaign(core, type);
}

/** The type of election that a timeout starts. */
export function timeoutCampaign(core: RaftCore): CampaignType {
  return core.config.preVote ? 'pre-election' : 'election';
}

export function campaign(core: RaftCore, type: CampaignType): void {
  let question: MessageType = 'MsgVote';
  if (type === 'pre-election') {
    becomePreCandidate(core);
    question = 'MsgPreVote';
  } else {
    becomeCandidate(core);
  }
  const term = (type === 'pre-election' ? core.term + 1 : core.term) as Term;
  const last = core.log.lastEntryId();
  for (const to of jointVoters(core.tracker.config.voters)) {
    if (to === core.id) {
      // Its own vote, which counts once it is durable.
      send(core, answerType(question), { to, term });
      continue;
    }
    core.config.logger.info(
      `${hex(core.id)} ${describeLast(last)} sent ${question} request to ${hex(to)} at term ${core.term}`,
    );
    send(core, question, { to, term, index: last.index, logTerm: last.term, transfer: type === 'transfer' });
  }
}

/** A request of a term that has a leader, as far as this node knows, is ignored: the leader's lease has not run out. */
export function isInLease(core: RaftCore, message: Message): boolean {
  const { checkQuorum, electionTicks, logger } = core.config;
  if (message.transfer || !checkQuorum || core.lead === noNode || core.electionElapsed >= electionTicks) return false;
  logger.info(
    `${describeRequest(core, 'ignored', message)}: lease is not expired (remaining ticks: ${electionTicks - core.electionElapsed})`,
  );
  return true;
}

/** Answers MsgVote of the own term, and MsgPreVote of any term that is not lower. */
export function answerVote(core: RaftCore, message: Message): void {
  const { type, from } = message;
  const canVote =
    core.vote === from ||
    (core.vote === noNode && core.lead === noNode) ||
    (type === 'MsgPreVote' && message.term > core.term);
  if (!canVote || !core.log.isUpToDate({ index: message.index, term: message.logTerm })) {
    refuseVote(core, message);
    return;
  }
  core.config.logger.info(describeRequest(core, 'cast', message));
  send(core, answerType(type), { to: from, term: message.term });
  if (type === 'MsgVote') {
    core.electionElapsed = 0;
    core.vote = from;
  }
}

/**
 * Answers with the own term, so that the asker can catch up. A node that was removed, or made a learner, adds what it knows
 * to be committed: the asker may not have heard of the change and depend on this node's vote, which a longer log forbids
 * for good. With the commit index the asker applies the change, and depends on it no more.
 */
export function refuseVote(core: RaftCore, message: Message): void {
  core.config.logger.info(describeRequest(core, 'rejected', message));
  // A node that never heard of a term has none to answer with; the asker's timeout does the rest.
  if (core.term === 0) return;
  send(core, answerType(message.type), {
    to: message.from,
    term: core.term,
    reject: true,
    committedEntry: isVoter(core.tracker.config.voters, core.id) ? undefined : core.log.committedEntryId(),
  });
}

/** Takes over the commit index that came with a refusal, when the own log has the entry that it names. */
export function learnCommit(core: RaftCore, { committedEntry }: Message): void {
  if (committedEntry === undefined || core.role === 'StateLeader' || !core.log.maybeCommit(committedEntry)) return;
  // The members may not change under an election: it ends here, and the next one counts the new members.
  if (core.role !== 'StateFollower' && hasUnappliedConfChange(core)) becomeFollower(core, core.term, noNode);
}

function hasUnappliedConfChange(core: RaftCore): boolean {
  return core.log.someUnapplied((entry) => entry.type !== 'EntryNormal');
}

function answerType(question: MessageType): MessageType {
  return question === 'MsgPreVote' ? 'MsgPreVoteResp' : 'MsgVoteResp';
}

function describeLast(id: EntryId): string {
  return `[logterm: ${id.term}, index: ${id.index}]`;
}

function describeRequest(core: RaftCore, verb: 'cast' | 'rejected' | 'ignored', message: Message): string {
  const { term, index } = core.log.lastEntryId();
  const own = `${hex(core.id)} [logterm: ${term}, index: ${index}, vote: ${hex(core.vote)}]`;
  const preposition = verb === 'cast' ? 'for' : 'from';
  const asker = describeLast({ index: message.index, term: message.logTerm });
  return `${own} ${verb} ${message.type} ${preposition} ${hex(message.from)} ${asker} at term ${core.term}`;
}
