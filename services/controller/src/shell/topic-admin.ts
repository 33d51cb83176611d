/**
 * Topics and settings: from a request to a command, proposed and applied. Plans are made on the leader's metadata and
 * checked again by the state machine; `domain/plan.ts` has the rules. A dry run goes the same way up to the log, on
 * metadata that a quorum has confirmed, and answers what would be. So do refusals (`leader-view.ts`).
 */
import type { MetadataEvent, MetadataImage, TopicImage } from '@fleetmq/metadata';
import {
  assert,
  DomainError,
  isDomainError,
  type LogIndex,
  type MetadataVersion,
  type Random,
  type TopicId,
} from '@fleetmq/shared';
import { previewCommand } from '../domain/apply.ts';
import type { AddPartitions, AlterConfig, CreateTopic, MetadataCommand } from '../domain/commands.ts';
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
import type { CallOptions, LeaderView } from './leader-view.ts';
import type { Proposals } from './propose.ts';
import { randomId } from './random-id.ts';

export interface TopicAdminOptions {
  readonly leader: LeaderView;
  readonly appliedIndex: () => LogIndex;
  readonly proposals: Proposals;
  readonly random: Random;
  readonly limits: PlanLimits;
}

export class TopicAdmin {
  readonly #options: TopicAdminOptions;

  constructor(options: TopicAdminOptions) {
    this.#options = options;
  }

  async create(plan: Omit<CreateTopicPlan, 'topicId'>, call: CallOptions): Promise<TopicAnswer> {
    const topicId = randomId(this.#options.random) as TopicId;
    const { limits } = this.#options;
    const command = await this.#options.leader.plan(call, (image) =>
      planCreateTopic(image, { ...plan, topicId }, limits),
    );
    return this.#carryOut(command, topicId, call);
  }

  async addPartitions(plan: AddPartitionsPlan, call: CallOptions): Promise<TopicAnswer> {
    const command = await this.#options.leader.plan(call, (image) =>
      planAddPartitions(image, plan, this.#options.limits),
    );
    return this.#carryOut(command, command.topicId, call);
  }

  async alterTopicConfig(
    change: Pick<AlterConfig, 'set' | 'remove'> & { readonly name: string },
    call: CallOptions,
  ): Promise<TopicAnswer> {
    const planned = await this.#options.leader.plan(call, (image) => {
      const { topicId } = requireTopicByName(image, change.name);
      return { command: planAlterConfig(image, change), topicId };
    });
    return this.#carryOut(planned.command, planned.topicId, call);
  }

  /** `expectedVersion` undefined: whatever it is now. STALE_EPOCH when the settings have changed since. */
  async alterClusterConfig(
    change: Pick<AlterConfig, 'set' | 'remove' | 'expectedVersion'>,
    call: CallOptions,
  ): Promise<MetadataVersion> {
    const command = await this.#options.leader.plan(call, (image) =>
      planAlterConfig(image, { ...change, name: undefined }),
    );
    if (call.validateOnly) this.#outcomeOf(command);
    else await this.#options.proposals.propose(command, call.signal);
    return this.#options.leader.image.version;
  }

  /** `topicId` undefined: whatever id the name has now. */
  async delete(
    target: { readonly name: string; readonly topicId: string | undefined },
    signal: AbortSignal,
  ): Promise<MetadataVersion> {
    const topicId = await this.#options.leader.plan({ signal, validateOnly: false }, (image) => {
      const topic = requireTopicByName(image, target.name);
      if (target.topicId === undefined || target.topicId === topic.topicId) return topic.topicId;
      const text = `topic ${target.name} has the id ${topic.topicId}, not ${target.topicId}`;
      throw new DomainError('TOPIC_NOT_FOUND', text);
    });
    await this.#options.proposals.propose({ kind: 'delete-topic', topicId }, signal);
    return this.#options.leader.image.version;
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
    const image = await this.#options.leader.confirmed(signal);
    return answerOf(image, requireTopicByName(image, name));
  }

  async #carryOut(
    command: CreateTopic | AddPartitions | AlterConfig,
    topicId: TopicId,
    call: CallOptions,
  ): Promise<TopicAnswer> {
    if (call.validateOnly) return this.#preview(command, topicId);
    const { leader, proposals } = this.#options;
    // As of the very entry: the next one may delete it.
    return await proposals.proposeFor(command, call.signal, () => {
      const topic = leader.image.topicById(topicId);
      assert(topic !== undefined, `${command.kind} is carried out on topic ${topicId}, which is not there`);
      return answerOf(leader.image, topic);
    });
  }

  /** What the state machine would make of the command now. */
  #preview(command: CreateTopic | AddPartitions | AlterConfig, topicId: TopicId): TopicAnswer {
    const image = this.#options.leader.image;
    let topic = image.topicById(topicId);
    const partitions = [...image.partitions(topicId)];
    for (const event of this.#outcomeOf(command)) {
      if (event.kind === 'topic-changed') topic = event.topic;
      if (event.kind === 'partition-changed') partitions.push(event.partition);
    }
    if (topic === undefined) throw new DomainError('TOPIC_NOT_FOUND', `there is no topic ${topicId}`);
    return { topic, partitions, version: image.version };
  }

  /** Throws what the state machine would refuse the command with now. */
  #outcomeOf(command: MetadataCommand): readonly MetadataEvent[] {
    const index = (this.#options.appliedIndex() + 1) as LogIndex;
    return previewCommand(this.#options.leader.image, command, index);
  }
}

function answerOf(image: MetadataImage, topic: TopicImage): TopicAnswer {
  return { topic, partitions: image.partitions(topic.topicId), version: image.version };
}
