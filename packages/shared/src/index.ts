export { AssertionFailure, assert, unreachable } from './assert.ts';
export { type BackoffOptions, backoffMs } from './backoff.ts';
export * from './bytes.ts';
export { tableChecksum } from './crc32.ts';
export * from './errors.ts';
export * from './ids.ts';
export * from './ports.ts';
export { seededRandom } from './prng.ts';
export { Ring } from './ring.ts';
