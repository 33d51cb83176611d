/**
 * From a seed to a whole fleet: its sizes, its topics, who produces and reads, which faults there are and how often. What is
 * said of controllers is drawn as in their own scenario; most kinds of faults are off in each seed (swarm testing).
 */
import { type Random, seededRandom } from '@fleetmq/shared';
import { type ControllersSeed, calmNetwork, controllersSeed } from '../seed.ts';

export const fleetFaultKinds = [
  'kill',
  'power-loss',
  'power-loss-of-two',
  'power-loss-of-all',
  'controlled-stop',
  'pause',
  'pause-leader',
  'isolate',
  'isolate-leader',
  'cut-from-controllers',
  'cut-pair',
  'one-way',
  'split',
  'slow-disk',
  'failing-disk',
  'full-disk',
  'bit-rot',
  'misdirected-write',
  'clock-jump',
  'transfer',
  'reassign',
  'controller-kill',
  'controller-power-loss',
  'controller-pause',
  'controller-isolate',
  'gateway-kill',
  'client-cut',
] as const;

export type FleetFaultKind = (typeof fleetFaultKinds)[number];

export type SimAcks = 'leader' | 'majority' | 'all';

export interface FleetSeed extends ControllersSeed {
  readonly fleetFaults: readonly FleetFaultKind[];
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly minInsyncReplicas: number;
  readonly logSegmentBytes: number;
  /** One producer for each. */
  readonly producers: readonly {
    readonly acks: SimAcks;
    readonly viaGateway: boolean;
    readonly compression: 'none' | 'lz4';
  }[];
  readonly consumers: readonly { readonly viaGateway: boolean }[];
  /** Mean time between two bursts of one producer. */
  readonly sendEveryMs: number;
  /** Records of a burst, at most. */
  readonly burstMax: number;
  /** Mean time after which a consumer begins anew. */
  readonly consumerLastsMs: number;
  readonly lagTimeMaxMs: number;
  /** Bytes that may be under way in one direction of a stream. */
  readonly streamBytes: number;
  /** Writes of the logs are durable when they are done, as on Linux; else a sync follows. */
  readonly durableWrites: boolean;
  /** Silent peers are found out after this. */
  readonly keepaliveMs: number;
}

/** Some of it, chosen by hand. */
export type FleetSeedPart = Partial<Omit<FleetSeed, 'seed'>>;

export function fleetSeed(seed: number): FleetSeed {
  const random: Random = seededRandom(seed ^ 0x5f1ee7);
  const pick = <Value>(...values: readonly Value[]): Value =>
    values[Math.floor(random.next() * values.length)] as Value;
  const chance = (rate: number): boolean => random.next() < rate;
  const base = controllersSeed(seed);
  const drawn = fleetFaultKinds.filter(() => chance(0.25));
  const brokers = pick(3, 3, 4);
  const replicationFactor = pick(3, 3, 3, 2);
  const acks = (): SimAcks => pick('all', 'all', 'majority', 'leader');
  const client = () => ({ viaGateway: chance(0.5) });
  return {
    ...base,
    controllers: 3,
    spares: 0,
    operators: 'none',
    brokers,
    clients: 0,
    lockstep: false,
    heartbeatMs: pick(300, 400),
    electionMs: 1_500,
    snapshotEntries: pick(50, 200),
    segmentBytes: 16_384,
    sessionTimeoutMs: 3_000,
    brokerHeartbeatMs: pick(500, 900),
    network: {
      ...calmNetwork(pick(0.2, 1, 5), pick(1, 5, 20)),
      lossRate: chance(0.2) ? pick(0.005, 0.02) : 0,
      straggleRate: chance(0.3) ? pick(0.002, 0.01) : 0,
      straggleMs: pick(500, 3_000),
    },
    clockDrift: chance(0.5) ? 0 : 0.01,
    fleetFaults: drawn.length === 0 ? ['kill'] : drawn,
    faultEveryMs: pick(2_000, 4_000, 8_000),
    faultLastsMs: pick(500, 2_000, 6_000),
    partitions: pick(1, 2, 3),
    replicationFactor,
    minInsyncReplicas: replicationFactor === 2 ? pick(1, 2) : pick(1, 2, 2),
    logSegmentBytes: pick(4_096, 8_192, 65_536),
    producers: Array.from({ length: pick(1, 2, 3) }, () => ({
      ...client(),
      acks: acks(),
      compression: pick('none', 'none', 'lz4'),
    })),
    consumers: Array.from({ length: pick(1, 2) }, client),
    sendEveryMs: pick(150, 400, 1_000),
    burstMax: pick(1, 5, 20),
    consumerLastsMs: pick(5_000, 20_000, 120_000),
    lagTimeMaxMs: pick(1_000, 3_000, 5_000),
    streamBytes: pick(16_384, 262_144, 1_048_576),
    durableWrites: chance(0.5),
    keepaliveMs: 8_000,
    faultsMs: 60_000,
    healMs: 60_000,
  };
}
