import assert from 'node:assert/strict';
import { test } from 'node:test';
import { operation } from './histories.fuzz.ts';
import { expectedTopics, lostTopics } from './lost-topics.ts';
import type { TopicOperation } from './topics.ts';

const of = operation<TopicOperation>;
const version = 1;
const create = (times: readonly [number, number?], name: string, topicId?: string): TopicOperation =>
  of(times, {
    kind: 'createTopic',
    input: { name, partitions: 1 },
    output: topicId === undefined ? undefined : { topicId, version },
  });
const remove = (times: readonly [number, number?], name: string): TopicOperation =>
  of(times, { kind: 'deleteTopic', input: { name }, output: { version } });

test('what was acknowledged and not deleted must exist, under its id', () => {
  const refused = of([7, 8], { kind: 'deleteTopic', input: { name: 'a' }, output: { refused: 'TOPIC_NOT_FOUND' } });
  const expected = expectedTopics([
    ...[create([0, 1], 'a', 'x'), remove([2, 3], 'a'), create([4, 5], 'a', 'y'), refused],
    ...[create([0, 1], 'deleted', 'd'), remove([2, 3], 'deleted')],
    ...[create([0, 9], 'concurrent', 'c'), remove([2, 3], 'concurrent')],
    ...[create([0, 1], 'unknown', 'u'), remove([2], 'unknown')],
    ...[create([0], 'lost answer')],
  ]);
  assert.equal(expected.created, 5);
  assert.deepEqual([...expected.mustExist], [['a', 'y']]);
  assert.deepEqual(lostTopics(expected, new Map([['a', 'y']])), []);
  assert.equal(lostTopics(expected, new Map([['a', 'x']])).length, 1);
  assert.deepEqual(lostTopics(expected, new Map()), ['topic a with id y is lost: found nothing']);
});
