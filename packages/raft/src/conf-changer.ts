/**
 * Configuration changes as pure functions: from a configuration, the members' progress and a list of changes to the next
 * configuration and progress. Nothing is changed in place; a refused change is a DomainError with the reason.
 *
 * Simple changes touch at most one voter, so that old and new majorities overlap. `enterJoint` goes from C to (C',C);
 * `leaveJoint` goes on to C' (dissertation, sections 4.1 and 4.3). A voter of the outgoing half that shall be a learner
 * waits in `learnersNext`, for nobody may be voter and learner at once. Members that leave are forgotten at once, unless
 * the outgoing half still counts on them.
 */
import { DomainError, type LogIndex } from '@fleetmq/shared';
import type { ConfChangeSingle } from './conf-change.ts';
import { type ConfState, higherIndex, type NodeId, noIndex } from './messages.ts';
import { Progress } from './progress.ts';
import { emptyConfig, type ProgressMap, type TrackerConfig } from './tracker.ts';

export interface ChangerInput {
  readonly config: TrackerConfig;
  readonly progress: ProgressMap;
  /** Last index of the log: where new members are probed first. */
  readonly lastIndex: LogIndex;
  readonly maxInflightMsgs: number;
  readonly maxInflightBytes: number;
}

export interface ChangerResult {
  readonly config: TrackerConfig;
  readonly progress: ProgressMap;
}

/** Changes at most one voter, any number of learners. Throws INVALID_REQUEST with the reason. */
export function changeSimple(input: ChangerInput, changes: readonly ConfChangeSingle[]): ChangerResult {
  const draft = copyOf(input);
  if (isJoint(draft)) throw refused("can't apply simple config change in joint config");
  applyAll(draft, changes);
  if (differenceSize(input.config.voters.incoming, draft.incoming) > 1) {
    throw refused('more than one voter changed without entering joint config');
  }
  return checked(draft);
}

/** Any number of changes, by way of a joint configuration. Throws INVALID_REQUEST with the reason. */
export function enterJoint(
  input: ChangerInput,
  autoLeave: boolean,
  changes: readonly ConfChangeSingle[],
): ChangerResult {
  const draft = copyOf(input);
  if (isJoint(draft)) throw refused('config is already joint');
  // Members may be added to an empty configuration (bootstrap), but it has no majority to hand over from.
  if (draft.incoming.size === 0) throw refused("can't make a zero-voter config joint");
  draft.outgoing = new Set(draft.incoming);
  applyAll(draft, changes);
  draft.autoLeave = autoLeave;
  return checked(draft);
}

/** Makes the incoming half the sole configuration. Throws INVALID_REQUEST when the configuration is not joint. */
export function leaveJoint(input: ChangerInput): ChangerResult {
  const draft = copyOf(input);
  if (!isJoint(draft)) throw refused("can't leave a non-joint config");
  for (const id of draft.learnersNext) {
    draft.learners.add(id);
    progressOf(draft, id).isLearner = true;
  }
  draft.learnersNext.clear();
  for (const id of draft.outgoing) {
    if (!draft.incoming.has(id) && !draft.learners.has(id)) draft.progress.delete(id);
  }
  draft.outgoing.clear();
  draft.autoLeave = false;
  return checked(draft);
}

/** The configuration that a snapshot describes, with fresh progress for its members. */
export function restoreConfig(limits: Omit<ChangerInput, 'config' | 'progress'>, state: ConfState): ChangerResult {
  const add = (nodeId: NodeId): ConfChangeSingle => ({ type: 'ConfChangeAddNode', nodeId });
  const learn = (nodeId: NodeId): ConfChangeSingle => ({ type: 'ConfChangeAddLearnerNode', nodeId });
  const incoming = [
    ...state.votersOutgoing.map((nodeId): ConfChangeSingle => ({ type: 'ConfChangeRemoveNode', nodeId })),
    ...state.voters.map(add),
    ...state.learners.map(learn),
    ...state.learnersNext.map(learn),
  ];
  let result: ChangerResult = { config: emptyConfig, progress: new Map() };
  const isJointState = state.votersOutgoing.length > 0;
  // A joint state: build the outgoing half first, then enter the joint configuration from it with all the rest.
  for (const change of isJointState ? state.votersOutgoing.map(add) : incoming) {
    result = changeSimple({ ...limits, ...result }, [change]);
  }
  return isJointState ? enterJoint({ ...limits, ...result }, state.autoLeave, incoming) : result;
}

interface Draft {
  incoming: Set<NodeId>;
  outgoing: Set<NodeId>;
  learners: Set<NodeId>;
  learnersNext: Set<NodeId>;
  autoLeave: boolean;
  progress: Map<NodeId, Progress>;
  readonly input: ChangerInput;
}

function refused(reason: string): DomainError {
  return new DomainError('INVALID_REQUEST', reason);
}

function copyOf(input: ChangerInput): Draft {
  const { voters, learners, learnersNext, autoLeave } = input.config;
  const draft = {
    incoming: new Set(voters.incoming),
    outgoing: new Set(voters.outgoing),
    learners: new Set(learners),
    learnersNext: new Set(learnersNext),
    autoLeave,
    progress: new Map([...input.progress].map(([id, progress]) => [id, progress.clone()])),
    input,
  };
  checkInvariants(draft);
  return draft;
}

function isJoint(draft: Draft): boolean {
  return draft.outgoing.size > 0;
}

function applyAll(draft: Draft, changes: readonly ConfChangeSingle[]): void {
  for (const { type, nodeId } of changes) {
    if (nodeId === 0) continue;
    if (type === 'ConfChangeAddNode') makeVoter(draft, nodeId);
    else if (type === 'ConfChangeAddLearnerNode') makeLearner(draft, nodeId);
    else if (type === 'ConfChangeRemoveNode') removeMember(draft, nodeId);
  }
  if (draft.incoming.size === 0) throw refused('removed all voters');
}

function makeVoter(draft: Draft, id: NodeId): void {
  const progress = draft.progress.get(id) ?? addProgress(draft, id);
  progress.isLearner = false;
  draft.learners.delete(id);
  draft.learnersNext.delete(id);
  draft.incoming.add(id);
}

function makeLearner(draft: Draft, id: NodeId): void {
  const progress = draft.progress.get(id) ?? addProgress(draft, id);
  if (progress.isLearner) return;
  removeMember(draft, id);
  draft.progress.set(id, progress);
  if (draft.outgoing.has(id)) {
    draft.learnersNext.add(id);
  } else {
    progress.isLearner = true;
    draft.learners.add(id);
  }
}

function removeMember(draft: Draft, id: NodeId): void {
  draft.incoming.delete(id);
  draft.learners.delete(id);
  draft.learnersNext.delete(id);
  if (!draft.outgoing.has(id)) draft.progress.delete(id);
}

function addProgress(draft: Draft, id: NodeId): Progress {
  const { lastIndex, maxInflightMsgs, maxInflightBytes } = draft.input;
  const progress = new Progress({
    match: noIndex,
    // A guess: the new member most likely has nothing, or a snapshot that its host installed.
    next: higherIndex(lastIndex, 1 as LogIndex),
    isLearner: false,
    // Counts as heard of, or check-quorum might depose the leader before the new member had a chance to answer.
    recentActive: true,
    maxInflightMsgs,
    maxInflightBytes,
  });
  draft.progress.set(id, progress);
  return progress;
}

function progressOf(draft: Draft, id: NodeId): Progress {
  const progress = draft.progress.get(id);
  if (progress === undefined) throw refused(`no progress for ${id}`);
  return progress;
}

function differenceSize(left: ReadonlySet<NodeId>, right: ReadonlySet<NodeId>): number {
  let size = 0;
  for (const id of left) if (!right.has(id)) size++;
  for (const id of right) if (!left.has(id)) size++;
  return size;
}

function checked(draft: Draft): ChangerResult {
  checkInvariants(draft);
  return {
    config: {
      voters: { incoming: draft.incoming, outgoing: draft.outgoing },
      learners: draft.learners,
      learnersNext: draft.learnersNext,
      autoLeave: draft.autoLeave,
    },
    progress: draft.progress,
  };
}

/** Checked before and after each change. An empty configuration passes: bootstrap starts from it. */
function checkInvariants(draft: Draft): void {
  for (const set of [draft.incoming, draft.outgoing, draft.learners, draft.learnersNext]) {
    for (const id of set) progressOf(draft, id);
  }
  for (const id of draft.learnersNext) {
    if (!draft.outgoing.has(id)) throw refused(`${id} is in LearnersNext, but not Voters[1]`);
    if (progressOf(draft, id).isLearner) {
      throw refused(`${id} is in LearnersNext, but is already marked as learner`);
    }
  }
  for (const id of draft.learners) {
    if (draft.outgoing.has(id)) throw refused(`${id} is in Learners and Voters[1]`);
    if (draft.incoming.has(id)) throw refused(`${id} is in Learners and Voters[0]`);
    if (!progressOf(draft, id).isLearner) throw refused(`${id} is in Learners, but is not marked as learner`);
  }
  if (!isJoint(draft)) {
    if (draft.learnersNext.size > 0) throw refused('cfg.LearnersNext must be nil when not joint');
    if (draft.autoLeave) throw refused('AutoLeave must be false when not joint');
  }
}
