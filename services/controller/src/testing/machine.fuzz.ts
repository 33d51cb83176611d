/** A metadata state machine without a log, for tests of its rules. */
import assert from 'node:assert/strict';
import { MetadataImage, type PartitionImage } from '@fleetmq/metadata';
import type {
  BrokerEpoch,
  BrokerId,
  ErrorName,
  LeaderEpoch,
  LogIndex,
  MetadataVersion,
  PartitionEpoch,
  PartitionId,
  TopicId,
} from '@fleetmq/shared';
import { applyCommand } from '../domain/apply.ts';
import type { MetadataCommand, ProvenReplica, ResultOf } from '../domain/commands.ts';
import { decodeCommand, encodeCommand } from '../wire/commands.ts';

export const id = (broker: number): BrokerId => broker as BrokerId;
export const topicId = (number: number): TopicId => String(number).padStart(32, '0') as TopicId;

interface RegisterOptions {
  readonly incarnation?: string;
  readonly disk?: string;
  readonly clean?: boolean;
  readonly features?: Readonly<Record<string, number>>;
}

/** A state machine without a log: the index counts up, and is the clock too. */
export class Machine {
  image = new MetadataImage();
  index = 1;

  try<Command extends MetadataCommand>(command: Command): ErrorName | 'ok' {
    // As it travels: through bytes.
    const outcome = applyCommand(this.image, decodeCommand(encodeCommand(command)), {
      index: ++this.index as LogIndex,
      timestampMs: this.index,
    });
    if ('error' in outcome) return outcome.error.code;
    if (outcome.events.length > 0) this.image.apply(this.index as MetadataVersion, outcome.events);
    this.last = outcome.result;
    return 'ok';
  }

  last: unknown;

  do<Command extends MetadataCommand>(command: Command): ResultOf<Command> {
    assert.equal(this.try(command), 'ok');
    return this.last as ResultOf<Command>;
  }

  register(broker: number, how: RegisterOptions = {}): BrokerEpoch {
    return this.do({
      kind: 'register-broker',
      brokerId: id(broker),
      incarnationId: how.incarnation ?? `${broker}-${this.index}`,
      rackId: '',
      endpoints: [],
      diskId: how.disk ?? `disk-${broker}`,
      cleanShutdown: how.clean ?? false,
      features: how.features === undefined ? this.image.cluster.features : new Map(Object.entries(how.features)),
    });
  }

  life(broker: number): { brokerId: BrokerId; brokerEpoch: BrokerEpoch } {
    return { brokerId: id(broker), brokerEpoch: this.image.broker(id(broker))?.brokerEpoch ?? (0 as BrokerEpoch) };
  }

  unfence(broker: number): void {
    this.do({ kind: 'unfence-broker', ...this.life(broker) });
  }

  fence(broker: number): void {
    this.do({ kind: 'fence-broker', ...this.life(broker) });
  }

  /** Its replica of the first partition, as one whose log was found whole. */
  proven(broker: number): ProvenReplica {
    const { leaderEpoch } = this.partition;
    return { ...this.life(broker), topicId: topicId(1), partition: 0 as PartitionId, leaderEpoch };
  }

  /** Brokers in service, and one topic with one partition on all of them. */
  static with(...brokers: readonly number[]): Machine {
    return Machine.at(1, ...brokers);
  }

  /** As `with`, at this metadata.version. */
  static at(level: number, ...brokers: readonly number[]): Machine {
    const machine = new Machine();
    if (level > 1) {
      machine.do({ kind: 'set-cluster-id', clusterId: 'c', features: new Map([['metadata.version', level]]) });
    }
    for (const broker of brokers) {
      machine.register(broker);
      machine.unfence(broker);
    }
    if (brokers.length > 0) machine.do(topicOn(brokers));
    return machine;
  }

  get partition(): PartitionImage {
    return this.image.partition(topicId(1), 0) as PartitionImage;
  }

  /** Moves the first partition of the topic. */
  move(targets: readonly number[], reassignmentId = `r${this.index}`, topic = 1): ErrorName | 'ok' {
    const sourceReplicas = this.image.partition(topicId(topic), 0)?.replicas ?? [];
    const move = {
      topicId: topicId(topic),
      partition: 0 as PartitionId,
      targetReplicas: targets.map(id),
      sourceReplicas,
    };
    return this.try({ kind: 'start-reassignment', reassignmentId, moves: [move] });
  }

  changeIsr(
    leader: number,
    members: readonly number[],
    change: { leaderEpoch?: number; partitionEpoch?: number } = {},
  ): ErrorName | 'ok' {
    return this.try({
      kind: 'change-isr',
      ...this.life(leader),
      topicId: topicId(1),
      partition: 0 as PartitionId,
      leaderEpoch: (change.leaderEpoch ?? this.partition.leaderEpoch) as LeaderEpoch,
      partitionEpoch: (change.partitionEpoch ?? this.partition.partitionEpoch) as PartitionEpoch,
      inSyncReplicas: members.map((member) => this.life(member)),
    });
  }
}

export function topicOn(brokers: readonly number[], number = 1, name = `topic-${number}`): MetadataCommand {
  const assignments = [brokers.map(id)];
  return {
    kind: 'create-topic',
    name,
    topicId: topicId(number),
    assignments,
    config: new Map(),
    internal: false,
  };
}

/** Leader, in-sync and eligible replicas, as `1: 1 2 3` and `1: 1 (2 3)`. */
export function shape({ leaderId, inSyncReplicas, eligibleReplicas = [] }: PartitionImage): string {
  const eligible = eligibleReplicas.length === 0 ? '' : ` (${eligibleReplicas.join(' ')})`;
  return `${leaderId}: ${inSyncReplicas.join(' ')}${eligible}`;
}
