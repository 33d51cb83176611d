export * from './answers.ts';
export * from './common.ts';
export { encodeEvents } from './event-bytes.ts';
export { eventFromProto, eventToProto, snapshotFromProto, snapshotToProto } from './log.ts';
export { type DecodedSnapshot, decodeSnapshot } from './snapshot-bytes.ts';
export { SnapshotPages } from './snapshot-pages.ts';
export * from './values.ts';
