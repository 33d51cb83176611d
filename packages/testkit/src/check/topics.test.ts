import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { checkHistory } from './check-history.ts';
import { operation } from './histories.fuzz.ts';
import { type TopicOperation, topicModel } from './topics.ts';

type Times = readonly [number, number?];
type Output<Kind extends TopicOperation['kind']> = Extract<TopicOperation, { kind: Kind }>['output'];

const name = 'a';
const version = 1;
const exists = { refused: 'TOPIC_ALREADY_EXISTS' } as const;
const notFound = { refused: 'TOPIC_NOT_FOUND' } as const;
const of = operation<TopicOperation>;

const create = (times: Times, output?: string | typeof exists): TopicOperation =>
  of(times, {
    kind: 'createTopic',
    input: { name, partitions: 2 },
    output: typeof output === 'string' ? { topicId: output, version } : output,
  });
const remove = (times: Times, output?: Output<'deleteTopic'>): TopicOperation =>
  of(times, { kind: 'deleteTopic', input: { name }, output });
const alter = (times: Times, value: string, output?: Output<'alterTopic'>): TopicOperation =>
  of(times, { kind: 'alterTopic', input: { name, value }, output });
const grow = (times: Times, total: number, output?: Output<'addPartitions'>): TopicOperation =>
  of(times, { kind: 'addPartitions', input: { name, total }, output });
const read = (times: Times, topicId: string, partitions = 2, value: string | null = null): TopicOperation =>
  of(times, { kind: 'describeTopic', input: { name }, output: { topicId, partitions, value, version } });
const readNothing = (times: Times): TopicOperation =>
  of(times, { kind: 'describeTopic', input: { name }, output: notFound });
const done = { version };

const verdictOf = (operations: readonly TopicOperation[]): string => {
  const byCall = operations.toSorted((left, right) => left.invokedMs - right.invokedMs);
  const report = checkHistory(topicModel(byCall), byCall, { nowMs: () => 0 });
  return report.violations.length === 0 ? 'linearizable' : 'violation';
};

describe('topics', () => {
  const good: Record<string, readonly TopicOperation[]> = {
    'a life': [
      ...[readNothing([0, 1]), create([2, 3], 'x'), read([4, 5], 'x'), create([6, 7], exists)],
      ...[alter([8, 9], 'v', done), read([10, 11], 'x', 2, 'v'), grow([12, 13], 3, done), read([14, 15], 'x', 3, 'v')],
      ...[grow([16, 17], 3, { refused: 'INVALID_REQUEST' }), remove([18, 19], done), remove([20, 21], notFound)],
      ...[create([22, 23], 'y'), read([24, 25], 'y'), alter([26, 27], 'w', done)],
    ],
    'one of two creations wins': [create([0, 5], 'x'), create([0, 5], exists)],
    'an unknown creation tells its id later': [
      create([0]),
      create([1, 2], exists),
      read([3, 4], 'x'),
      read([5, 6], 'x'),
    ],
    'an unknown creation that comes late': [
      create([0]),
      readNothing([1, 2]),
      create([3, 4], 'x'),
      remove([5, 6], done),
      read([7, 8], 'y'),
    ],
    'an unknown creation that never comes': [create([0]), readNothing([1, 2]), readNothing([80, 81])],
    'an unknown deletion that comes late': [create([0, 1], 'x'), remove([2]), read([3, 4], 'x'), readNothing([5, 6])],
    'an unknown change that comes late': [
      create([0, 1], 'x'),
      alter([2], 'v'),
      read([3, 4], 'x'),
      read([5, 6], 'x', 2, 'v'),
    ],
    'an unknown growth that comes late': [create([0, 1], 'x'), grow([2], 4), read([3, 4], 'x'), read([5, 6], 'x', 4)],
    'refused, since it was absent for a moment': [
      create([0, 1], 'x'),
      remove([2, 9], done),
      alter([3, 8], 'v', notFound),
      create([4, 7], 'y'),
    ],
  };
  for (const [title, operations] of Object.entries(good)) {
    test(title, () => assert.equal(verdictOf(operations), 'linearizable'));
  }

  const bad: Record<string, readonly TopicOperation[]> = {
    'created twice': [create([0, 1], 'x'), create([2, 3], 'y')],
    'created at once, twice': [create([0, 5], 'x'), create([0, 5], 'y')],
    'a lost topic': [create([0, 1], 'x'), readNothing([2, 3])],
    'a topic that comes back': [create([0, 1], 'x'), remove([2, 3], done), read([4, 5], 'x')],
    'another id': [create([0, 1], 'x'), read([2, 3], 'y')],
    'the unknown id changes': [create([0]), read([1, 2], 'x'), read([3, 4], 'y')],
    'an unknown creation has the id of a known one': [
      create([0]),
      read([1, 2], 'x'),
      remove([3, 4], done),
      create([5, 6], 'x'),
    ],
    'refused by a controller that does not know of the deletion': [
      create([0, 1], 'x'),
      remove([2, 3], done),
      create([4, 5], exists),
    ],
    'refused by a controller that does not know of the creation': [create([0, 1], 'x'), alter([2, 3], 'v', notFound)],
    'a lost change': [create([0, 1], 'x'), alter([2, 3], 'v', done), read([4, 5], 'x')],
    'a change seen, then unseen': [create([0, 1], 'x'), alter([2], 'v'), read([3, 4], 'x', 2, 'v'), read([5, 6], 'x')],
    'lost partitions': [create([0, 1], 'x'), grow([2, 3], 4, done), read([4, 5], 'x', 2)],
    'it had fewer': [create([0, 1], 'x'), grow([2, 3], 4, { refused: 'INVALID_REQUEST' })],
    'grown to what it had': [create([0, 1], 'x'), grow([2, 3], 2, done)],
    'deleted twice': [create([0, 1], 'x'), remove([2, 3], done), remove([4, 5], done)],
  };
  for (const [title, operations] of Object.entries(bad)) {
    test(title, () => assert.equal(verdictOf(operations), 'violation'));
  }
});
