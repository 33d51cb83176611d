import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  describeTopicConfig,
  effectiveTopicConfig,
  type TopicSetting,
  topicSettingNames,
  topicSettings,
  validateClusterConfig,
  validateTopicConfig,
} from './index.ts';

const none = { config: new Map<string, string>() };
const config = (entries: Record<string, string>): { config: Map<string, string> } => ({
  config: new Map(Object.entries(entries)),
});

describe('topic settings', () => {
  const accepted: readonly (readonly [string, string])[] = [
    ['retention.ms', '-1'],
    ['retention.ms', '1'],
    ['retention.bytes', '9007199254740991'],
    ['segment.bytes', '4096'],
    ['segment.bytes', '1073741824'],
    ['segment.ms', '1000'],
    ['max.message.bytes', '3145728'],
    ['min.insync.replicas', '3'],
    ['flush.policy', 'unsafe-os-cache'],
    ['cleanup.policy', 'compact,delete'],
    ['delete.retention.ms', '0'],
    ['message.timestamp.after.max.ms', '-1'],
  ];
  for (const [name, value] of accepted) {
    test(`${name} = ${value} is accepted`, () => validateTopicConfig(new Map([[name, value]]), 3));
  }

  const refused: readonly (readonly [string, string, RegExp])[] = [
    ['cleanup.policy', 'compact,compact', /is none of delete, compact, compact,delete/],
    ['retention.ms', '0', /no whole number of 1/],
    ['retention.ms', '-2', /nor -1 \(no limit\)/],
    ['retention.ms', '1e3', /no whole number/],
    ['retention.ms', '07', /no whole number/],
    ['retention.ms', ' 7', /no whole number/],
    ['retention.ms', '', /no whole number/],
    ['retention.ms', '9007199254740992', /no whole number/],
    ['segment.bytes', '4095', /4096 to 1073741824$/],
    ['segment.bytes', '-1', /no whole number/],
    ['max.message.bytes', '3145729', /no whole number/],
    ['min.insync.replicas', '0', /no whole number/],
    ['min.insync.replicas', '4', /above the replication factor 3/],
    ['flush.policy', 'never', /none of fsync, unsafe-os-cache/],
    ['retention.msec', '1', /there is no setting retention.msec; there are cleanup.policy, delete/],
    ['__proto__', '1', /there is no setting/],
    ['toString', '1', /there is no setting/],
  ];
  for (const [name, value, message] of refused) {
    test(`${name} = "${value}" is refused`, () => {
      assert.throws(() => validateTopicConfig(new Map([[name, value]]), 3), { code: 'INVALID_CONFIG', message });
    });
  }

  test('a cluster-wide default knows no replication factor', () => {
    validateClusterConfig(new Map([['min.insync.replicas', '4']]));
  });

  test('every default is valid, and described in the order of names', () => {
    for (const name of topicSettingNames) {
      const { defaultValue }: TopicSetting = topicSettings[name];
      validateClusterConfig(new Map([[name, defaultValue]]));
    }
    const described = describeTopicConfig(none, none, 3);
    assert.deepEqual(
      described.map((entry) => entry.name),
      topicSettingNames,
    );
  });

  test('the topic wins over the cluster, and the cluster over the table', () => {
    const topic = config({ 'segment.ms': '2000' });
    const cluster = config({ 'segment.ms': '3000', 'segment.bytes': '8192' });
    const effective = effectiveTopicConfig(topic, cluster, 3);
    assert.equal(effective.segmentMs, 2_000);
    assert.equal(effective.segmentBytes, 8_192);
    assert.equal(effective.maxMessageBytes, 1_048_576);
    const sources = new Map(describeTopicConfig(topic, cluster, 3).map((entry) => [entry.name, entry.source]));
    assert.equal(sources.get('segment.ms'), 'topic');
    assert.equal(sources.get('segment.bytes'), 'cluster');
    assert.equal(sources.get('max.message.bytes'), 'default');
  });

  test('no limit reads as undefined', () => {
    const { retentionBytes, retentionMs } = effectiveTopicConfig(config({ 'retention.ms': '-1' }), none, 3);
    assert.deepEqual({ retentionBytes, retentionMs }, { retentionBytes: undefined, retentionMs: undefined });
  });

  const minInsync: readonly (readonly [string, Record<string, string>, Record<string, string>, number, number])[] = [
    ['2 by default', {}, {}, 3, 2],
    ['1 where there is one replica', {}, {}, 1, 1],
    ['the cluster-wide value, up to the replication factor', {}, { 'min.insync.replicas': '3' }, 2, 2],
    ["the topic's own value", { 'min.insync.replicas': '1' }, { 'min.insync.replicas': '3' }, 3, 1],
  ];
  for (const [what, topic, cluster, replicationFactor, expected] of minInsync) {
    test(`min.insync.replicas is ${what}`, () => {
      const effective = effectiveTopicConfig(config(topic), config(cluster), replicationFactor);
      assert.equal(effective.minInsyncReplicas, expected);
    });
  }
});
