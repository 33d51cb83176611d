/** Settings of one log, their defaults and their ranges. They bound every queue, table and buffer of this package. */

import { frameBytesMax, frameBytesMin } from '@fleetmq/record';
import { DomainError } from '@fleetmq/shared';

const kibibyte = 1024;
const mebibyte = 1024 * kibibyte;
const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

export interface LogConfig {
  /** A segment is rolled before it grows over this. Default 128 MiB, at most 1 GiB. */
  readonly segmentBytes: number;
  /** A segment is rolled when a batch comes this long after its first one, by append times. Default 7 days. */
  readonly segmentMs: number;
  /** Distance of index entries. Default 4096. */
  readonly indexIntervalBytes: number;
  /** Size above which the oldest segments are deleted; -1 for no bound. Default -1. */
  readonly retentionBytes: number;
  /** Age above which segments are deleted; -1 for ever. Default 7 days. */
  readonly retentionMs: number;
  /** Bytes that are appended but not yet durable; above it appends are LIMIT_EXCEEDED. Default 64 MiB. */
  readonly maxPendingBytes: number;
  /** Bytes of one vectored write. Default 8 MiB. */
  readonly maxWriteBytes: number;
  /** `unsafe-os-cache` calls durable what the operating system has taken: a power cut may lose it. Default `fsync`. */
  readonly flushPolicy: 'fsync' | 'unsafe-os-cache';
  /** A longer frame is RECORD_TOO_LARGE. Default 16 MiB, at most 64 MiB. */
  readonly maxFrameBytes: number;
  /** Most bytes that one read returns, beyond its first frame. Default 8 MiB. */
  readonly maxReadBytes: number;
  /** New log after which the recovery point is recorded: what a restart after a crash has to scan. Default 32 MiB. */
  readonly checkpointBytes: number;
  /** Callers that wait for durability. Default 100,000. */
  readonly maxWaiters: number;
  /** Producer ids that are remembered; a new one above it is LIMIT_EXCEEDED until an old one expires. Default 10,000. */
  readonly producerIdsMax: number;
  /** A producer id is forgotten this long after its last batch, by append times. Default 24 h. */
  readonly producerExpiryMs: number;
  /** An idempotency key is remembered this long, by append times. Default 10 min. */
  readonly idempotencyWindowMs: number;
  /** Idempotency keys that are remembered; above it keyed batches are LIMIT_EXCEEDED. Default 100,000. */
  readonly idempotencyKeysMax: number;
}

export const defaultLogConfig: LogConfig = {
  segmentBytes: 128 * mebibyte,
  segmentMs: 7 * 24 * hourMs,
  indexIntervalBytes: 4096,
  retentionBytes: -1,
  retentionMs: 7 * 24 * hourMs,
  maxPendingBytes: 64 * mebibyte,
  maxWriteBytes: 8 * mebibyte,
  flushPolicy: 'fsync',
  maxFrameBytes: 16 * mebibyte,
  maxReadBytes: 8 * mebibyte,
  checkpointBytes: 32 * mebibyte,
  maxWaiters: 100_000,
  producerIdsMax: 10_000,
  producerExpiryMs: 24 * hourMs,
  idempotencyWindowMs: 10 * minuteMs,
  idempotencyKeysMax: 100_000,
};

type NumericSetting = Exclude<keyof LogConfig, 'flushPolicy'>;

const yearsMs = 1000 * 365 * 24 * hourMs;

const ranges: Record<NumericSetting, readonly [number, number]> = {
  segmentBytes: [frameBytesMin, 1024 * mebibyte],
  segmentMs: [1, yearsMs],
  indexIntervalBytes: [1, 16 * mebibyte],
  retentionBytes: [-1, Number.MAX_SAFE_INTEGER],
  retentionMs: [-1, yearsMs],
  maxPendingBytes: [kibibyte, 1024 * mebibyte],
  maxWriteBytes: [kibibyte, 256 * mebibyte],
  maxFrameBytes: [kibibyte, frameBytesMax],
  maxReadBytes: [1, 128 * mebibyte],
  checkpointBytes: [1, 1024 * mebibyte],
  maxWaiters: [1, 10_000_000],
  producerIdsMax: [1, 1_000_000],
  producerExpiryMs: [1, yearsMs],
  idempotencyWindowMs: [0, yearsMs],
  idempotencyKeysMax: [1, 10_000_000],
};

/** The defaults with `settings` over them. INVALID_CONFIG names the first setting that is out of its range. */
export function logConfig(settings: Partial<LogConfig>): LogConfig {
  const config = { ...defaultLogConfig, ...settings };
  for (const [name, [least, most]] of Object.entries(ranges)) {
    const value = config[name as NumericSetting];
    if (Number.isInteger(value) && value >= least && value <= most) continue;
    throw new DomainError('INVALID_CONFIG', `${name} is ${value}, allowed are whole numbers of ${least} to ${most}`);
  }
  if (config.flushPolicy !== 'fsync' && config.flushPolicy !== 'unsafe-os-cache') {
    throw new DomainError(
      'INVALID_CONFIG',
      `flushPolicy is ${String(config.flushPolicy)}: use fsync or unsafe-os-cache`,
    );
  }
  if (config.maxFrameBytes > config.maxPendingBytes) {
    throw new DomainError('INVALID_CONFIG', `maxFrameBytes ${config.maxFrameBytes} is over maxPendingBytes`);
  }
  return config;
}
