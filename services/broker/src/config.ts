/**
 * Settings of a broker: names, types, ranges, defaults. Read once, by `main.ts`; tests make the value themselves.
 *
 * Memory. Beside Node's own (about 90 MB) a broker holds at most: records that wait for its disk (`pending-bytes`), answers
 * that readers have not taken (`answer-bytes`), what is read or inflated at the moment (up to 33 answers), what followers have
 * sent (one link window per leader), and what HTTP/2 buffers per connection. docs/operations.md says what that comes to.
 */
import { listenerSettings, logLevels } from '@fleetmq/shared/runtime';
import { z } from 'zod';

const host = z.string().min(1);
const port = z.number().int().min(0).max(65_535);
const idMax = 2 ** 31 - 1;
const kibibyte = 1024;
const mebibyte = 1024 * kibibyte;

/** Where others reach a listener; what is absent is as it listens. */
const advertised = z.strictObject({ host: host.optional(), port: port.optional() });

export const brokerSchema = z.strictObject({
  node: z.strictObject({
    /** Number of this broker in its cluster. */
    id: z.number().int().min(1).max(idMax),
    /** Failure domain: replicas of a partition are spread over racks. Empty: none. */
    rack: z.string().max(256).default(''),
  }),
  data: z.strictObject({
    folder: z.string().min(1).default('./data/broker'),
  }),
  security: z.strictObject({
    /** Without a default: whoever runs without logins says so. */
    mode: z.enum(['open', 'secured']),
  }),
  listen: z.strictObject({
    client: z.strictObject({ host: host.default('127.0.0.1'), port: port.default(7610) }),
    internal: z.strictObject({ host: host.default('127.0.0.1'), port: port.default(7611) }),
    ops: z.strictObject({ host: host.default('127.0.0.1'), port: port.default(7619) }),
  }),
  advertise: z.strictObject({ client: advertised, internal: advertised }),
  /** "host:port,host:port": internal listeners of the controllers. */
  controllers: z.string().min(1),
  broker: z.strictObject({
    /** Between heartbeats, until the controllers say otherwise. */
    'heartbeat-ms': z.number().int().min(10).max(60_000).default(500),
    /** How long a stop waits until the leaderships are handed over. */
    'drain-ms': z.number().int().min(0).max(600_000).default(10_000),
    /** Retention is applied this often. */
    'retention-check-ms': z.number().int().min(100).max(3_600_000).default(30_000),
    /** So much of the logs is read again, to find damage before it is needed; 0: none. */
    'scrub-bytes-per-second': z
      .number()
      .int()
      .min(0)
      .max(1_024 * mebibyte)
      .default(4 * mebibyte),
    /** At most once in this time every log is read. */
    'scrub-round-ms': z.number().int().min(1_000).max(2_147_483_647).default(86_400_000),
    /** Logs of compacted topics are looked at this often. */
    'compaction-check-ms': z.number().int().min(100).max(3_600_000).default(15_000),
    /** Compaction reads so much of the logs at most, and writes no more than that; 0: it does not take place. */
    'compaction-bytes-per-second': z
      .number()
      .int()
      .min(0)
      .max(1_024 * mebibyte)
      .default(16 * mebibyte),
    /** Memory for the keys of the log that is compacted; what has more keys takes several passes. */
    'compaction-key-bytes': z
      .number()
      .int()
      .min(16 * mebibyte)
      .max(1_024 * mebibyte)
      .default(16 * mebibyte),
    /** High watermarks are written down this often. */
    'watermark-checkpoint-ms': z.number().int().min(100).max(600_000).default(5_000),
  }),
  replica: z.strictObject({
    /** A follower that was not caught up for this long leaves the in-sync replicas. */
    'lag-time-max-ms': z.number().int().min(100).max(600_000).default(5_000),
    /** A follower broker that has said nothing for this long is asked whether it is there. */
    'heartbeat-ms': z.number().int().min(10).max(60_000).default(1_000),
    /** It has this long to answer; then its stream is opened anew, and it does not count as caught up. */
    'heartbeat-timeout-ms': z.number().int().min(10).max(60_000).default(2_000),
    /** Batch bytes that may be unanswered per partition and follower. */
    'window-bytes': z
      .number()
      .int()
      .min(64 * kibibyte)
      .max(64 * mebibyte)
      .default(4 * mebibyte),
    /** What this broker sends to followers that are not in sync, all together. They never get in sync if more is written. 0: no bound. */
    'catch-up-bytes-per-second': z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).default(0),
    /** Batch bytes that may be unanswered per follower broker that is in sync; a quarter of it per one that catches up. */
    'link-window-bytes': z
      .number()
      .int()
      .min(64 * kibibyte)
      .max(256 * mebibyte)
      .default(16 * mebibyte),
  }),
  limits: z.strictObject({
    /** Replicas that this broker holds. */
    partitions: z.number().int().min(1).max(100_000).default(10_000),
    /** Sealed segments of all logs whose file is open; each log that was written to has one open file more. */
    'open-segments': z.number().int().min(16).max(1_000_000).default(2_000),
    /** Bytes of all logs that wait for the disk; produce requests beyond are LIMIT_EXCEEDED. */
    'pending-bytes': z
      .number()
      .int()
      .min(mebibyte)
      .max(4_096 * mebibyte)
      .default(64 * mebibyte),
    /** The same for one log. */
    'pending-bytes-per-log': z
      .number()
      .int()
      .min(mebibyte)
      .max(1_024 * mebibyte)
      .default(32 * mebibyte),
    /** Reads that wait to be inflated, for readers that do not take the codec; further ones are LIMIT_EXCEEDED. */
    'inflations-waiting': z.number().int().min(1).max(1_000).default(16),
    /** Memory of messages that is kept for the next ones; beyond it is left to the garbage collector. */
    'idle-buffer-bytes': z
      .number()
      .int()
      .min(0)
      .max(1_024 * mebibyte)
      .default(32 * mebibyte),
    /** Requests of one partition that wait for acknowledgments, per ack rule. */
    'ack-waiters': z.number().int().min(1).max(1_000_000).default(10_000),
    /** Open subscriptions. */
    subscriptions: z.number().int().min(1).max(1_000_000).default(10_000),
    /** Readers that are parked at one partition. */
    'parked-readers': z.number().int().min(1).max(1_000_000).default(10_000),
    /** Unanswered requests of one ProduceStream. */
    'stream-requests': z.number().int().min(1).max(100_000).default(1_024),
    /** Unanswered bytes of one ProduceStream. */
    'stream-bytes': z
      .number()
      .int()
      .min(64 * kibibyte)
      .max(64 * mebibyte)
      .default(8 * mebibyte),
    ...listenerSettings,
  }),
  log: z.strictObject({
    level: z.enum(logLevels).default('info'),
  }),
});

export type BrokerConfig = z.output<typeof brokerSchema>;
