/**
 * The settings below `limits` by which a service bounds how long a caller of its client listener may take over each step, and
 * what answers that are not taken may hold. They are the same for every service, so they are written once; what they mean in
 * detail stands at `ListenerLimits`, `LaneLimits` and `AnswerMemory`.
 */
import { z } from 'zod';
import type { LaneLimits } from './lane/limits.ts';
import type { ListenerLimits } from './rpc-server-limits.ts';

const hourMs = 3_600_000;
const mebibyte = 1024 * 1024;

function duration(minMs: number, defaultMs: number) {
  return z.number().int().min(minMs).max(hourMs).default(defaultMs);
}

/** To be spread into a schema's `limits`. */
export const listenerSettings = {
  /** A connection must have said its first bytes, its TLS handshake, its HTTP/1.1 headers, its first SETTINGS by then. */
  'first-bytes-ms': duration(100, 10_000),
  /** A connection without a call is closed after this, one whose headers never end included. */
  'idle-ms': duration(1_000, 300_000),
  /** A call with one request message must have sent it by then, whatever its deadline. */
  'request-ms': duration(100, 30_000),
  /** The last bytes of an answer must have left by then, whatever the call's deadline. */
  'flush-ms': duration(100, 30_000),
  /** A reader that takes nothing for this long loses its stream. */
  'stall-ms': duration(1_000, 60_000),
  /** Bytes of answers that readers have not taken yet; reads beyond are LIMIT_EXCEEDED. */
  'answer-bytes': z
    .number()
    .int()
    .min(mebibyte)
    .max(4_096 * mebibyte)
    .default(64 * mebibyte),
  /** While answers take more than half of that, one that its reader has not taken for so long is given up, and its call ended. */
  'answer-patience-ms': duration(100, 1_000),
};

type ListenerSettings = Readonly<Record<keyof typeof listenerSettings, number>>;

/** The same as limits of an RPC server. */
export function listenerLimitsOf(
  settings: ListenerSettings,
): Pick<ListenerLimits & LaneLimits, 'firstBytesMs' | 'idleMs' | 'requestTimeoutMs' | 'flushMs' | 'stallMs'> {
  return {
    firstBytesMs: settings['first-bytes-ms'],
    idleMs: settings['idle-ms'],
    requestTimeoutMs: settings['request-ms'],
    flushMs: settings['flush-ms'],
    stallMs: settings['stall-ms'],
  };
}
