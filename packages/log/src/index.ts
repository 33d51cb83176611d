export { defaultLogConfig, type LogConfig, logConfig } from './config.ts';
export type { EpochEnd, EpochEntry } from './epochs.ts';
export { openLog } from './open.ts';
export { OpenSegments } from './open-segments.ts';
export type {
  AppendOutcome,
  CompactionReport,
  CompactionRequest,
  LeaderStamp,
  LogOptions,
  PartitionLog,
  ProducerExport,
  RecoveryReport,
  RetentionReport,
  TimeAnswer,
} from './partition-log.ts';
export type { ProducerState, StoredBatch } from './producers.ts';
export type { ReadAnswer, ReadRequest } from './reader.ts';
