/**
 * Where new partitions go. For each partition a set of brokers is chosen, then its order: the first is the preferred
 * leader. Deterministic: equal load gives equal assignments.
 *
 * Rules, in this order: brokers in service before fenced ones; a rack that has fewer of the partition's replicas; a broker
 * that holds fewer replicas; a turn that moves on with each partition, so that equal brokers take turns and the pairs vary.
 * Within the set the broker that leads least comes first. All of the cluster's load counts, not only this topic's.
 * Cost: partitions x replicas x brokers.
 */
import { type BrokerId, DomainError } from '@fleetmq/shared';
import type { Assignment } from './commands.ts';
import type { MetadataView } from './view.ts';

export interface BrokerLoad {
  readonly brokerId: BrokerId;
  readonly rackId: string;
  readonly isActive: boolean;
  /** Partitions of which it is a replica. */
  readonly replicaCount: number;
  /** Partitions of which it is the preferred leader. */
  readonly leaderCount: number;
}

export interface PlacementRequest {
  /** Sorted by id. */
  readonly brokers: readonly BrokerLoad[];
  readonly partitionCount: number;
  readonly replicationFactor: number;
}

/** A broker while a plan is made: its counts include what was planned so far. */
export interface Candidate {
  readonly load: BrokerLoad;
  readonly rack: string;
  readonly position: number;
  replicaCount: number;
  leaderCount: number;
}

/** Throws INVALID_REPLICATION_FACTOR when there are not enough brokers. */
export function placePartitions(request: PlacementRequest): readonly Assignment[] {
  const { brokers, partitionCount, replicationFactor } = request;
  if (replicationFactor < 1 || replicationFactor > brokers.length) {
    throw new DomainError(
      'INVALID_REPLICATION_FACTOR',
      `replication factor ${replicationFactor} is outside 1..${brokers.length}, the number of registered brokers`,
    );
  }
  const candidates = candidatesOf(brokers);
  return Array.from({ length: partitionCount }, (_, number) => placeOne(candidates, replicationFactor, number));
}

export function candidatesOf(brokers: readonly BrokerLoad[]): Candidate[] {
  return brokers.map((load, position) => ({
    load,
    rack: rackOf(load),
    position,
    replicaCount: load.replicaCount,
    leaderCount: load.leaderCount,
  }));
}

/** What the brokers hold now; by id. */
export function brokerLoads(view: MetadataView): readonly BrokerLoad[] {
  return view.brokers().map(({ brokerId, rackId, state }) => {
    const { replicaCount, preferredCount } = view.holding(brokerId);
    return { brokerId, rackId, isActive: state === 'active', replicaCount, leaderCount: preferredCount };
  });
}

function increase<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function placeOne(candidates: readonly Candidate[], replicationFactor: number, turn: number): Assignment {
  const chosen: Candidate[] = [];
  const racks = new Map<string, number>();
  while (chosen.length < replicationFactor) {
    const next = bestOf(candidates, chosen, (candidate) => [
      candidate.load.isActive ? 0 : 1,
      racks.get(candidate.rack) ?? 0,
      candidate.replicaCount,
      (candidate.position + turn) % candidates.length,
    ]);
    chosen.push(next);
    increase(racks, next.rack);
  }
  const leader = bestOf(chosen, [], (candidate) => [
    candidate.load.isActive ? 0 : 1,
    candidate.leaderCount,
    chosen.indexOf(candidate),
  ]);
  leader.leaderCount++;
  for (const candidate of chosen) candidate.replicaCount++;
  const followers = chosen.filter((candidate) => candidate !== leader);
  return [leader, ...followers].map((candidate) => candidate.load.brokerId);
}

/** A broker without a rack is a rack of its own: nothing is known to fail together with it. */
function rackOf({ brokerId, rackId }: BrokerLoad): string {
  return rackId === '' ? `broker ${brokerId}` : `rack ${rackId}`;
}

/** The candidate with the lowest rank, compared number by number; the first of equal ones. */
export function bestOf(
  candidates: readonly Candidate[],
  excluded: readonly Candidate[],
  rank: (candidate: Candidate) => readonly number[],
): Candidate {
  let best: Candidate | undefined;
  let bestRank: readonly number[] = [];
  for (const candidate of candidates) {
    if (excluded.includes(candidate)) continue;
    const candidateRank = rank(candidate);
    if (best === undefined || isBefore(candidateRank, bestRank)) {
      best = candidate;
      bestRank = candidateRank;
    }
  }
  if (best === undefined) throw new RangeError('no broker is left to choose from');
  return best;
}

function isBefore(left: readonly number[], right: readonly number[]): boolean {
  for (let position = 0; position < left.length; position++) {
    const value = left[position] as number;
    const other = right[position] as number;
    if (value !== other) return value < other;
  }
  return false;
}
