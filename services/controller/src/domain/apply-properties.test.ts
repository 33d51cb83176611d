/** Whatever commands come, in whatever order: what holds of every partition, and that a snapshot is worth its log. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MetadataImage, PartitionImage } from '@fleetmq/metadata';
import type { LeaderEpoch, PartitionEpoch, PartitionId } from '@fleetmq/shared';
import fc from 'fast-check';
import { id, Machine, topicId, topicOn } from '../testing/machine.fuzz.ts';
import { decodeImage, encodeImage } from '../wire/snapshot.ts';
import { possibleLeaders } from './apply-proven.ts';
import type { MetadataCommand } from './commands.ts';

/** A step whose meaning depends on the state that it meets. */
interface Step {
  readonly action: number;
  readonly broker: number;
  readonly topic: number;
  readonly flag: boolean;
  readonly members: number;
}

const stepArbitrary: fc.Arbitrary<Step> = fc.record({
  action: fc.nat(24),
  broker: fc.integer({ min: 1, max: 4 }),
  topic: fc.integer({ min: 1, max: 3 }),
  flag: fc.boolean(),
  members: fc.nat(15),
});

function commandOf(machine: Machine, step: Step): MetadataCommand {
  const { broker, topic, flag, members } = step;
  const chosen = [1, 2, 3, 4].filter((each) => (members >> (each - 1)) & 1);
  const life = machine.life(broker);
  const partition = machine.image.partition(topicId(topic), 0);
  switch (step.action) {
    case 0:
    case 1:
    case 2:
      return {
        kind: 'register-broker',
        brokerId: id(broker),
        incarnationId: `${machine.index}`,
        rackId: '',
        endpoints: [],
        diskId: members === 0 ? `new-${machine.index}` : `disk-${broker}`,
        cleanShutdown: flag,
        features: machine.image.cluster.features,
      };
    case 3:
    case 4:
    case 5:
      return { kind: 'fence-broker', ...life };
    case 6:
    case 7:
    case 8:
    case 9:
      return { kind: 'unfence-broker', ...life };
    case 10:
      return { kind: 'drain-broker', ...life, ...(flag ? { keep: true } : { stopping: true }) };
    case 11:
      return { kind: 'unregister-broker', brokerId: id(broker) };
    case 12:
    case 13:
      return topicOn(chosen, topic, `topic-${topic}`);
    case 14:
      return flag ? { kind: 'delete-topic', topicId: topicId(topic) } : topicOn(chosen, topic);
    case 15:
      return {
        kind: 'elect-leader',
        topicId: topicId(topic),
        partition: 0 as PartitionId,
        targetId: id(flag ? 0 : broker),
        leaderEpoch: undefined,
      };
    case 16:
    case 17:
      return {
        kind: 'start-reassignment',
        reassignmentId: `r${machine.index}`,
        moves: [
          {
            topicId: topicId(topic),
            partition: 0 as PartitionId,
            targetReplicas: chosen.map(id),
            sourceReplicas: partition?.replicas ?? [],
          },
        ],
      };
    case 18:
      return {
        kind: 'cancel-reassignment',
        reassignmentId: partition?.move?.reassignmentId ?? machine.image.reassignments()[0]?.reassignmentId ?? '',
      };
    default:
      return {
        kind: 'change-isr',
        ...machine.life(flag ? (partition?.leaderId ?? broker) : broker),
        topicId: topicId(topic),
        partition: 0 as PartitionId,
        leaderEpoch: partition?.leaderEpoch ?? (1 as LeaderEpoch),
        partitionEpoch: partition?.partitionEpoch ?? (1 as PartitionEpoch),
        inSyncReplicas: chosen.map((each) => machine.life(each)),
      };
  }
}

function partitionsOf(image: MetadataImage): Map<string, PartitionImage> {
  const all = image.topics().flatMap((topic) => image.partitions(topic.topicId));
  return new Map(all.map((partition) => [`${partition.topicId}-${partition.partition}`, partition]));
}

function checkPartition(image: MetadataImage, partition: PartitionImage, level: number): void {
  const { leaderId, inSyncReplicas, replicas } = partition;
  assert.ok(inSyncReplicas.length > 0, 'an ISR is empty');
  assert.deepEqual(
    inSyncReplicas,
    replicas.filter((each) => inSyncReplicas.includes(each)),
  );
  const inService = inSyncReplicas.filter((each) => (image.broker(each)?.state ?? 'fenced') !== 'fenced');
  // P11, and: who can lead does.
  const mayLead =
    inSyncReplicas.length > 1 || level < 3 ? inService : inService.filter((each) => image.broker(each)?.cleanStart);
  if (leaderId === 0) assert.deepEqual(mayLead, [], 'nobody leads although somebody could');
  else assert.ok(inService.includes(leaderId), `leader ${leaderId} is fenced or not in sync`);
  checkMove(image, partition);
}

/** While it moves, the target replicas come first and those that are to go behind them; it has not arrived. */
function checkMove(image: MetadataImage, { replicas, inSyncReplicas, move }: PartitionImage): void {
  if (move === undefined) return;
  const leaving = move.sourceReplicas.filter((each) => !move.targetReplicas.includes(each));
  assert.deepEqual(replicas, [...move.targetReplicas, ...leaving]);
  const hasAll = move.targetReplicas.every((each) => inSyncReplicas.includes(each));
  const couldLead = move.targetReplicas.some((each) => (image.broker(each)?.state ?? 'fenced') !== 'fenced');
  assert.ok(!hasAll || !couldLead, 'a partition has arrived and goes on');
}

/** A reassignment has as many partitions on their way as it has not counted as done or cancelled. */
function checkReassignments(image: MetadataImage): void {
  for (const each of image.reassignments()) {
    const moving = image.movingPartitions().filter(({ move }) => move?.reassignmentId === each.reassignmentId);
    assert.equal(each.donePartitions + each.cancelledPartitions + moving.length, each.totalPartitions);
    assert.equal(each.endedAtMs > 0, moving.length === 0);
  }
}

function checkChange(command: MetadataCommand, before: PartitionImage, after: PartitionImage): void {
  const isChanged = before !== after;
  assert.equal(after.partitionEpoch, before.partitionEpoch + (isChanged ? 1 : 0));
  assert.equal(after.leaderEpoch, before.leaderEpoch + (after.leaderId === before.leaderId ? 0 : 1));
  // Alone: an eligible replica that leads now.
  const isElected = after.inSyncReplicas.length === 1 && before.eligibleReplicas?.includes(after.leaderId) === true;
  const joined = after.inSyncReplicas.filter((each) => !isElected && !before.inSyncReplicas.includes(each));
  if (joined.length > 0) assert.equal(command.kind, 'change-isr', 'only the leader may let a replica into the ISR');
}

describe('properties of the state machine', () => {
  test('leaders are in sync and in service, epochs only rise, the ISR grows by its leader alone; P12', () => {
    fc.assert(
      fc.property(fc.array(stepArbitrary, { maxLength: 120 }), fc.constantFrom(1, 3), (steps, level) => {
        const machine = Machine.at(level);
        for (const step of steps) {
          const before = partitionsOf(machine.image);
          const bytesBefore = encodeImage(machine.image);
          const command = commandOf(machine, step);
          const verdict = machine.try(command);
          if (verdict !== 'ok') assert.deepEqual(encodeImage(machine.image), bytesBefore);
          for (const [key, partition] of partitionsOf(machine.image)) {
            checkPartition(machine.image, partition, level);
            const known = before.get(key);
            if (known === undefined) continue;
            // Whatever happens, somebody who has all that is committed stays.
            assert.ok(
              possibleLeaders(known).some((each) => partition.inSyncReplicas.includes(each)),
              'an ISR was exchanged',
            );
            if (known.replicas === partition.replicas) checkChange(command, known, partition);
          }
          checkReassignments(machine.image);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('snapshot = replay, byte for byte, wherever the snapshot was made', () => {
    fc.assert(
      fc.property(fc.array(stepArbitrary, { maxLength: 80 }), fc.nat(80), (steps, cut) => {
        const [whole, restored] = [Machine.at(3), Machine.at(3)];
        for (const [position, step] of steps.entries()) {
          if (position === cut) restored.image = decodeImage(encodeImage(restored.image));
          const command = commandOf(whole, step);
          assert.equal(whole.try(command), restored.try(command));
        }
        assert.deepEqual(encodeImage(whole.image), encodeImage(restored.image));
      }),
      { numRuns: 200 },
    );
  });
});
