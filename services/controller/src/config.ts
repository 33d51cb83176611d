/** Settings of a controller: names, types, ranges, defaults. Read once, by `main.ts`; tests make the value themselves. */
import { logLevels } from '@fleetmq/shared/runtime';
import { z } from 'zod';

const host = z.string().min(1);
const port = z.number().int().min(0).max(65_535);
const idMax = 2 ** 31 - 1;
const mebibyte = 1024 * 1024;

export const controllerSchema = z.strictObject({
  node: z.strictObject({
    /** Of this controller; one of quorum.peers. */
    id: z.number().int().min(1).max(idMax),
    /** Failure domain, for people. */
    rack: z.string().max(256).default(''),
  }),
  data: z.strictObject({
    folder: z.string().min(1).default('./data/controller'),
  }),
  security: z.strictObject({
    /** Without a default: whoever runs without logins says so. */
    mode: z.enum(['open', 'secured']),
  }),
  listen: z.strictObject({
    internal: z.strictObject({ host: host.default('127.0.0.1'), port: port.default(7621) }),
    ops: z.strictObject({ host: host.default('127.0.0.1'), port: port.default(7629) }),
  }),
  quorum: z.strictObject({
    /**
     * "1@host:port,2@host:port,3@host:port": every first voter, this one included, as the others reach it. Once members were
     * added or removed, what the controllers have agreed on takes its place. With quorum.join: members to be added to.
     */
    peers: z.string().min(1),
    /** This controller, with an empty data folder, waits to be added to a quorum; later starts ignore it. */
    join: z.boolean().default(false),
  }),
  raft: z.strictObject({
    /** A follower that hears nothing for this long (up to twice as long, at random) starts an election. */
    'election-timeout-ms': z.number().int().min(50).max(60_000).default(1_000),
    /** Between heartbeats of the leader; at most half of the election timeout. */
    'heartbeat-ms': z.number().int().min(5).max(10_000).default(100),
    /** A snapshot of the metadata replaces the log every so many entries. */
    'snapshot-entries': z.number().int().min(10).max(10_000_000).default(10_000),
    /** Size at which a file of the log is closed and a new one begun. */
    'segment-bytes': z
      .number()
      .int()
      .min(4_096)
      .max(1_024 * mebibyte)
      .default(16 * mebibyte),
    /** At most so many bytes of a snapshot go to one other controller. */
    'snapshot-bytes-per-second': z
      .number()
      .int()
      .min(64 * 1024)
      .max(2 ** 40)
      .default(64 * 1024 * 1024),
    /** Largest snapshot that is taken from a leader. */
    'snapshot-bytes-max': z
      .number()
      .int()
      .min(mebibyte)
      .max(1_024 * mebibyte)
      .default(256 * mebibyte),
  }),
  broker: z.strictObject({
    /** A broker without a heartbeat for this long is fenced. */
    'session-timeout-ms': z.number().int().min(100).max(600_000).default(3_000),
    /** What brokers are told to send heartbeats by. */
    'heartbeat-ms': z.number().int().min(10).max(60_000).default(500),
  }),
  balance: z.strictObject({
    /** Leaderships go back to their preferred replicas this often, where these are in sync; 0: only when an operator wants it. */
    'interval-ms': z.number().int().min(0).max(86_400_000).default(300_000),
    /** Only those of brokers that miss more than so many percent of the leaderships that are their own. */
    'imbalance-percent': z.number().int().min(0).max(100).default(10),
  }),
  limits: z.strictObject({
    /** Partitions of one topic. */
    'partitions-per-topic': z.number().int().min(1).max(100_000).default(10_000),
    /** Partitions of all topics together. */
    partitions: z.number().int().min(1).max(2_000_000).default(200_000),
    /** Topics. */
    topics: z.number().int().min(1).max(1_000_000).default(20_000),
    /** Commands that wait for the quorum. */
    proposals: z.number().int().min(1).max(100_000).default(1_000),
    /** Open watches of the metadata. */
    watches: z.number().int().min(1).max(100_000).default(1_000),
    /** Events that are kept for watchers that come back. */
    'watch-history-events': z.number().int().min(100).max(10_000_000).default(100_000),
    /** Below this much free space ordinary commands are refused, so that votes and hand-overs go on. */
    'disk-reserve-bytes': z
      .number()
      .int()
      .min(0)
      .default(64 * mebibyte),
  }),
  log: z.strictObject({
    level: z.enum(logLevels).default('info'),
  }),
});

export type ControllerConfig = z.output<typeof controllerSchema>;
