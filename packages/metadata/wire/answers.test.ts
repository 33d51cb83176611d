import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import {
  GetPartitionLeaderRequestSchema,
  GetTopicMetadataRequestSchema,
  ListTopicsRequestSchema,
} from '@fleetmq/gen/client/metadata';
import { ErrorCode } from '@fleetmq/gen/common/errors';
import {
  type BrokerImage,
  emptyCluster,
  type MetadataEvent,
  MetadataImage,
  type PartitionImage,
} from '@fleetmq/metadata';
import type { MetadataVersion, TopicId } from '@fleetmq/shared';
import fc from 'fast-check';
import { someBroker, somePartition } from '../src/histories.fuzz.ts';
import {
  brokerListAnswer,
  clusterMetadataAnswer,
  listTopicsAnswer,
  partitionLeaderAnswer,
  topicMetadataAnswer,
} from './index.ts';

function topicEvents(name: string, index: number, partitions: Partial<PartitionImage>[] = [{}]): MetadataEvent[] {
  const topicId = index.toString(16).padStart(32, '0') as TopicId;
  const topic = {
    topicId,
    name,
    config: new Map(),
    internal: name.startsWith('__'),
    partitionCount: partitions.length,
  };
  return [
    { kind: 'topic-changed', topic },
    ...partitions.map((changes, number): MetadataEvent => {
      return { kind: 'partition-changed', partition: { ...somePartition(topicId, number, 1), ...changes } };
    }),
  ];
}

function imageOf(...events: MetadataEvent[]): MetadataImage {
  const image = new MetadataImage();
  image.apply(42 as MetadataVersion, events);
  return image;
}

const broker = (brokerId: number, changes: Partial<BrokerImage> = {}): MetadataEvent => ({
  kind: 'broker-changed',
  broker: { ...someBroker(brokerId, 1), ...changes },
});

describe('topic metadata', () => {
  const image = imageOf(broker(1), broker(2), ...topicEvents('b', 1), ...topicEvents('a', 2), ...topicEvents('__c', 3));
  const answer = (...topics: string[]) =>
    topicMetadataAnswer(image, create(GetTopicMetadataRequestSchema, { topics }), 'client');

  test('comes in the order of the request, each with its own code', () => {
    const { topics, brokers, metadataVersion } = answer('b', 'nope', 'a/b', '__c', 'b');
    assert.deepEqual(
      topics.map(({ name, errorCode, topic }) => [name, errorCode, topic?.name]),
      [
        ['b', ErrorCode.OK, 'b'],
        ['nope', ErrorCode.TOPIC_NOT_FOUND, undefined],
        ['a/b', ErrorCode.INVALID_REQUEST, undefined],
        ['__c', ErrorCode.OK, '__c'],
        ['b', ErrorCode.OK, 'b'],
      ],
    );
    assert.equal(metadataVersion, 42n);
    assert.deepEqual(
      brokers.flatMap(({ endpoints }) => endpoints.map((endpoint) => endpoint.host)),
      ['client-1', 'client-2'],
    );
  });

  test('is of all topics that are not internal, by name, when none is named', () => {
    assert.deepEqual(
      answer().topics.map(({ name }) => name),
      ['a', 'b'],
    );
  });

  test('is refused for too many names', () => {
    assert.throws(() => answer(...Array.from({ length: 1_001 }, () => 'a')), { code: 'INVALID_REQUEST' });
  });
});

describe('list of topics', () => {
  const names = fc.uniqueArray(fc.stringMatching(/^(__)?[ab]{1,4}$/), { maxLength: 30 });
  const prefixes = fc.constantFrom('', 'a', 'ab', 'b', '__', '__a', 'zz');

  test('pages give every topic of the prefix once, in order', () => {
    fc.assert(
      fc.property(
        names,
        prefixes,
        fc.boolean(),
        fc.integer({ min: 1, max: 5 }),
        (all, prefix, includeInternal, pageSize) => {
          const image = imageOf(...all.flatMap((name, index) => topicEvents(name, index)));
          const listed: string[] = [];
          let pageToken = '';
          do {
            const request = create(ListTopicsRequestSchema, { prefix, includeInternal, pageSize, pageToken });
            const page = listTopicsAnswer(image, request);
            assert.ok(page.topics.length <= pageSize);
            assert.ok(page.topics.length > 0 || pageToken === '', 'no empty page behind the first');
            listed.push(...page.topics.map(({ name }) => name));
            pageToken = page.nextPageToken;
          } while (pageToken !== '');
          const wanted = all.filter((name) => name.startsWith(prefix) && (includeInternal || !name.startsWith('__')));
          assert.deepEqual(listed, wanted.sort());
        },
      ),
    );
  });

  test('has ids, counts and the replication factor of the first partition', () => {
    const partition = { replicas: [1, 2, 3] as never };
    const image = imageOf(...topicEvents('a', 7, [partition, partition]));
    const { topics } = listTopicsAnswer(image, create(ListTopicsRequestSchema));
    const [summary] = topics;
    assert.equal(summary?.topicId, '7'.padStart(32, '0'));
    assert.deepEqual([summary?.partitionCount, summary?.replicationFactor, summary?.internal], [2, 3, false]);
  });

  test('takes no foreign token', () => {
    for (const pageToken of ['x', '2.a', '1.', '1.a/b']) {
      const request = create(ListTopicsRequestSchema, { pageToken });
      assert.throws(() => listTopicsAnswer(imageOf(), request), { code: 'INVALID_REQUEST' });
    }
  });
});

describe('leader of a partition', () => {
  const led = { leaderId: 1 as never, leaderEpoch: 5 as never };
  const image = imageOf(
    broker(1),
    broker(2, { endpoints: [] }),
    ...topicEvents('a', 1, [led, { leaderId: 0 as never }, { leaderId: 2 as never }, { leaderId: 9 as never }]),
  );
  const answer = (topic: string, partition: number) =>
    partitionLeaderAnswer(
      image,
      create(GetPartitionLeaderRequestSchema, { topicPartition: { topic, partition } }),
      'client',
    );

  test('is named with its address and epoch', () => {
    const { errorCode, leader, partition } = answer('a', 0);
    assert.equal(errorCode, ErrorCode.OK);
    assert.deepEqual([leader?.broker?.id, leader?.endpoints[0]?.host, partition?.leaderEpoch], ['1', 'client-1', 5]);
  });

  for (const [number, why] of [
    [1, 'nobody leads'],
    [2, 'the leader has no such listener'],
    [3, 'the leader is not registered'],
  ] as const) {
    test(`is not available while ${why}; the partition is still described`, () => {
      const { errorCode, leader, partition } = answer('a', number);
      assert.equal(errorCode, ErrorCode.NOT_AVAILABLE);
      assert.equal(leader, undefined);
      assert.equal(partition?.partition, number);
    });
  }

  test('is refused by its own code for an unknown topic, a bad name or a partition that is not there', () => {
    assert.equal(answer('b', 0).errorCode, ErrorCode.TOPIC_NOT_FOUND);
    assert.equal(answer('..', 0).errorCode, ErrorCode.INVALID_REQUEST);
    const { errorCode, errorMessage } = answer('a', 4);
    assert.equal(errorCode, ErrorCode.PARTITION_NOT_FOUND);
    assert.equal(errorMessage, 'topic a has partitions 0 to 3, not 4');
    const empty = create(GetPartitionLeaderRequestSchema);
    assert.equal(partitionLeaderAnswer(image, empty, 'client').errorCode, ErrorCode.INVALID_REQUEST);
  });
});

describe('cluster metadata', () => {
  const image = imageOf(broker(2), broker(1, { state: 'fenced' }), {
    kind: 'cluster-changed',
    cluster: { ...emptyCluster, clusterId: 'c1' },
  });
  const controllers = [
    { controllerId: 1, host: 'h1', port: 7621 },
    { controllerId: 2, host: 'h2', port: 7622 },
  ];
  const about = { controllers, controllerLeaderId: 2, securityMode: 'open', serverVersion: '0.1.0', ageMs: 1_500 };

  test('shows addresses of controllers on internal listeners alone', () => {
    const client = clusterMetadataAnswer(image, { listener: 'client', ...about });
    const internal = clusterMetadataAnswer(image, { listener: 'internal', ...about });
    assert.deepEqual(
      client.controllers.map(({ controllerId, host, port, leader }) => [controllerId, host, port, leader]),
      [
        [1, '', 0, false],
        [2, '', 0, true],
      ],
    );
    assert.deepEqual(
      internal.controllers.map(({ host, port }) => [host, port]),
      [
        ['h1', 7621],
        ['h2', 7622],
      ],
    );
    assert.equal(client.clusterId, 'c1');
    assert.deepEqual([client.metadataAge?.seconds, client.metadataAge?.nanos], [1n, 500_000_000]);
    assert.equal(client.apiVersion?.major, 1);
  });

  test('lists fenced brokers too, by id', () => {
    assert.deepEqual(
      brokerListAnswer(image, 'client').brokers.map((each) => each.broker?.id),
      ['1', '2'],
    );
  });
});
