/**
 * Time. One call is one tick, whose length is the host's choice. Followers and candidates count towards an election,
 * leaders towards heartbeats and the check of their quorum.
 */
import type { RaftCore } from './core.ts';
import { isPromotable } from './core.ts';
import { createMessage, noNode } from './messages.ts';
import { step } from './step.ts';

export function tick(core: RaftCore): void {
  if (core.role === 'StateLeader') tickLeader(core);
  else tickElection(core);
}

function tickElection(core: RaftCore): void {
  core.electionElapsed++;
  if (!isPromotable(core) || core.electionElapsed < core.randomizedElectionTimeout) return;
  core.electionElapsed = 0;
  step(core, createMessage('MsgHup', { from: core.id }));
}

function tickLeader(core: RaftCore): void {
  const { electionTicks, heartbeatTicks, checkQuorum } = core.config;
  core.heartbeatElapsed++;
  core.electionElapsed++;
  core.transferElapsed++;
  // A transfer that did not succeed by now is given up, and proposals are taken again.
  if (core.transferElapsed >= electionTicks) core.leadTransferee = noNode;
  if (core.electionElapsed >= electionTicks) {
    core.electionElapsed = 0;
    if (checkQuorum) step(core, createMessage('MsgCheckQuorum', { from: core.id }));
  }
  if (core.role !== 'StateLeader' || core.heartbeatElapsed < heartbeatTicks) return;
  core.heartbeatElapsed = 0;
  step(core, createMessage('MsgBeat', { from: core.id }));
}
