/** Random, valid histories of metadata events for the properties of this package. */
import type {
  BrokerEpoch,
  BrokerId,
  LeaderEpoch,
  MetadataVersion,
  PartitionEpoch,
  PartitionId,
  TopicId,
} from '@fleetmq/shared';
import fc from 'fast-check';
import { type BrokerImage, type MetadataEvent, MetadataImage, type PartitionImage, type TopicImage } from './index.ts';

export interface Step {
  readonly version: MetadataVersion;
  readonly events: readonly MetadataEvent[];
}

interface Choice {
  readonly what:
    | 'broker'
    | 'broker-gone'
    | 'topic'
    | 'topic-gone'
    | 'grow'
    | 'partition'
    | 'cluster'
    | 'reassignment'
    | 'reassignment-gone'
    | 'nothing';
  readonly which: number;
  readonly value: number;
}

const whats = [
  'broker',
  'broker-gone',
  'topic',
  'topic',
  'topic-gone',
  'grow',
  'partition',
  'partition',
  'cluster',
  'reassignment',
  'reassignment-gone',
  'nothing',
];
const choice = fc.record({
  what: fc.constantFrom(...whats),
  which: fc.nat(7),
  value: fc.nat(1_000),
}) as fc.Arbitrary<Choice>;

/** Steps that can be applied to an empty image in their order; versions rise, some steps are empty. */
export const histories: fc.Arbitrary<readonly Step[]> = fc.array(choice, { maxLength: 60, size: 'max' }).map(stepsOf);

function stepsOf(choices: readonly Choice[]): readonly Step[] {
  const image = new MetadataImage();
  return choices.map((each, index) => {
    const step = { version: (index + 1) as MetadataVersion, events: eventsOf(image, each, index) };
    image.apply(step.version, step.events);
    return step;
  });
}

function eventsOf(image: MetadataImage, { what, which, value }: Choice, index: number): readonly MetadataEvent[] {
  const topics = image.topics();
  const topic = topics[which % Math.max(1, topics.length)];
  switch (what) {
    case 'broker':
      return [{ kind: 'broker-changed', broker: someBroker(which + 1, value) }];
    case 'broker-gone':
      return [{ kind: 'broker-removed', brokerId: (which + 1) as BrokerId }];
    case 'topic':
      return newTopic(image, `topic-${which}`, index, value);
    case 'topic-gone':
      return topic === undefined ? [] : [{ kind: 'topic-removed', topicId: topic.topicId }];
    case 'grow':
      return topic === undefined || topic.partitionCount > 5 ? [] : grownTopic(topic, value);
    case 'partition':
      return topic === undefined
        ? []
        : [{ kind: 'partition-changed', partition: somePartition(topic.topicId, value % topic.partitionCount, value) }];
    case 'cluster':
      return [
        {
          kind: 'cluster-changed',
          cluster: {
            clusterId: 'c',
            config: new Map([['segment.ms', String(1_000 + value)]]),
            nextProducerId: BigInt(value) << 40n,
            features: new Map([['f', which]]),
            configVersion: value as MetadataVersion,
          },
        },
      ];
    case 'reassignment':
      return [
        {
          kind: 'reassignment-changed',
          reassignment: {
            reassignmentId: `r${which}`,
            startedAtMs: value % 3,
            totalPartitions: value,
            donePartitions: value >> 1,
            cancelledPartitions: 0,
            endedAtMs: value % 2,
            ...(value % 3 === 0 ? { bytesPerSecondMax: value + 1 } : {}),
          },
        },
      ];
    case 'reassignment-gone':
      return [{ kind: 'reassignment-removed', reassignmentId: `r${which}` }];
    case 'nothing':
      return [];
  }
}

function newTopic(image: MetadataImage, name: string, index: number, value: number): readonly MetadataEvent[] {
  const holder = image.topicByName(name);
  const gone: readonly MetadataEvent[] =
    holder === undefined ? [] : [{ kind: 'topic-removed', topicId: holder.topicId }];
  const topicId = index.toString(16).padStart(32, '0') as TopicId;
  const topic: TopicImage = {
    topicId,
    name,
    config: new Map([['retention.ms', String(value)]]),
    internal: value % 5 === 0,
    partitionCount: (value % 3) + 1,
  };
  const partitions = Array.from({ length: topic.partitionCount }, (_, number) => somePartition(topicId, number, value));
  return [
    ...gone,
    { kind: 'topic-changed', topic },
    ...partitions.map((partition): MetadataEvent => ({ kind: 'partition-changed', partition })),
  ];
}

function grownTopic(topic: TopicImage, value: number): readonly MetadataEvent[] {
  return [
    { kind: 'topic-changed', topic: { ...topic, partitionCount: topic.partitionCount + 1 } },
    { kind: 'partition-changed', partition: somePartition(topic.topicId, topic.partitionCount, value) },
  ];
}

export function someBroker(brokerId: number, value: number): BrokerImage {
  return {
    brokerId: brokerId as BrokerId,
    brokerEpoch: value as BrokerEpoch,
    incarnationId: `process-${value}`,
    rackId: value % 2 === 0 ? '' : 'rack',
    endpoints: [
      { listener: 'client', host: `client-${brokerId}`, port: 7610, tls: false },
      { listener: 'internal', host: `internal-${brokerId}`, port: 7611, tls: value % 2 === 0 },
    ],
    state: (['fenced', 'active', 'draining'] as const)[value % 3] as BrokerImage['state'],
    diskId: `disk-${brokerId}`,
    features: new Map([['f', value]]),
    ...(value % 5 === 0 ? { cleanStart: true } : {}),
    ...(value % 5 === 1 ? { drained: true } : {}),
    ...(value % 3 === 0 ? { stopping: true } : {}),
  };
}

export function somePartition(topicId: TopicId, partition: number, value: number): PartitionImage {
  const replicas = [1 + (value % 4), 5 + (value % 3), 8].slice(0, 1 + (value % 3)) as BrokerId[];
  return {
    topicId,
    partition: partition as PartitionId,
    leaderId: value % 7 === 0 ? (0 as BrokerId) : (replicas[0] as BrokerId),
    leaderEpoch: value as LeaderEpoch,
    replicas,
    inSyncReplicas: replicas.slice(0, 1 + (value % 2)),
    partitionEpoch: (value + 1) as PartitionEpoch,
    ...(value % 6 === 2 ? { eligibleReplicas: replicas.slice(1) } : {}),
    ...(value % 4 === 0
      ? { move: { reassignmentId: 'r', sourceReplicas: replicas.slice(0, 1), targetReplicas: replicas.slice(1) } }
      : {}),
  };
}
