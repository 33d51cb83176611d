/** What the leader's side of replication is given: bounds, and the ways to the followers. */
import type { Logger, Random, Timers } from '@fleetmq/shared';
import type { LaneTransport } from '@fleetmq/shared/runtime';
import type { ProgressLimits } from '../domain/progress.ts';
import type { CatchUpThrottlesOptions } from './catch-up-throttles.ts';
import type { HeartbeatLimits } from './peer-heartbeat.ts';
import type { TurnLimits } from './send-turns.ts';

export interface LinkLimits extends ProgressLimits, HeartbeatLimits, TurnLimits {
  /** Batch bytes of one message. Default 1 MiB; a single batch may be larger. */
  readonly messageBytes: number;
  /** So long a watermark that moved without data waits for data to go with. Default 50 ms. */
  readonly tickMs: number;
  /** Between two attempts to open a stream. Default 50 ms to 2 s. */
  readonly reconnect: { readonly baseMs: number; readonly maxMs: number };
  /** Before a feed that was refused is tried again. Default 100 ms to 5 s. */
  readonly retry: { readonly baseMs: number; readonly maxMs: number };
}

export const defaultLinkLimits: LinkLimits = {
  windowBytes: 4 * 1024 * 1024,
  windowMessages: 64,
  messageBytes: 1024 * 1024,
  linkWindowBytes: 16 * 1024 * 1024,
  catchUpWindowBytes: 4 * 1024 * 1024,
  tickMs: 50,
  heartbeatMs: 1_000,
  heartbeatTimeoutMs: 2_000,
  reconnect: { baseMs: 50, maxMs: 2_000 },
  retry: { baseMs: 100, maxMs: 5_000 },
};

/** Where a follower is reached, and under which registration. */
export interface FollowerAddress {
  readonly url: string;
  readonly brokerEpoch: number;
}

export interface ReplicatorOptions extends CatchUpThrottlesOptions {
  readonly localId: number;
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
  readonly limits: LinkLimits;
  readonly clusterId: () => string;
  /** Own registration. */
  readonly brokerEpoch: () => number;
  /** What is known of the metadata. */
  readonly metadataVersion: () => number;
  /** Undefined while it is not known where the broker is. */
  readonly addressOf: (brokerId: number) => FollowerAddress | undefined;
  readonly transportOf: (url: string) => LaneTransport;
}
