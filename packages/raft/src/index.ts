export * from './conf-change.ts';
export { type RaftConfig, type RaftOptions, type ReadOnlyOption, resolveConfig } from './config.ts';
export * from './describe.ts';
export * from './describe-config.ts';
export { entriesSize, entrySize, limitEntries, payloadSize } from './entry-size.ts';
export { type RaftLogger, silentRaftLogger } from './logger.ts';
export { MemoryStorage } from './memory-storage.ts';
export * from './messages.ts';
export type { Progress, ProgressState } from './progress.ts';
export {
  isVoter,
  type JointConfig,
  jointCommitted,
  jointVote,
  jointVoters,
  type MajorityConfig,
  majorityCommitted,
  majorityVote,
  type VoteResult,
} from './quorum.ts';
export { Raft, type SnapshotOutcome } from './raft.ts';
export type { Ready } from './ready.ts';
export type { RaftStatus } from './status.ts';
export type { RaftStorage } from './storage.ts';
export type { ProgressMap, TrackerConfig } from './tracker.ts';
