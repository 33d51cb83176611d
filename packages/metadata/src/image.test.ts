import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MetadataVersion, TopicId } from '@fleetmq/shared';
import fc from 'fast-check';
import { histories, type Step, someBroker, somePartition } from './histories.fuzz.ts';
import {
  comparePartitions,
  differenceOf,
  joinSnapshotParts,
  MetadataImage,
  type PartitionImage,
  snapshotParts,
} from './index.ts';

function fold(steps: readonly Step[], image = new MetadataImage()): MetadataImage {
  for (const step of steps) image.apply(step.version, step.events);
  return image;
}

/** Every reader against a full scan of the snapshot: what an index answers is what a search finds. */
function assertIndexesAgree(image: MetadataImage): void {
  const { topics, partitions, brokers, reassignments } = image.snapshot();
  for (const topic of topics) {
    assert.equal(image.topicById(topic.topicId), topic);
    assert.equal(image.topicByName(topic.name), topic);
    const own = partitions.filter((partition) => partition.topicId === topic.topicId);
    assert.deepEqual(image.partitions(topic.topicId), own);
    assert.equal(own.length, topic.partitionCount);
    for (const partition of own) assert.equal(image.partition(topic.topicId, partition.partition), partition);
  }
  assert.deepEqual(
    image.movingPartitions(),
    partitions.filter(({ move }) => move !== undefined),
  );
  for (const each of reassignments) assert.equal(image.reassignment(each.reassignmentId), each);
  assert.equal(image.topicCount, topics.length);
  assert.equal(image.partitionCount, partitions.length);
  const names = image.topics().map((topic) => topic.name);
  assert.deepEqual(names, [...names].sort());
  assert.deepEqual(new Set(image.topics()), new Set(topics));
  for (const broker of brokers) assert.equal(image.broker(broker.brokerId), broker);
  for (let brokerId = 1; brokerId <= 9; brokerId++) {
    const held = partitions.filter((partition) => partition.replicas.some((replica) => replica === brokerId));
    assert.deepEqual(image.partitionsOfBroker(brokerId as never), held.sort(comparePartitions));
    assert.deepEqual(image.holding(brokerId as never), {
      replicaCount: held.length,
      preferredCount: held.filter(({ replicas }) => replicas[0] === brokerId).length,
    });
  }
}

describe('metadata image', () => {
  test('is the fold of its events: a snapshot restores the same image, whatever the history', () => {
    fc.assert(
      fc.property(histories, fc.nat(60), (steps, cut) => {
        const whole = fold(steps);
        const restored = fold(steps.slice(cut), MetadataImage.fromSnapshot(fold(steps.slice(0, cut)).snapshot()));
        assert.deepEqual(restored.snapshot(), whole.snapshot());
        assert.deepEqual(restored.topics(), whole.topics());
      }),
    );
  });

  test('keeps the order of names through every change', () => {
    fc.assert(
      fc.property(histories, (steps) => {
        const image = new MetadataImage();
        for (const step of steps) {
          fold([step], image);
          const names = image.topics().map(({ name }) => name);
          assert.deepEqual(names, [...names].sort());
          assert.deepEqual(new Set(image.topics()), new Set(image.snapshot().topics));
        }
      }),
    );
  });

  test('keeps its indexes in step with its content', () => {
    fc.assert(fc.property(histories, (steps) => assertIndexesAgree(fold(steps))));
  });

  test('does not change when its last events are applied again', () => {
    fc.assert(
      fc.property(histories, (steps) => {
        const image = fold(steps);
        const before = image.snapshot();
        const last = steps.at(-1);
        if (last !== undefined) image.apply(last.version, last.events);
        assert.deepEqual(image.snapshot(), before);
      }),
    );
  });

  test('reaches any later snapshot by the difference, and the difference of equals is empty', () => {
    fc.assert(
      fc.property(histories, fc.nat(60), (steps, cut) => {
        const image = fold(steps.slice(0, cut));
        const after = fold(steps).snapshot();
        image.apply(after.version, differenceOf(image.snapshot(), after));
        assert.deepEqual(image.snapshot(), after);
        assertIndexesAgree(image);
        assert.deepEqual(differenceOf(after, MetadataImage.fromSnapshot(after).snapshot()), []);
      }),
    );
  });

  test('travels in parts of bounded size', () => {
    fc.assert(
      fc.property(histories, fc.integer({ min: 1, max: 9 }), (steps, itemsMax) => {
        const snapshot = fold(steps).snapshot();
        const parts = [...snapshotParts(snapshot, itemsMax)];
        for (const part of parts) {
          const { brokers, topics, partitions, reassignments } = part;
          assert.ok(brokers.length + topics.length + partitions.length + reassignments.length <= itemsMax);
        }
        assert.deepEqual(joinSnapshotParts(parts), snapshot);
      }),
    );
  });

  test('refuses what no controller may send', () => {
    const topicId = '0'.repeat(32) as TopicId;
    const topic = { topicId, name: 'a', config: new Map(), internal: false, partitionCount: 2 };
    const image = new MetadataImage();
    image.apply(5 as MetadataVersion, [
      { kind: 'broker-changed', broker: someBroker(1, 1) },
      { kind: 'topic-changed', topic },
      { kind: 'partition-changed', partition: somePartition(topicId, 0, 1) },
    ]);
    const refused = (events: Parameters<MetadataImage['apply']>[1], version = 6): void => {
      assert.throws(() => image.apply(version as MetadataVersion, events), { name: 'AssertionFailure' });
    };
    const partition = (id: TopicId, number: number): { kind: 'partition-changed'; partition: PartitionImage } => ({
      kind: 'partition-changed',
      partition: somePartition(id, number, 1),
    });
    refused([], 4);
    refused([partition('1'.repeat(32) as TopicId, 0)]);
    refused([partition(topicId, 2)]);
    refused([{ kind: 'topic-changed', topic: { ...topic, name: 'b' } }]);
    refused([{ kind: 'topic-changed', topic: { ...topic, topicId: '1'.repeat(32) as TopicId } }]);
    refused([{ kind: 'topic-changed', topic: { ...topic, partitionCount: 0 } }]);
    assert.equal(image.version, 5);
  });
});
