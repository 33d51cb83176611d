/**
 * From a wish to move replicas to a plan: which partition gets which brokers. Where the caller names them, they are checked;
 * where not, they are chosen so that little moves: a replica stays where it is unless its broker is out of service, has a
 * rack-mate among the partition's replicas that another broker would not have, or holds at least two replicas more than
 * another broker would. Deterministic: equal metadata give equal plans. Runs on the leader before the command is proposed.
 */
import { type PartitionImage, replicationFactorOf, type TopicImage } from '@fleetmq/metadata';
import { type BrokerId, DomainError, formatTopicPartition, type TopicPartition } from '@fleetmq/shared';
import { requirePartition } from './apply-partitions.ts';
import { refuseIfMoving } from './apply-reassignments.ts';
import type { Assignment, ReplicaMove } from './commands.ts';
import { equalIds } from './elect.ts';
import { bestOf, brokerLoads, type Candidate, candidatesOf } from './placement.ts';
import { requireTopicByName } from './plan.ts';
import type { MetadataView } from './view.ts';

/** Partitions of one reassignment. */
const movesMax = 10_000;

export interface ReassignmentWish {
  readonly topicPartition: TopicPartition;
  /** The first is the preferred leader. Empty: to be chosen. */
  readonly replicas: Assignment;
  /** How many to choose; undefined: as many as now. */
  readonly replicationFactor: number | undefined;
}

/** A move with the name of its topic, for people. */
export interface PlannedMove extends ReplicaMove {
  readonly topic: string;
}

/** Partitions that would stay as they are are left out. In the order of the wishes. */
export function planReassignment(view: MetadataView, wishes: readonly ReassignmentWish[]): readonly PlannedMove[] {
  if (wishes.length < 1 || wishes.length > movesMax) {
    throw new DomainError('INVALID_REQUEST', `${wishes.length} partitions: a reassignment has 1 to ${movesMax}`);
  }
  const planner = new Planner(view);
  const seen = new Set<PartitionImage>();
  return wishes.flatMap(({ topicPartition, replicas, replicationFactor }) => {
    const topic = requireTopicByName(view, topicPartition.topic);
    const { partition } = requirePartition(view, topic.topicId, topicPartition.partition);
    const name = formatTopicPartition(topic.name, partition.partition);
    if (seen.has(partition)) throw new DomainError('INVALID_REQUEST', `${name} is named twice`);
    seen.add(partition);
    refuseIfMoving(partition, name);
    const target =
      replicas.length > 0 ? replicas : planner.choose(partition, replicationFactor ?? replicationFactorOf(partition));
    checkMinInsync(topic, target.length);
    return moveTo(topic, partition, target);
  });
}

/** What empties a broker: each of its replicas goes to another one. Partitions that move already are left alone. */
export function planEmptying(view: MetadataView, brokerId: BrokerId): readonly PlannedMove[] {
  const planner = new Planner(view, brokerId);
  return view.partitionsOfBroker(brokerId).flatMap((partition) => {
    const topic = view.topicById(partition.topicId);
    if (topic === undefined || partition.move !== undefined) return [];
    return moveTo(topic, partition, planner.choose(partition, partition.replicas.length));
  });
}

function moveTo(topic: TopicImage, partition: PartitionImage, targetReplicas: Assignment): PlannedMove[] {
  const { topicId, partition: number, replicas } = partition;
  if (equalIds(targetReplicas, replicas)) return [];
  return [{ topic: topic.name, topicId, partition: number, targetReplicas, sourceReplicas: replicas }];
}

function checkMinInsync({ name, config }: TopicImage, replicationFactor: number): void {
  const minInsync = Number(config.get('min.insync.replicas') ?? 1);
  if (minInsync <= replicationFactor) return;
  throw new DomainError(
    'INVALID_REPLICATION_FACTOR',
    `topic ${name} has min.insync.replicas ${minInsync}: ${replicationFactor} replicas could never take a write`,
  );
}

/** Between 0 and 1: who has it wins over whoever holds as much or one less beside it, and loses to whoever holds less. */
const stayBonus = 0.5;

class Planner {
  readonly #candidates: readonly Candidate[];
  readonly #excluded: BrokerId | undefined;

  constructor(view: MetadataView, excluded?: BrokerId) {
    this.#candidates = candidatesOf(brokerLoads(view));
    this.#excluded = excluded;
  }

  /** Throws INVALID_REPLICATION_FACTOR when there are not enough brokers in service. */
  choose(partition: PartitionImage, replicationFactor: number): Assignment {
    const usable = this.#candidates.filter(({ load }) => load.isActive && load.brokerId !== this.#excluded);
    if (replicationFactor < 1 || replicationFactor > usable.length) {
      throw new DomainError(
        'INVALID_REPLICATION_FACTOR',
        `${replicationFactor} replicas cannot be placed on ${usable.length} brokers in service`,
      );
    }
    const held = this.#candidates.filter(({ load }) => partition.replicas.includes(load.brokerId));
    for (const candidate of held) candidate.replicaCount--;
    const chosen = this.#chooseSet(usable, held, replicationFactor);
    return this.#order(chosen, partition);
  }

  /** One after the other: the one that fits best, where who has it already fits better than who has as much. */
  #chooseSet(usable: readonly Candidate[], held: readonly Candidate[], count: number): Candidate[] {
    const chosen: Candidate[] = [];
    const racks = new Map<string, number>();
    while (chosen.length < count) {
      const next = bestOf(usable, chosen, (candidate) => [
        racks.get(candidate.rack) ?? 0,
        candidate.replicaCount + (held.includes(candidate) ? 0 : stayBonus),
        candidate.position,
      ]);
      chosen.push(next);
      next.replicaCount++;
      racks.set(next.rack, (racks.get(next.rack) ?? 0) + 1);
    }
    return chosen;
  }

  /** The preferred leader stays one unless it leads at least two partitions more than another; the others keep their order. */
  #order(chosen: readonly Candidate[], { replicas }: PartitionImage): Assignment {
    const [preferred] = replicas;
    const before = this.#candidates.find(({ load }) => load.brokerId === preferred);
    if (before !== undefined) before.leaderCount--;
    const rankOf = ({ load }: Candidate): number => {
      const place = replicas.indexOf(load.brokerId);
      return place < 0 ? replicas.length + load.brokerId : place;
    };
    const leader = bestOf(chosen, [], (candidate) => [
      candidate.leaderCount + (candidate === before ? 0 : stayBonus),
      rankOf(candidate),
    ]);
    leader.leaderCount++;
    const followers = chosen.filter((candidate) => candidate !== leader);
    followers.sort((left, right) => rankOf(left) - rankOf(right));
    return [leader, ...followers].map(({ load }) => load.brokerId);
  }
}
