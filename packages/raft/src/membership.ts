/**
 * Switching the active configuration, when a change is applied or a snapshot is installed, and what follows from it: the
 * commit index may rise, new members are probed, a leader that is no voter any more steps down, a transfer to a removed
 * node ends. A change takes effect when it is applied, not when it is appended.
 */
import { AssertionFailure, assert, isDomainError, type LogIndex } from '@fleetmq/shared';
import { applyToConfig } from './conf-apply.ts';
import { asJointChange, type ConfChange } from './conf-change.ts';
import { type ChangerResult, restoreConfig } from './conf-changer.ts';
import type { RaftCore } from './core.ts';
import { describeConfig } from './describe-config.ts';
import { hex } from './logger.ts';
import { type ConfState, noNode } from './messages.ts';
import { autoLeaveProposal, proposeOnLeader } from './proposals.ts';
import { isVoter, sortedIds } from './quorum.ts';
import { releaseConfirmedReads, releaseEarlyReads } from './reads.ts';
import { broadcastAppend, maybeCommit, maybeSendAppend } from './replication.ts';
import { becomeFollower } from './roles.ts';

/**
 * Applies a committed change; undefined when the active configuration, that of a newer snapshot, holds it already. One that
 * cannot be applied was let through by a bug on some leader: the process stops.
 */
export function applyConfChange(core: RaftCore, change: ConfChange, index: LogIndex): ConfState | undefined {
  if (index <= core.configIndex) return undefined;
  core.configIndex = index;
  try {
    return switchConfig(core, applyToConfig(core, asJointChange(change)));
  } catch (error) {
    if (!isDomainError(error)) throw error;
    throw new AssertionFailure(`a committed configuration change cannot be applied: ${error.message}`);
  }
}

/** Replaces configuration and progress by what a snapshot or the stored state says. */
export function restoreMembership(core: RaftCore, state: ConfState): void {
  const { maxInflightMsgs, maxInflightBytes } = core.config;
  const lastIndex: LogIndex = core.log.lastIndex();
  const restored = restoreConfig({ lastIndex, maxInflightMsgs, maxInflightBytes }, state);
  core.tracker.resetVotes();
  const result = switchConfig(core, restored);
  assert(isEquivalent(state, result), `ConfStates not equivalent: ${JSON.stringify([state, result])}`);
}

function switchConfig(core: RaftCore, next: ChangerResult): ConfState {
  core.tracker.switchTo(next.config, next.progress);
  core.config.logger.info(`${hex(core.id)} switched to configuration ${describeConfig(next.config)}`);
  const state = core.tracker.confState();
  if (core.role !== 'StateLeader') return state;
  const own = core.tracker.progress.get(core.id);
  if (own === undefined || own.isLearner) {
    // Removed or demoted. Without the option it goes on as a leader that does not count itself, until it is deposed.
    if (core.config.stepDownOnRemoval) becomeFollower(core, core.term, noNode);
    return state;
  }
  if (state.voters.length > 0) adaptLeader(core);
  return state;
}

function adaptLeader(core: RaftCore): void {
  if (maybeCommit(core)) {
    releaseEarlyReads(core);
    broadcastAppend(core);
  } else {
    for (const id of core.tracker.progress.keys()) if (id !== core.id) maybeSendAppend(core, id, false);
  }
  releaseConfirmedReads(core);
  if (core.leadTransferee !== noNode && !isVoter(core.tracker.config.voters, core.leadTransferee)) {
    core.leadTransferee = noNode;
  }
}

/** The state machine has applied up to `index`; `bytes` is the encoded size of what was acknowledged. */
export function appliedTo(core: RaftCore, index: LogIndex, bytes: number): void {
  const applied = index > core.log.applied ? index : core.log.applied;
  core.log.appliedTo(applied, bytes);
  const { config } = core.tracker;
  if (!config.autoLeave || applied < core.pendingConfIndex || core.role !== 'StateLeader') return;
  // May be refused, during a transfer; then it is tried again at the next applied entry, here or by the next leader.
  const error = proposeOnLeader(core, [autoLeaveProposal]);
  if (error === undefined) {
    core.config.logger.info(`initiating automatic transition out of joint configuration ${describeConfig(config)}`);
  } else {
    core.config.logger.debug(
      `not initiating automatic transition out of joint configuration ${describeConfig(config)}: ${error.message}`,
    );
  }
}

function isEquivalent(left: ConfState, right: ConfState): boolean {
  const canonical = (state: ConfState): string =>
    JSON.stringify([
      sortedIds(state.voters),
      sortedIds(state.learners),
      sortedIds(state.votersOutgoing),
      sortedIds(state.learnersNext),
      state.autoLeave,
    ]);
  return canonical(left) === canonical(right);
}
