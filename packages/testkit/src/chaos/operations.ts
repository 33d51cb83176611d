/**
 * The operations of the checked models as calls of the contract: what goes out, and what an answer or a refusal says. A
 * refusal that tells something of the state is an answer; see check/topics.ts and check/settings.ts.
 */
import { ConfigSource } from '@fleetmq/gen/common/metadata';
import { AdminService } from '@fleetmq/gen/controller/admin';
import { ControllerBrokerService } from '@fleetmq/gen/controller/cluster';
import { apiVersion } from '@fleetmq/metadata';
import type { ErrorName } from '@fleetmq/shared';
import type { SettingOperation } from '../check/settings.ts';
import type { TopicOperation } from '../check/topics.ts';
import type { Caller, CallOptions } from './callers.ts';

type Checked = TopicOperation | SettingOperation;
export type Kind = Checked['kind'];
export type InputOf<K extends Kind> = Extract<Checked, { kind: K }>['input'];
export type OutputOf<K extends Kind> = Exclude<Extract<Checked, { kind: K }>['output'], undefined>;

export interface OperationType<K extends Kind> {
  readonly call: (caller: Caller, input: InputOf<K>, options: CallOptions) => Promise<OutputOf<K>>;
  /** Refusals that are answers. */
  readonly refusals: readonly ErrorName[];
  /** Repeating it does no harm. */
  readonly isRead?: boolean;
  /** Codes that leave open whether it was done, beside those that always do. */
  readonly unknown?: readonly ErrorName[];
}

const version = apiVersion;
const admin = AdminService.method;
const cluster = ControllerBrokerService.method;
/** The setting that topics and the cluster have a value of. */
const setting = 'retention.ms';

interface Versioned {
  readonly version: number;
}

const versionOf = ({ metadataVersion }: { readonly metadataVersion: bigint }): Versioned => ({
  version: Number(metadataVersion),
});

export const operationTypes: { readonly [K in Kind]: OperationType<K> } = {
  createTopic: {
    async call(caller, { name, partitions }, options) {
      const request = { version, name, partitionCount: partitions, replicationFactor: 1 };
      const answer = await caller.call(admin.createTopic, request, options);
      return { topicId: answer.topic?.topicId ?? '', ...versionOf(answer) };
    },
    refusals: ['TOPIC_ALREADY_EXISTS'],
    // It was made, and deleted before the answer was written.
    unknown: ['TOPIC_NOT_FOUND'],
  },
  deleteTopic: {
    async call(caller, { name }, options) {
      return versionOf(await caller.call(admin.deleteTopic, { version, name }, options));
    },
    refusals: ['TOPIC_NOT_FOUND'],
  },
  alterTopic: {
    async call(caller, { name, value }, options) {
      return versionOf(
        await caller.call(admin.alterTopicConfig, { version, name, set: { [setting]: value } }, options),
      );
    },
    refusals: ['TOPIC_NOT_FOUND'],
  },
  addPartitions: {
    async call(caller, { name, total }, options) {
      return versionOf(await caller.call(admin.addPartitions, { version, name, totalCount: total }, options));
    },
    refusals: ['TOPIC_NOT_FOUND', 'INVALID_REQUEST'],
  },
  describeTopic: {
    async call(caller, { name }, options) {
      const answer = await caller.call(admin.describeTopic, { version, name }, { ...options, idempotent: true });
      const { topic, config } = answer;
      const own = config.find((each) => each.name === setting && each.source === ConfigSource.TOPIC);
      const partitions = topic?.partitions.length ?? 0;
      return { topicId: topic?.topicId ?? '', partitions, value: own?.value ?? null, ...versionOf(answer) };
    },
    refusals: ['TOPIC_NOT_FOUND'],
    isRead: true,
  },
  readSetting: {
    async call(caller, _input, options) {
      const answer = await caller.call(cluster.getClusterConfig, { version }, { ...options, idempotent: true });
      const own = answer.entries.find((each) => each.name === setting && each.source === ConfigSource.CLUSTER);
      return { value: own?.value ?? null, ...versionOf(answer) };
    },
    refusals: [],
    isRead: true,
  },
  writeSetting: {
    async call(caller, { value }, options) {
      return versionOf(await caller.call(cluster.updateClusterConfig, { version, set: { [setting]: value } }, options));
    },
    refusals: [],
  },
  compareAndSetSetting: {
    async call(caller, { value, expectedVersion }, options) {
      const request = { version, set: { [setting]: value }, expectedVersion: BigInt(expectedVersion) };
      return versionOf(await caller.call(cluster.updateClusterConfig, request, options));
    },
    refusals: ['STALE_EPOCH'],
  },
};
