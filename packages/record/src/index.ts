export { BatchBuilder, type BatchBuilderOptions, type RecordHeader } from './builder.ts';
export { type BuildOptions, type BuiltBatch, ClosedRecords } from './closed-records.ts';
export { clipGap, emptiedFrame, type Gap, gapBytes, gapFrame, isGap, thinnedFrame } from './compact.ts';
export {
  type BackgroundCodec,
  type Codec,
  type Codecs,
  codecsOf,
  inflateRecords,
  inflateRecordsInBackground,
  isKnownCodec,
  noCodecs,
  overInflationCap,
  requireCodec,
} from './compression.ts';
export {
  type DecodedRecord,
  decodeRecords,
  type OpenBatch,
  type OpenBatchOptions,
  openBatch,
  openBatchInBackground,
  RecordView,
  viewRecords,
} from './decode.ts';
export { batchOfFrame, FrameCursor, type FrameStatus, nextValidFrame, splitFrames } from './frames.ts';
export { type BatchHeader, readBatchHeader, readTrailer, recordsChecksum, Trailer } from './header.ts';
export { type InflateFramesOptions, type InflateOptions, inflateFrame, inflateFrames } from './inflate.ts';
export * from './layout.ts';
export {
  type BatchLimits,
  corruptBatch,
  defaultBatchLimits,
  defaultInflationLimits,
  type InflationLimits,
  inflationCap,
} from './limits.ts';
export { looseRecords } from './loose.ts';
export { frameSize, joinFrame, type LeaderFields, type SealableBatch, type SealedFrame, sealFrame } from './seal.ts';
export { type ValidatedBatch, validateProduced } from './validate.ts';
