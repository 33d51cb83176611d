import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type BrokerImage, type MetadataEvent, MetadataImage } from '@fleetmq/metadata';
import type { MetadataVersion, TopicId } from '@fleetmq/shared';
import { activeBrokers, locate } from './locate.ts';

const topicId = 'a'.repeat(32) as TopicId;

function broker(brokerId: number, changes: Partial<BrokerImage> = {}): MetadataEvent {
  const endpoint = { listener: 'internal', host: `host-${brokerId}`, port: 7611, tls: false } as const;
  const plain = { brokerEpoch: 1, incarnationId: '', rackId: '', diskId: '', features: new Map(), state: 'active' };
  return { kind: 'broker-changed', broker: { ...plain, brokerId, endpoints: [endpoint], ...changes } as BrokerImage };
}

function partition(number: number, leaderId: number): MetadataEvent {
  const value = {
    topicId,
    partition: number,
    leaderId,
    leaderEpoch: 1,
    replicas: [1],
    inSyncReplicas: [1],
    partitionEpoch: 1,
  };
  return { kind: 'partition-changed', partition: value as never };
}

describe('where a call goes', () => {
  const image = new MetadataImage();
  image.apply(1 as MetadataVersion, [
    broker(1),
    broker(2, { endpoints: [{ listener: 'internal', host: '::1', port: 1, tls: true }] }),
    broker(3, { endpoints: [] }),
    broker(4, { state: 'fenced' }),
    broker(5, { state: 'draining' }),
    { kind: 'topic-changed', topic: { topicId, name: 't', config: new Map(), internal: false, partitionCount: 5 } },
    ...[1, 2, 3, 0, 9].map((leaderId, number) => partition(number, leaderId)),
  ]);
  const at = (number: number, topic = 't') => locate(image, { topic, partition: number });

  test('is the internal listener of the leader', () => {
    assert.deepEqual(at(0), { kind: 'leader', leader: { brokerId: 1, url: 'http://host-1:7611' } });
    assert.deepEqual(at(1), { kind: 'leader', leader: { brokerId: 2, url: 'https://[::1]:1' } });
  });

  test('is nowhere while nobody who can be reached leads', () => {
    for (const number of [2, 3, 4]) assert.equal(at(number).kind, 'none');
  });

  test('is an error for what does not exist', () => {
    const codeOf = (location: ReturnType<typeof locate>) =>
      location.kind === 'missing' ? location.error.code : 'none';
    assert.equal(codeOf(at(5)), 'PARTITION_NOT_FOUND');
    assert.equal(codeOf(at(0, 'u')), 'TOPIC_NOT_FOUND');
    assert.equal(codeOf(at(0, '../etc')), 'INVALID_REQUEST');
  });

  test('for calls that any broker answers, is a broker in service', () => {
    assert.deepEqual(
      activeBrokers(image).map(({ brokerId }) => brokerId),
      [1, 2],
    );
  });
});
