/**
 * From a seed to everything that a run is: how many nodes, how fast they are, which faults there are and how often. Each
 * seed switches most kinds of faults off (swarm testing, Groce et al. 2012): a fault that is always there hides what is
 * only found without it.
 */
import { type Random, seededRandom } from '@fleetmq/shared';
import type { NetworkConditions } from './links.ts';

export const faultKinds = [
  'kill',
  'power-loss',
  'power-loss-of-all',
  'crash-at-failpoint',
  'clean-stop',
  'pause',
  'pause-leader',
  'isolate',
  'isolate-leader',
  'split',
  'one-way',
  'bridge',
  'slow-disk',
  'failing-disk',
  'full-disk',
  'wiped-disk',
  'bit-rot',
  'lost-file',
  'misdirected-write',
  'clock-jump',
  'transfer',
  'crash-in-change',
  'isolate-in-change',
  'crash-learner',
  'broker-crash',
  'broker-cut',
] as const;

export type FaultKind = (typeof faultKinds)[number];

export interface ControllersSeed {
  readonly seed: number;
  /** First voters. */
  readonly controllers: number;
  /** Controllers that may be added. */
  readonly spares: number;
  readonly brokers: number;
  readonly clients: number;
  readonly heartbeatMs: number;
  readonly electionMs: number;
  readonly snapshotEntries: number;
  readonly segmentBytes: number;
  readonly sessionTimeoutMs: number;
  readonly brokerHeartbeatMs: number;
  readonly network: NetworkConditions;
  /** Clocks run between 1 - this and 1 + this. */
  readonly clockDrift: number;
  /** All controllers begin in the same moment, on clocks and links that are all alike. */
  readonly lockstep: boolean;
  /** Faults that this seed has. */
  readonly faults: readonly FaultKind[];
  /** Mean time between faults. */
  readonly faultEveryMs: number;
  /** Mean length of a fault. */
  readonly faultLastsMs: number;
  /** Mean time between the operations of one client. */
  readonly operationEveryMs: number;
  /** What operators do about the members: change them, replace those whose disks are gone, or nothing. */
  readonly operators: 'change' | 'replace' | 'none';
  /** Mean time between two things that operators do. */
  readonly memberChangeEveryMs: number;
  /** Of each unsynced piece, how many survive a power loss. */
  readonly keptOnPowerLoss: number;
  /** Length of the phase with faults. */
  readonly faultsMs: number;
  /** Everything must be well again so long after the last fault was healed. */
  readonly healMs: number;
}

/** Some of it, chosen by hand. */
export type SeedPart = Partial<Omit<ControllersSeed, 'seed'>>;

export function controllersSeed(seed: number): ControllersSeed {
  const random = seededRandom(seed);
  const pick = <Value>(...values: readonly Value[]): Value =>
    values[Math.floor(random.next() * values.length)] as Value;
  const chance = (rate: number): boolean => random.next() < rate;
  const lockstep = chance(0.05);
  const heartbeatMs = pick(200, 250, 300);
  const faults = faultKinds.filter(() => chance(0.35));
  const operators = pick('change', 'change', 'change', 'change', 'replace', 'replace', 'none');
  const changesMembers = operators === 'change';
  return {
    seed,
    spares: changesMembers ? pick(0, 1, 1, 2) : 0,
    operators,
    memberChangeEveryMs: pick(1_000, 2_000, 4_000),
    controllers: pick(3, 3, 3, 5, 5, chance(0.3) ? 1 : 3),
    brokers: pick(2, 3, 3),
    clients: pick(1, 2, 3),
    heartbeatMs,
    electionMs: heartbeatMs * pick(3, 5, 8),
    snapshotEntries: pick(10, 20, 50, 200),
    segmentBytes: pick(4_096, 4_096, 16_384),
    sessionTimeoutMs: pick(2_000, 3_000),
    brokerHeartbeatMs: pick(500, 900),
    network: lockstep ? calmNetwork(2, 0) : someNetwork(chance, pick),
    clockDrift: lockstep || chance(0.5) ? 0 : pick(0.01, 0.1),
    lockstep,
    // A seed without any fault would show nothing: then the leader is cut off.
    faults: faults.length === 0 ? ['isolate-leader'] : faults,
    faultEveryMs: pick(500, 1_000, 2_000, 4_000),
    faultLastsMs: pick(300, 1_000, 3_000),
    operationEveryMs: pick(200, 500, 1_000),
    keptOnPowerLoss: pick(0, 0.1, 0.5, 0.9, 1),
    faultsMs: 30_000,
    // A broker may ask one removed controller after the other, each with some patience, before it finds a member.
    healMs: operators === 'none' ? 40_000 : 80_000,
  };
}

export function calmNetwork(delayMs = 1, delaySpreadMs = 3): NetworkConditions {
  return { delayMs, delaySpreadMs, lossRate: 0, duplicateRate: 0, straggleRate: 0, straggleMs: 0 };
}

function someNetwork(
  chance: (rate: number) => boolean,
  pick: <Value>(...values: readonly Value[]) => Value,
): NetworkConditions {
  return {
    delayMs: pick(0.2, 1, 5),
    delaySpreadMs: pick(1, 5, 20, 60),
    lossRate: chance(0.4) ? pick(0.01, 0.05, 0.2) : 0,
    duplicateRate: chance(0.4) ? pick(0.01, 0.1) : 0,
    straggleRate: chance(0.4) ? pick(0.005, 0.02) : 0,
    straggleMs: pick(500, 3_000, 10_000),
  };
}

/** Independent sources of chance for the parts of a run, so that a change of one part leaves the others alone. */
export function streamsOf(seed: number): (name: string) => Random {
  return (name) => {
    let hash = seed | 0;
    for (let position = 0; position < name.length; position++) {
      hash = Math.imul(hash ^ name.charCodeAt(position), 0x01000193) ^ (hash >>> 15);
    }
    return seededRandom(hash);
  };
}
