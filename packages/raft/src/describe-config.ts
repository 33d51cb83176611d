/**
 * Text forms of configuration, progress and configuration changes, for log lines and transcripts. The wording is that of
 * etcd's Raft library, which the transcripts compare letter by letter. Members are decimal here, as there.
 */
import type { ConfChange, ConfChangeSingle } from './conf-change.ts';
import type { NodeId } from './messages.ts';
import type { Progress } from './progress.ts';
import { type JointConfig, type MajorityConfig, sortedIds } from './quorum.ts';
import type { ProgressMap, TrackerConfig } from './tracker.ts';

/** `(1 2 3)` */
export function describeMajority(config: MajorityConfig): string {
  return `(${sortedIds(config).join(' ')})`;
}

/** `(1 2)&&(1)`; without the second half when it is empty. */
export function describeVoters(config: JointConfig): string {
  const incoming = describeMajority(config.incoming);
  return config.outgoing.size > 0 ? `${incoming}&&${describeMajority(config.outgoing)}` : incoming;
}

/** `voters=(1 2)&&(1) learners=(3) learners_next=(4) autoleave` */
export function describeConfig(config: TrackerConfig): string {
  let text = `voters=${describeVoters(config.voters)}`;
  if (config.learners.size > 0) text += ` learners=${describeMajority(config.learners)}`;
  if (config.learnersNext.size > 0) text += ` learners_next=${describeMajority(config.learnersNext)}`;
  return config.autoLeave ? `${text} autoleave` : text;
}

/** `StateReplicate match=3 next=5 inflight=1` */
export function describeProgress(progress: Progress): string {
  let text = `${progress.state} match=${progress.match} next=${progress.next}`;
  if (progress.isLearner) text += ' learner';
  if (progress.isPaused) text += ' paused';
  if (progress.pendingSnapshot > 0) text += ` pendingSnap=${progress.pendingSnapshot}`;
  if (!progress.recentActive) text += ' inactive';
  const { inflights } = progress;
  if (inflights.count > 0) text += ` inflight=${inflights.count}${inflights.isFull ? '[full]' : ''}`;
  return text;
}

/** One line per member, in ascending order. */
export function describeProgressMap(progress: ProgressMap): string {
  return sortedIds(progress.keys())
    .map((id: NodeId) => `${id}: ${describeProgress(progress.get(id) as Progress)}\n`)
    .join('');
}

const letters = {
  ConfChangeAddNode: 'v',
  ConfChangeAddLearnerNode: 'l',
  ConfChangeRemoveNode: 'r',
  ConfChangeUpdateNode: 'u',
} as const;

/** `v1 l2 r3 u4` */
export function describeChanges(changes: readonly ConfChangeSingle[]): string {
  return changes.map(({ type, nodeId }) => `${letters[type]}${nodeId}`).join(' ');
}

/** A change as log lines print it: `{ConfChangeTransitionAuto [{ConfChangeAddNode 2}] []}`. */
export function describeConfChange(change: ConfChange): string {
  const context = `[${change.context.join(' ')}]`;
  if (change.kind === 'one-step') return `{${change.type} ${change.nodeId} ${context} 0}`;
  const changes = change.changes.map(({ type, nodeId }) => `{${type} ${nodeId}}`).join(' ');
  return `{${change.transition} [${changes}] ${context}}`;
}
