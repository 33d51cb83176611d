import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { BrokerState } from '@fleetmq/gen/common/metadata';
import { DescribeClusterResponseSchema } from '@fleetmq/gen/controller/admin';
import { reportOf } from './cluster.ts';

const leader = { controllerId: 1, leader: true, voter: true, active: true, matchIndex: 90n };
const broker = (id: number, state: BrokerState) => ({ broker: { id }, state });

test('a cluster is judged by what its controllers say', () => {
  const follower = { controllerId: 2, voter: true, active: true, matchIndex: 88n };
  const cases = [
    [{ controllers: [leader, follower], brokers: [broker(1, BrokerState.ACTIVE)] }, []],
    [{ controllers: [leader, { ...follower, active: false }] }, ['controller 2 is silent']],
    [
      { controllers: [leader, { ...follower, voter: false, promoting: true }] },
      ['controller 2 catches up: 2 entries behind'],
    ],
    [{ controllers: [leader, { ...follower, voter: false }] }, []],
    [{ controllers: [leader], brokers: [broker(7, BrokerState.FENCED)] }, ['broker 7 is fenced']],
    [
      { controllers: [leader], offlinePartitionCount: 3, underReplicatedPartitionCount: 4 },
      ['3 partitions have no leader', '4 partitions lack replicas'],
    ],
    [
      {
        controllers: [leader],
        failedReplicas: [{ topicPartition: { topic: 'orders', partition: 3 }, brokerId: 2, reason: 'EIO' }],
      },
      ['the log of orders-3 on broker 2 has failed: EIO'],
    ],
  ] as const;
  for (const [cluster, problems] of cases) {
    const report = reportOf(create(DescribeClusterResponseSchema, structuredClone(cluster) as never));
    assert.deepEqual(report.problems, problems);
    assert.equal(report.healthy, problems.length === 0);
    assert.equal(report.leaderId, 1);
  }
});
