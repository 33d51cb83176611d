/** A view of a core for operators and callers: copies, so that nobody can reach into it. */
import type { LogIndex } from '@fleetmq/shared';
import { hardStateOf, type RaftCore, softStateOf } from './core.ts';
import { type HardState, type NodeId, noIndex, type SoftState } from './messages.ts';
import type { Progress } from './progress.ts';
import type { ProgressMap, TrackerConfig } from './tracker.ts';

export interface RaftStatus extends SoftState, HardState {
  readonly id: NodeId;
  readonly applied: LogIndex;
  readonly lastIndex: LogIndex;
  /** Index of the snapshot that is being installed; 0 for none. */
  readonly pendingSnapshot: LogIndex;
  /** Target of a transfer under way; 0 for none. */
  readonly leadTransferee: NodeId;
  readonly config: TrackerConfig;
  /** Per member, on a leader; else empty. */
  readonly progress: ProgressMap;
}

export function statusOf(core: RaftCore): RaftStatus {
  const isLeader = core.role === 'StateLeader';
  const members: [NodeId, Progress][] = isLeader
    ? [...core.tracker.progress].map(([id, progress]) => [id, progress.clone()])
    : [];
  return {
    id: core.id,
    ...softStateOf(core),
    ...hardStateOf(core),
    applied: core.log.applied,
    lastIndex: core.log.lastIndex(),
    pendingSnapshot: core.log.unstable.snapshot?.index ?? noIndex,
    leadTransferee: core.leadTransferee,
    config: core.tracker.config,
    progress: new Map(members),
  };
}
