/**
 * Topics and settings: from a request to a command, proposed and applied. Plans are made on the leader's metadata and
 * checked again by the state machine; `domain/plan.ts` has the rules. A dry run goes the same way up to the log, on
 * metadata that a quorum has confirmed, and answers what would be.
 */
import type { MetadataEvent, MetadataImage } from '@fleetmq/metadata';
import {
  DomainError,
  isDomainError,
  type LogIndex,
  type MetadataVersion,
  type Random,
  type TopicId,
} from '@fleetmq/shared';
import { applyCommand } from '../domain/apply.ts';
import type { AddPartitions, AlterConfig, CreateTopic } from '../domain/commands.ts';
import {
  type AddPartitionsPlan,
  type CreateTopicPlan,
  type PlanLimits,
  planAddPartitions,
  planAlterConfig,
  planCreateTopic,
  requireTopicByName,
} from '../domain/plan.ts';
import type { TopicAnswer } from '../domain/view.ts';
import type { LeadershipState } from './leadership.ts';
import type { LinearReads } from './linear-reads.ts';
import type { Proposals } from './propose.ts';

export interface TopicAdminOptions {
  readonly image: () => MetadataImage;
  readonly appliedIndex: () => LogIndex;
  readonly leadership: LeadershipState;
  readonly proposals: Proposals;
  readonly reads: LinearReads;
  readonly random: Random;
  readonly limits: PlanLimits;
}

export interface CallOptions {
  readonly signal: AbortSignal;
  /** Only say what would be done. */
  readonly validateOnly: boolean;
}

export class TopicAdmin {
  readonly #options: TopicAdminOptions;
  /** Version of the last change of the cluster's settings, as far as this node saw it. */
  #clusterConfigVersion: MetadataVersion;
  #lastConfigChange: Promise<void> = Promise.resolve();

  constructor(options: TopicAdminOptions) {
    this.#options = options;
    this.#clusterConfigVersion = options.image().version;
  }

  /** The state machine has applied these. */
  onEvents(events: readonly MetadataEvent[], version: MetadataVersion): void {
    if (events.some(({ kind }) => kind === 'cluster-changed')) this.#clusterConfigVersion = version;
  }

  /** Another image took the place of the one before: the settings may have changed at any version up to now. */
  onRestore(): void {
    this.#clusterConfigVersion = this.#options.image().version;
  }

  async create(plan: Omit<CreateTopicPlan, 'topicId'>, call: CallOptions): Promise<TopicAnswer> {
    await this.#enter(call);
    const topicId = this.#newTopicId();
    const command = planCreateTopic(this.#options.image(), { ...plan, topicId }, this.#options.limits);
    return this.#carryOut(command, topicId, call);
  }

  async addPartitions(plan: AddPartitionsPlan, call: CallOptions): Promise<TopicAnswer> {
    await this.#enter(call);
    const command = planAddPartitions(this.#options.image(), plan, this.#options.limits);
    return this.#carryOut(command, command.topicId, call);
  }

  async alterTopicConfig(
    change: Pick<AlterConfig, 'set' | 'remove'> & { readonly name: string },
    call: CallOptions,
  ): Promise<TopicAnswer> {
    await this.#enter(call);
    const image = this.#options.image();
    const command = planAlterConfig(image, change);
    return this.#carryOut(command, requireTopicByName(image, change.name).topicId, call);
  }

  /** `expectedVersion` undefined: whatever it is now. STALE_EPOCH when the settings have changed since. */
  alterClusterConfig(
    change: Pick<AlterConfig, 'set' | 'remove'> & { readonly expectedVersion: number | undefined },
    call: CallOptions,
  ): Promise<MetadataVersion> {
    // One behind the other, or two callers could both find the version that they expect.
    const result = this.#lastConfigChange.then(async () => {
      await this.#enter(call);
      const { expectedVersion } = change;
      if (expectedVersion !== undefined && this.#clusterConfigVersion > expectedVersion) {
        throw new DomainError(
          'STALE_EPOCH',
          `the settings changed at version ${this.#clusterConfigVersion}, after version ${expectedVersion}: read them again`,
        );
      }
      const command = planAlterConfig(this.#options.image(), { ...change, name: undefined });
      if (!call.validateOnly) await this.#options.proposals.propose(command, call.signal);
      return this.#options.image().version;
    });
    this.#lastConfigChange = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  }

  /** `topicId` undefined: whatever id the name has now. */
  async delete(
    target: { readonly name: string; readonly topicId: string | undefined },
    signal: AbortSignal,
  ): Promise<MetadataVersion> {
    this.#options.leadership.requireReady();
    const topic = requireTopicByName(this.#options.image(), target.name);
    if (target.topicId !== undefined && target.topicId !== topic.topicId) {
      throw new DomainError(
        'TOPIC_NOT_FOUND',
        `topic ${target.name} has the id ${topic.topicId}, not ${target.topicId}`,
      );
    }
    await this.#options.proposals.propose({ kind: 'delete-topic', topicId: topic.topicId }, signal);
    return this.#options.image().version;
  }

  /** One after the other; whether each existed. */
  async deleteByIds(topicIds: readonly TopicId[], signal: AbortSignal): Promise<readonly boolean[]> {
    const existed: boolean[] = [];
    for (const topicId of topicIds) {
      try {
        await this.#options.proposals.propose({ kind: 'delete-topic', topicId }, signal);
        existed.push(true);
      } catch (error) {
        if (!isDomainError(error) || error.code !== 'TOPIC_NOT_FOUND') throw error;
        existed.push(false);
      }
    }
    return existed;
  }

  /** Confirmed by a quorum. */
  async describe(name: string, signal: AbortSignal): Promise<TopicAnswer> {
    await this.#options.reads.read(signal);
    const image = this.#options.image();
    const topic = requireTopicByName(image, name);
    return { topic, partitions: image.partitions(topic.topicId), version: image.version };
  }

  async #enter({ validateOnly, signal }: CallOptions): Promise<void> {
    if (validateOnly) await this.#options.reads.read(signal);
    else this.#options.leadership.requireReady();
  }

  async #carryOut(
    command: CreateTopic | AddPartitions | AlterConfig,
    topicId: TopicId,
    call: CallOptions,
  ): Promise<TopicAnswer> {
    if (call.validateOnly) return this.#preview(command, topicId);
    await this.#options.proposals.propose(command, call.signal);
    const image = this.#options.image();
    const topic = image.topicById(topicId);
    if (topic === undefined) throw new DomainError('TOPIC_NOT_FOUND', `topic ${topicId} was deleted at once`);
    return { topic, partitions: image.partitions(topicId), version: image.version };
  }

  /** What the state machine would make of the command now. */
  #preview(command: CreateTopic | AddPartitions | AlterConfig, topicId: TopicId): TopicAnswer {
    const image = this.#options.image();
    const index = (this.#options.appliedIndex() + 1) as LogIndex;
    const outcome = applyCommand(image, command, { index, timestampMs: 0 });
    if ('error' in outcome) throw outcome.error;
    let topic = image.topicById(topicId);
    const partitions = [...image.partitions(topicId)];
    for (const event of outcome.events) {
      if (event.kind === 'topic-changed') topic = event.topic;
      if (event.kind === 'partition-changed') partitions.push(event.partition);
    }
    if (topic === undefined) throw new DomainError('TOPIC_NOT_FOUND', `there is no topic ${topicId}`);
    return { topic, partitions, version: image.version };
  }

  #newTopicId(): TopicId {
    const bytes = this.#options.random.bytes(16);
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('') as TopicId;
  }
}
