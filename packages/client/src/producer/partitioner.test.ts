import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '@fleetmq/shared';
import type { TopicView } from '../metadata.ts';
import { fixedPartition, StickyChoice } from './partitioner.ts';

function topic(...leaders: number[]): TopicView {
  const partitions = leaders.map((leaderId, partition) => ({ partition, leaderId, leaderEpoch: 1 }));
  return { name: 't', topicId: '', partitions, config: {} };
}

test('the sticky choice stays until its batch is closed, then takes another, led partition', () => {
  const sticky = new StickyChoice(seededRandom(1));
  const view = topic(1, 0, 2, 3);
  const first = sticky.choose(view, () => true);
  assert.equal(
    sticky.choose(view, () => false),
    first,
  );
  const seen = new Set<number>();
  let last = first;
  for (let i = 0; i < 100; i++) {
    const choice = sticky.choose(view, () => true);
    assert.notEqual(choice, last);
    seen.add(choice);
    last = choice;
  }
  assert.deepEqual([...seen].toSorted(), [0, 2, 3]);
});

test('with one partition, or with no leader anywhere, there is still a choice', () => {
  const sticky = new StickyChoice(seededRandom(1));
  assert.equal(
    sticky.choose(topic(1), () => true),
    0,
  );
  assert.equal(
    sticky.choose(topic(1), () => true),
    0,
  );
  assert.ok(sticky.choose(topic(0, 0, 0), () => true) < 3);
});

test('a given partition wins over the partitioner, the partitioner over the key', () => {
  const view = topic(1, 1, 1, 1);
  const key = new TextEncoder().encode('foobar');
  assert.equal(
    fixedPartition(view, { key, partition: 3 }, () => 1),
    3,
  );
  assert.equal(
    fixedPartition(view, { key, partition: undefined }, () => 1),
    1,
  );
  assert.equal(
    fixedPartition(view, { key, partition: undefined }, () => undefined),
    2,
  );
  assert.equal(fixedPartition(view, { key: undefined, partition: undefined }, undefined), undefined);
  assert.throws(() => fixedPartition(view, { key, partition: 4 }, undefined), { code: 'PARTITION_NOT_FOUND' });
});
