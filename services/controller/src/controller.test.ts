import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AdminService } from '@fleetmq/gen/controller/admin';
import { ControllerBrokerService } from '@fleetmq/gen/controller/cluster';
import { eventually, TestCluster } from './testing/cluster.ts';

describe('controllers', { timeout: 60_000 }, () => {
  test('one controller is a quorum', async () => {
    await using cluster = await TestCluster.start({ count: 1 });
    const leader = await cluster.leader();
    await eventually('a cluster id', () => leader.node.stateMachine.view.cluster.clusterId !== '');
    const admin = cluster.client(AdminService, 1);
    const described = await admin.describeCluster({});
    assert.match(described.clusterId, /^[0-9a-f]{32}$/);
  });

  test('three controllers elect a leader, and register a broker', async () => {
    await using cluster = await TestCluster.start({ count: 3 });
    const leader = await cluster.leader();
    await eventually('a cluster id', () => leader.node.stateMachine.view.cluster.clusterId !== '');
    const broker = cluster.client(ControllerBrokerService, leader.node.controllerId);
    const answer = await broker.registerBroker({
      brokerId: 1,
      incarnationId: 'a',
      diskId: 'd',
      endpoints: [{ listener: 'client', host: 'h', port: 1 }],
    });
    assert.ok(answer.brokerEpoch > 0n);
  });
});
