/**
 * The roles of a node and the moves between them; what is reset on each move.
 *
 * Follower: answers a leader, votes. Pre-candidate: asks whether it could win, term and vote untouched. Candidate: has
 * raised the term and voted for itself. Leader: replicates. Follower -> (pre-candidate ->) candidate -> leader, and from
 * everywhere back to follower. A vote belongs to its term: it is forgotten when the term changes and only then.
 * Callers have logged why; here is logged what.
 */
import { assert, type LogIndex, type Term } from '@fleetmq/shared';
import type { RaftCore } from './core.ts';
import { hex } from './logger.ts';
import { emptyBytes, type NodeId, noIndex, noNode, shift } from './messages.ts';
import { Progress } from './progress.ts';
import { appendEntries } from './proposals.ts';
import { ReadQueue } from './read-queue.ts';
import { progressOf } from './replication.ts';

export function becomeFollower(core: RaftCore, term: Term, lead: NodeId): void {
  reset(core, term);
  core.lead = lead;
  core.role = 'StateFollower';
  core.config.logger.info(`${hex(core.id)} became follower at term ${core.term}`);
}

export function becomePreCandidate(core: RaftCore): void {
  assert(core.role !== 'StateLeader', 'invalid transition [leader -> pre-candidate]');
  core.tracker.resetVotes();
  core.lead = noNode;
  core.role = 'StatePreCandidate';
  core.config.logger.info(`${hex(core.id)} became pre-candidate at term ${core.term}`);
}

export function becomeCandidate(core: RaftCore): void {
  assert(core.role !== 'StateLeader', 'invalid transition [leader -> candidate]');
  reset(core, (core.term + 1) as Term);
  core.vote = core.id;
  core.role = 'StateCandidate';
  core.config.logger.info(`${hex(core.id)} became candidate at term ${core.term}`);
}

export function becomeLeader(core: RaftCore): void {
  assert(core.role !== 'StateFollower', 'invalid transition [follower -> leader]');
  reset(core, core.term);
  core.lead = core.id;
  core.role = 'StateLeader';
  const own = progressOf(core, core.id);
  own.becomeReplicate();
  own.recentActive = true;
  // Whether a change of members is unapplied would take a scan of the log; until all of it is applied, assume so.
  core.pendingConfIndex = core.log.lastIndex();
  const isAppended = appendEntries(core, [{ type: 'EntryNormal', data: emptyBytes }]);
  assert(isAppended, 'empty entry was dropped');
  core.config.logger.info(`${hex(core.id)} became leader at term ${core.term}`);
}

/** Everything that belongs to one role in one term. */
function reset(core: RaftCore, term: Term): void {
  assert(term >= core.term, `the term would go back from ${core.term} to ${term}`);
  if (core.term !== term) {
    core.term = term;
    core.vote = noNode;
  }
  core.lead = noNode;
  core.electionElapsed = 0;
  core.heartbeatElapsed = 0;
  core.leadTransferee = noNode;
  core.pendingConfIndex = noIndex;
  core.uncommittedBytes = 0;
  core.reads = new ReadQueue();
  drawElectionTimeout(core);
  core.tracker.resetVotes();
  resetProgress(core);
}

function resetProgress(core: RaftCore): void {
  const last = core.log.lastIndex();
  const { maxInflightMsgs, maxInflightBytes } = core.config;
  core.tracker.replaceProgress((id, isLearner) => {
    const match: LogIndex = id === core.id ? last : noIndex;
    return new Progress({
      match,
      next: shift(last, 1),
      isLearner,
      recentActive: false,
      maxInflightMsgs,
      maxInflightBytes,
    });
  });
}

function drawElectionTimeout(core: RaftCore): void {
  const { electionTicks, random } = core.config;
  core.randomizedElectionTimeout = electionTicks + Math.floor(random() * electionTicks);
}
