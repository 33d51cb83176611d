/**
 * The settings of topics: one table with kind, default, bounds and description. A value comes from the topic, else from
 * the cluster's defaults, else from this table. Controllers check with it before they accept a change; brokers and
 * describe calls read through it; `docs` are printed from it.
 *
 * Invariants: whatever `validateTopicConfig` accepted can be read by `effectiveTopicConfig`; a topic's own
 * min.insync.replicas is not above its replication factor, and a cluster-wide one counts for no more than that
 * (a topic of one replica stays writable). Names follow Kafka's topic configs where they mean the same.
 */
import { assert, DomainError } from '@fleetmq/shared';
import type { ClusterImage, TopicImage } from './values.ts';

interface IntegerSetting {
  readonly kind: 'integer';
  readonly min: number;
  readonly max: number;
  /** Stands for "no limit", where the setting has such a value. */
  readonly unlimited?: -1;
}

interface ChoiceSetting {
  readonly kind: 'choice';
  readonly choices: readonly string[];
}

export type TopicSetting = (IntegerSetting | ChoiceSetting) & {
  readonly defaultValue: string;
  /** What it does, its unit and its bounds, as one sentence for people. */
  readonly description: string;
};

const kib = 1024;
const mib = 1024 * kib;
const dayMs = 86_400_000;
const safeMax = Number.MAX_SAFE_INTEGER;

export const topicSettings = {
  'cleanup.policy': {
    kind: 'choice',
    choices: ['delete', 'compact', 'compact,delete'],
    defaultValue: 'delete',
    description:
      'delete: old segments go by retention.ms and retention.bytes. compact: of each key the newest record stays. compact,delete: both.',
  },
  'delete.retention.ms': {
    kind: 'integer',
    min: 0,
    max: safeMax,
    defaultValue: String(dayMs),
    description:
      'With compaction a tombstone stays for this many milliseconds after the records that it deletes are gone (at least 0).',
  },
  'min.compaction.lag.ms': {
    kind: 'integer',
    min: 0,
    max: safeMax,
    defaultValue: '0',
    description: 'Compaction leaves records alone for this many milliseconds after they were appended (at least 0).',
  },
  'retention.ms': {
    kind: 'integer',
    min: 1,
    max: safeMax,
    unlimited: -1,
    defaultValue: String(7 * dayMs),
    description: 'Closed segments go when their newest record is older than this many milliseconds; -1: never.',
  },
  'retention.bytes': {
    kind: 'integer',
    min: 1,
    max: safeMax,
    unlimited: -1,
    defaultValue: '-1',
    description: 'The oldest closed segments go while a partition is larger than this many bytes; -1: never.',
  },
  'segment.bytes': {
    kind: 'integer',
    min: 4 * kib,
    max: 1024 * mib,
    defaultValue: String(256 * mib),
    description: 'A segment file is closed before it exceeds this many bytes (4 KiB to 1 GiB).',
  },
  'segment.ms': {
    kind: 'integer',
    min: 1_000,
    max: safeMax,
    defaultValue: String(7 * dayMs),
    description: 'A segment file is closed this many milliseconds after its first record (at least 1,000).',
  },
  'max.message.bytes': {
    kind: 'integer',
    min: kib,
    max: 3 * mib,
    defaultValue: String(mib),
    description: 'Largest batch that is accepted, in bytes as it is carried (1 KiB to 3 MiB).',
  },
  'min.insync.replicas': {
    kind: 'integer',
    min: 1,
    max: 100,
    defaultValue: '2',
    description:
      'With fewer in-sync replicas ACK_MAJORITY, ACK_ALL and ACK_CUSTOM are refused (1 to the replication factor).',
  },
  'flush.policy': {
    kind: 'choice',
    choices: ['fsync', 'unsafe-os-cache'],
    defaultValue: 'fsync',
    description:
      'fsync: an ack follows fdatasync. unsafe-os-cache: it does not, and acked records can go with the power.',
  },
  'message.timestamp.before.max.ms': {
    kind: 'integer',
    min: 1_000,
    max: safeMax,
    unlimited: -1,
    defaultValue: '-1',
    description:
      "A batch is refused when its largest timestamp is this many milliseconds behind the broker's clock; -1: never.",
  },
  'message.timestamp.after.max.ms': {
    kind: 'integer',
    min: 1_000,
    max: safeMax,
    unlimited: -1,
    defaultValue: String(60 * 60_000),
    description:
      "A batch is refused when its largest timestamp is this many milliseconds ahead of the broker's clock; -1: never.",
  },
} as const satisfies Record<string, TopicSetting>;

export type TopicSettingName = keyof typeof topicSettings;

/** Every setting's name, sorted. */
export const topicSettingNames: readonly TopicSettingName[] = (Object.keys(topicSettings) as TopicSettingName[]).sort();

/** The settings as brokers use them. An absent limit means that there is none. */
export interface TopicConfig {
  /** Whether retention by time and size applies. */
  readonly deletes: boolean;
  readonly compacts: boolean;
  readonly deleteRetentionMs: number;
  readonly minCompactionLagMs: number;
  readonly retentionMs: number | undefined;
  readonly retentionBytes: number | undefined;
  readonly segmentBytes: number;
  readonly segmentMs: number;
  readonly maxMessageBytes: number;
  /** 1 to the replication factor. */
  readonly minInsyncReplicas: number;
  readonly flushPolicy: 'fsync' | 'unsafe-os-cache';
  readonly timestampBeforeMaxMs: number | undefined;
  readonly timestampAfterMaxMs: number | undefined;
}

/** A setting's value and where it was set. */
export interface TopicConfigEntry {
  readonly name: TopicSettingName;
  readonly value: string;
  readonly source: 'default' | 'cluster' | 'topic';
  readonly description: string;
}

export function isTopicSettingName(name: string): name is TopicSettingName {
  return Object.hasOwn(topicSettings, name);
}

/** INVALID_CONFIG, for the first of a topic's own settings that is unknown, out of range, or above the replication factor. */
export function validateTopicConfig(config: ReadonlyMap<string, string>, replicationFactor: number): void {
  validateClusterConfig(config);
  const minInsync = config.get('min.insync.replicas');
  if (minInsync !== undefined && Number(minInsync) > replicationFactor) {
    throw invalid('min.insync.replicas', minInsync, `is above the replication factor ${replicationFactor}`);
  }
}

/** INVALID_CONFIG, for the first of the cluster-wide defaults that is unknown or out of range. */
export function validateClusterConfig(config: ReadonlyMap<string, string>): void {
  for (const [name, value] of config) {
    if (!isTopicSettingName(name)) {
      throw new DomainError('INVALID_CONFIG', `there is no setting ${name}; there are ${topicSettingNames.join(', ')}`);
    }
    checkValue(name, value);
  }
}

/** All settings of a topic, typed. `config` values have been validated before. */
export function effectiveTopicConfig(
  topic: Pick<TopicImage, 'config'>,
  cluster: Pick<ClusterImage, 'config'>,
  replicationFactor: number,
): TopicConfig {
  const text = (name: TopicSettingName): string => lookUp(name, topic, cluster, replicationFactor).value;
  const flushPolicy = text('flush.policy');
  assert(flushPolicy === 'fsync' || flushPolicy === 'unsafe-os-cache', `flush.policy is ${flushPolicy}`);
  const cleanup = text('cleanup.policy').split(',');
  return {
    deletes: cleanup.includes('delete'),
    compacts: cleanup.includes('compact'),
    deleteRetentionMs: Number(text('delete.retention.ms')),
    minCompactionLagMs: Number(text('min.compaction.lag.ms')),
    retentionMs: limitOf(text('retention.ms')),
    retentionBytes: limitOf(text('retention.bytes')),
    segmentBytes: Number(text('segment.bytes')),
    segmentMs: Number(text('segment.ms')),
    maxMessageBytes: Number(text('max.message.bytes')),
    minInsyncReplicas: Number(text('min.insync.replicas')),
    flushPolicy,
    timestampBeforeMaxMs: limitOf(text('message.timestamp.before.max.ms')),
    timestampAfterMaxMs: limitOf(text('message.timestamp.after.max.ms')),
  };
}

/** All settings of a topic with their sources, by name. */
export function describeTopicConfig(
  topic: Pick<TopicImage, 'config'>,
  cluster: Pick<ClusterImage, 'config'>,
  replicationFactor: number,
): TopicConfigEntry[] {
  return topicSettingNames.map((name) => ({
    name,
    ...lookUp(name, topic, cluster, replicationFactor),
    description: topicSettings[name].description,
  }));
}

/** The cluster-wide defaults with their sources, by name. */
export function describeClusterConfig(cluster: Pick<ClusterImage, 'config'>): TopicConfigEntry[] {
  return describeTopicConfig({ config: new Map() }, cluster, Number.POSITIVE_INFINITY);
}

function lookUp(
  name: TopicSettingName,
  topic: Pick<TopicImage, 'config'>,
  cluster: Pick<ClusterImage, 'config'>,
  replicationFactor: number,
): Pick<TopicConfigEntry, 'value' | 'source'> {
  const own = topic.config.get(name);
  if (own !== undefined) return { value: own, source: 'topic' };
  const shared = cluster.config.get(name);
  const value = shared ?? topicSettings[name].defaultValue;
  const capped = name === 'min.insync.replicas' && Number(value) > replicationFactor;
  return { value: capped ? String(replicationFactor) : value, source: shared === undefined ? 'default' : 'cluster' };
}

const decimal = /^(-1|0|[1-9][0-9]{0,15})$/;

function checkValue(name: TopicSettingName, value: string): void {
  const setting: TopicSetting = topicSettings[name];
  if (setting.kind === 'choice') {
    if (!setting.choices.includes(value)) throw invalid(name, value, `is none of ${setting.choices.join(', ')}`);
    return;
  }
  const number = decimal.test(value) ? Number(value) : Number.NaN;
  if (setting.unlimited !== undefined && number === setting.unlimited) return;
  if (number >= setting.min && number <= setting.max) return;
  const orUnlimited = setting.unlimited === undefined ? '' : `, nor ${setting.unlimited} (no limit)`;
  throw invalid(name, value, `is no whole number of ${setting.min} to ${setting.max}${orUnlimited}`);
}

function limitOf(text: string): number | undefined {
  const value = Number(text);
  return value === -1 ? undefined : value;
}

function invalid(name: string, value: string, why: string): DomainError {
  const shown = value.length > 100 ? `${value.slice(0, 100)}...` : value;
  return new DomainError('INVALID_CONFIG', `${name} = "${shown}" ${why}`);
}
