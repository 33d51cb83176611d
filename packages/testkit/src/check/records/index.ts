export {
  checkRecords,
  type RecordCheckOptions,
  type RecordCounts,
  type RecordReport,
} from './check-records.ts';
export type * from './events.ts';
export type { Finding, FindingCount, FindingName } from './findings.ts';
export type { Lag, Lags } from './lag.ts';
export { RecordFile, readRecordFile } from './record-file.ts';
export { type RecordedCall, type RecorderOptions, RecordRecorder } from './recorder.ts';
export { formatReport } from './report.ts';
