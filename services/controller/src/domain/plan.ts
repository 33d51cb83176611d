/**
 * From what a caller asks for to a command: defaults, limits, values of settings, placement. Runs on the leader before the
 * command is proposed; `apply-topics.ts` checks again what can change in between.
 *
 * Options and tables of settings may differ between nodes while a cluster is being upgraded, so everything that depends on
 * them is decided here, once, and never when the command is applied.
 */
import { requireLevel, type TopicImage, validateClusterConfig, validateTopicConfig } from '@fleetmq/metadata';
import { DomainError, isTopicName, type TopicId } from '@fleetmq/shared';
import { alteredConfig } from './apply-topics.ts';
import type { AddPartitions, AlterConfig, Assignment, CreateTopic } from './commands.ts';
import { brokerLoads, placePartitions } from './placement.ts';
import type { MetadataView } from './view.ts';

export interface PlanLimits {
  /** Partitions of one topic; at most 100,000. Default 10,000. */
  readonly partitionsPerTopicMax: number;
  /** Partitions of all topics together. Default 200,000. */
  readonly partitionsMax: number;
  /** Topics. Default 20,000. */
  readonly topicsMax: number;
  /** Replicas that a topic gets when its creator names no number and there are as many brokers. Default 3. */
  readonly replicationFactorDefault: number;
}

export const defaultPlanLimits: PlanLimits = {
  partitionsPerTopicMax: 10_000,
  partitionsMax: 200_000,
  topicsMax: 20_000,
  replicationFactorDefault: 3,
};

export interface CreateTopicPlan {
  readonly name: string;
  /** Undefined: 1, or as many as there are assignments. */
  readonly partitionCount: number | undefined;
  /** Undefined: the smaller of 3 and the number of active brokers. */
  readonly replicationFactor: number | undefined;
  readonly config: ReadonlyMap<string, string>;
  /** Empty: placed over racks and brokers. */
  readonly assignments: readonly Assignment[];
  /** Random, 32 hexadecimal digits. */
  readonly topicId: TopicId;
}

export function planCreateTopic(view: MetadataView, plan: CreateTopicPlan, limits: PlanLimits): CreateTopic {
  const { name, config, topicId } = plan;
  if (!isTopicName(name)) {
    throw new DomainError(
      'INVALID_REQUEST',
      `"${name.slice(0, 260)}" is no topic name: 1 to 249 of A-Z a-z 0-9 . _ -, and neither "." nor ".."`,
    );
  }
  if (view.topicByName(name) !== undefined) {
    throw new DomainError('TOPIC_ALREADY_EXISTS', `topic ${name} exists already`);
  }
  if (view.topicCount >= limits.topicsMax) {
    throw new DomainError('LIMIT_EXCEEDED', `there are ${limits.topicsMax} topics, which is the limit`);
  }
  const partitionCount = plan.partitionCount ?? (plan.assignments.length || 1);
  checkPartitionCount(view, partitionCount, 0, limits);
  const assignments = chooseAssignments(view, plan, partitionCount, limits);
  validateTopicConfig(config, assignments[0]?.length ?? 0);
  return { kind: 'create-topic', name, topicId, assignments, config, internal: false };
}

export interface AddPartitionsPlan {
  readonly name: string;
  /** How many it shall have. */
  readonly totalCount: number;
  /** Empty: placed over racks and brokers. */
  readonly assignments: readonly Assignment[];
}

export function planAddPartitions(view: MetadataView, plan: AddPartitionsPlan, limits: PlanLimits): AddPartitions {
  const topic = requireTopicByName(view, plan.name);
  const { topicId, partitionCount: currentCount } = topic;
  const added = plan.totalCount - currentCount;
  if (added <= 0) {
    throw new DomainError(
      'INVALID_REQUEST',
      `topic ${plan.name} has ${currentCount} partitions: ${plan.totalCount} is not more, and partitions only grow`,
    );
  }
  checkPartitionCount(view, plan.totalCount, currentCount, limits);
  checkAssignmentCount(plan.assignments, added);
  const assignments =
    plan.assignments.length > 0
      ? plan.assignments
      : placePartitions({
          brokers: brokerLoads(view),
          partitionCount: added,
          replicationFactor: view.replicationFactor(topic.topicId),
        });
  return { kind: 'add-partitions', topicId, currentCount, assignments };
}

/** `name` undefined: the cluster's defaults. */
export function planAlterConfig(
  view: MetadataView,
  change: Pick<AlterConfig, 'set' | 'remove' | 'expectedVersion'> & { readonly name: string | undefined },
): AlterConfig {
  const { name, set, remove, expectedVersion } = change;
  const both = remove.find((setting) => set.has(setting));
  if (both !== undefined) throw new DomainError('INVALID_REQUEST', `${both} is both set and removed`);
  validateClusterConfig(set);
  if (expectedVersion !== undefined) {
    const what = 'a change of the cluster settings on a condition';
    requireLevel(view.cluster.features, { name: 'metadata.version', level: 2, what });
  }
  if (name === undefined) return { kind: 'alter-config', topicId: undefined, set, remove, expectedVersion };
  const topic = requireTopicByName(view, name);
  validateTopicConfig(alteredConfig(topic.config, change), view.replicationFactor(topic.topicId));
  return { kind: 'alter-config', topicId: topic.topicId, set, remove };
}

/** Throws TOPIC_NOT_FOUND. */
export function requireTopicByName(view: MetadataView, name: string): TopicImage {
  const topic = view.topicByName(name);
  if (topic === undefined) throw new DomainError('TOPIC_NOT_FOUND', `there is no topic "${name.slice(0, 260)}"`);
  return topic;
}

function chooseAssignments(
  view: MetadataView,
  plan: CreateTopicPlan,
  partitionCount: number,
  limits: PlanLimits,
): readonly Assignment[] {
  if (plan.assignments.length > 0) {
    if (plan.replicationFactor !== undefined) {
      throw new DomainError('INVALID_REQUEST', 'a replication factor and assignments were given: give one of them');
    }
    checkAssignmentCount(plan.assignments, partitionCount);
    return plan.assignments;
  }
  const brokers = brokerLoads(view);
  const activeCount = brokers.filter(({ isActive }) => isActive).length;
  if (activeCount === 0) throw new DomainError('NOT_AVAILABLE', 'no broker is active', { retryAfterMs: 500 });
  const replicationFactor = plan.replicationFactor ?? Math.min(limits.replicationFactorDefault, activeCount);
  return placePartitions({ brokers, partitionCount, replicationFactor });
}

function checkAssignmentCount(assignments: readonly Assignment[], expected: number): void {
  if (assignments.length > 0 && assignments.length !== expected) {
    throw new DomainError('INVALID_REQUEST', `${assignments.length} assignments were given for ${expected} partitions`);
  }
}

function checkPartitionCount(view: MetadataView, count: number, before: number, limits: PlanLimits): void {
  if (count < 1 || count > limits.partitionsPerTopicMax) {
    throw new DomainError(
      'INVALID_REQUEST',
      `partition count ${count} is outside 1..${limits.partitionsPerTopicMax}, the limit of one topic`,
    );
  }
  const total = view.partitionCount + count - before;
  if (total > limits.partitionsMax) {
    throw new DomainError('LIMIT_EXCEEDED', `there would be ${total} partitions; the limit is ${limits.partitionsMax}`);
  }
}
