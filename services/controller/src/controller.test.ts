/** Controllers in one process, over real sockets and disks: elections, commands, restarts, snapshots, watches (P10, P24). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BrokerReplicationService } from '@fleetmq/gen/broker/replication';
import { AdminService } from '@fleetmq/gen/controller/admin';
import { ControllerBrokerService } from '@fleetmq/gen/controller/cluster';
import { ControllerRaftService } from '@fleetmq/gen/controller/raft';
import { Health } from '@fleetmq/gen/grpc/health/v1/health';
import { MetadataWatch } from '@fleetmq/metadata/link';
import { DomainError, seededRandom } from '@fleetmq/shared';
import { nodeClock, nodeTimers } from '@fleetmq/shared/runtime';
import { eventually, registerBroker, TestCluster } from './testing/cluster.ts';

const rejectsWith = (promise: Promise<unknown>, code: string): Promise<void> =>
  assert.rejects(promise, (error) => error instanceof DomainError && error.code === code);

describe('three controllers', { timeout: 120_000 }, () => {
  test('agree on a cluster id, brokers and topics; followers name the leader', async () => {
    await using cluster = await TestCluster.start({ count: 3 });
    const leader = await cluster.leader();
    const leaderId = leader.node.controllerId;
    for (const brokerId of [1, 2, 3]) await registerBroker(cluster, brokerId);
    const admin = cluster.client(AdminService, leaderId);
    const { topic } = await admin.createTopic({ name: 'orders', partitionCount: 6 });
    assert.equal(topic?.partitions.length, 6);
    assert.deepEqual(
      topic.partitions.map(({ leaderId, replicas }) => [leaderId, [...replicas].sort()]),
      topic.partitions.map(({ replicas }) => [replicas[0], [1, 2, 3]]),
    );
    await rejectsWith(admin.createTopic({ name: 'orders' }), 'TOPIC_ALREADY_EXISTS');
    await rejectsWith(admin.createTopic({ name: 'no spaces' }), 'INVALID_REQUEST');
    await rejectsWith(admin.createTopic({ name: 'x', replicationFactor: 4 }), 'INVALID_REPLICATION_FACTOR');
    await rejectsWith(admin.createTopic({ name: 'x', config: { nonsense: '1' } }), 'INVALID_CONFIG');
    await rejectsWith(
      admin.createTopic({ name: 'x', replicationFactor: 1, config: { 'min.insync.replicas': '2' } }),
      'INVALID_CONFIG',
    );
    const dryRun = await admin.createTopic({ name: 'later', validateOnly: true });
    assert.equal(dryRun.topic?.partitions.length, 1);
    await rejectsWith(admin.describeTopic({ name: 'later' }), 'TOPIC_NOT_FOUND');

    const follower = cluster.ids.find((id) => id !== leaderId) as number;
    const hint = `${leaderId}@127.0.0.1:${leader.listeners.internal.port}`;
    await assert.rejects(cluster.client(AdminService, follower).describeTopic({ name: 'orders' }), (error) => {
      return error instanceof DomainError && error.code === 'NOT_LEADER' && error.leaderHint === hint;
    });
    await eventually('equal metadata everywhere', () => {
      const states = cluster.running.map(({ node }) => Buffer.from(node.stateMachine.snapshotBytes()).toString('hex'));
      return new Set(states).size === 1 && leader.node.stateMachine.view.topics().length === 1;
    });
    const described = await admin.describeCluster({});
    assert.equal(described.controllers.filter((each) => each.leader && each.voter).length, 1);
    assert.equal(described.partitionCount, 6);
  });

  test('P24: a new leader within three election timeouts of the old one, and nothing is lost, also across restarts', async () => {
    await using cluster = await TestCluster.start({ count: 3 });
    await registerBroker(cluster, 1);
    const first = await cluster.leader();
    const firstId = first.node.controllerId;
    await cluster.client(AdminService, firstId).createTopic({ name: 'kept' });
    const startMs = performance.now();
    await cluster.stopOne(firstId, 'kill');
    const second = await cluster.leader();
    const tookMs = performance.now() - startMs;
    assert.notEqual(second.node.controllerId, firstId);
    // Three timeouts of 300 ms, and room for a machine that has other things to do.
    assert.ok(tookMs < 3 * 300 + 2_000, `${tookMs} ms without a leader`);
    const admin = cluster.client(AdminService, second.node.controllerId);
    assert.equal((await admin.describeTopic({ name: 'kept' })).topic?.name, 'kept');
    await admin.createTopic({ name: 'meanwhile' });

    const returned = await cluster.startOne(firstId);
    await eventually('the returned node to catch up', () => returned.node.stateMachine.view.topics().length === 2);
    for (const id of cluster.ids) await cluster.stopOne(id, 'kill');
    await Promise.all(cluster.ids.map((id) => cluster.startOne(id)));
    const third = await cluster.leader();
    const names = third.node.stateMachine.view.topics().map(({ name }) => name);
    assert.deepEqual(names, ['kept', 'meanwhile']);
  });

  test('a follower that was away too long catches up by a snapshot', async () => {
    await using cluster = await TestCluster.start({ count: 3, snapshotEntries: 20 });
    await registerBroker(cluster, 1);
    const leader = await cluster.leader();
    const away = cluster.ids.find((id) => id !== leader.node.controllerId) as number;
    await cluster.stopOne(away, 'kill');
    const admin = cluster.client(AdminService, leader.node.controllerId);
    for (let number = 0; number < 60; number++) await admin.createTopic({ name: `topic-${number}` });
    await eventually('a compacted log', () => leader.node.quorum.report().firstIndex > 40);
    const returned = await cluster.startOne(away);
    await eventually('the returned node to catch up', () => returned.node.stateMachine.view.topics().length === 60);
    assert.ok(returned.node.quorum.report().firstIndex > 40, 'it has got a snapshot');
    assert.deepEqual(returned.node.stateMachine.snapshotBytes(), leader.node.stateMachine.snapshotBytes());
    await cluster.stopOne(away, 'kill');
    const again = await cluster.startOne(away);
    assert.equal(again.node.stateMachine.view.topics().length, 60);
  });

  test('a snapshot that is made in slices, while the metadata change, is the state of its index', async () => {
    await using cluster = await TestCluster.start({ count: 1, snapshotEntries: 30 });
    const broker = await registerBroker(cluster, 1);
    using _heartbeats = broker.heartbeats();
    const { node } = await cluster.leader();
    const admin = cluster.client(AdminService, node.controllerId);
    for (let number = 0; number < 4; number++) await admin.createTopic({ name: `t${number}`, partitionCount: 3_000 });
    const before = node.storage.currentSnapshot().index;
    await eventually('a snapshot', async () => {
      const set = { 'retention.ms': String(1_000 + node.stateMachine.appliedIndex) };
      await admin.alterTopicConfig({ name: `t${node.stateMachine.appliedIndex % 4}`, set });
      return node.storage.currentSnapshot().index > before;
    });
    const state = Buffer.from(node.stateMachine.snapshotBytes());
    await cluster.stopOne(1, 'kill');
    // The snapshot, and the log behind it.
    const again = await cluster.startOne(1);
    assert.ok(again.node.storage.currentSnapshot().index > before);
    await eventually('the log to be applied', () => again.node.leadership.isReady);
    assert.deepEqual(Buffer.from(again.node.stateMachine.snapshotBytes()), state);
  });

  test('J24: a watch goes on from its version on another controller, without gap or double', async () => {
    await using cluster = await TestCluster.start({ count: 3 });
    await registerBroker(cluster, 1);
    const leader = await cluster.leader();
    const controllers = cluster.ids.map((id) => cluster.addressOf(id));
    const versions: number[] = [];
    await using watch = new MetadataWatch({
      controllers,
      transportOf: ({ host, port }) => cluster.pool.get(`http://${host}:${port}`),
      watcher: 'test',
      clock: nodeClock,
      timers: nodeTimers,
      random: seededRandom(1),
    });
    watch.onChange((_, version) => versions.push(version));
    watch.start();
    await watch.waitForVersion(leader.node.stateMachine.view.version, AbortSignal.timeout(20_000));
    const names = (): string[] => watch.image.topics().map(({ name }) => name);
    const expected: string[] = [];
    for (const id of cluster.ids) {
      const { node } = await cluster.leader();
      const name = `after-${id}`;
      const { metadataVersion } = await cluster.client(AdminService, node.controllerId).createTopic({ name });
      expected.push(name);
      await watch.waitForVersion(Number(metadataVersion), AbortSignal.timeout(20_000));
      assert.deepEqual(names(), expected);
      await cluster.stopOne(id, 'stop');
      await cluster.startOne(id);
    }
    assert.deepEqual(
      versions,
      [...new Set(versions)].sort((left, right) => left - right),
    );
    assert.equal(watch.image.broker(1 as never)?.brokerId, 1);
  });

  test('a leader that stops hands over first', async () => {
    await using cluster = await TestCluster.start({ count: 3 });
    const leader = await cluster.leader();
    const { term } = leader.node.leadership;
    await cluster.stopOne(leader.node.controllerId, 'stop');
    await cluster.leader();
    // One election, without anybody waiting for a timeout and failing.
    assert.ok(cluster.running.every(({ node }) => node.leadership.term === term + 1));
  });

  test('a leadership is moved on request', async () => {
    await using cluster = await TestCluster.start({ count: 3 });
    const leader = await cluster.leader();
    const target = cluster.ids.find((id) => id !== leader.node.controllerId) as number;
    const raft = cluster.client(ControllerRaftService, leader.node.controllerId);
    const moved = await raft.transferControllerLeadership({ targetId: target });
    assert.equal(moved.leaderId, target);
    await cluster.leader();
    const { configuration, peers } = await cluster
      .client(ControllerRaftService, target)
      .getConfiguration({ linearizable: true });
    assert.deepEqual(configuration?.voters, [1, 2, 3]);
    assert.equal(peers.length, 3);
    assert.ok(configuration.peers.every(({ host }) => host === '127.0.0.1'));
  });

  test('Raft messages of strangers are refused', async () => {
    await using cluster = await TestCluster.start({ count: 3 });
    await registerBroker(cluster, 1);
    const { node } = await cluster.leader();
    const { clusterId } = node.stateMachine.view.cluster;
    // To a follower, as if from the leader.
    const senderId = node.controllerId;
    const targetId = cluster.ids.find((id) => id !== senderId) as number;
    const raft = cluster.client(ControllerRaftService, targetId);
    const vote = { term: 99n, candidateId: String(senderId), lastLogIndex: 99n, lastLogTerm: 99n };
    const good = { clusterId, senderId, targetId, senderDiskId: 'another disk' };
    await eventually('the follower to know its leader', () => cluster.one(targetId).node.identity.diskOf(senderId));
    await rejectsWith(raft.requestVote({ ...vote }), 'INVALID_REQUEST');
    await rejectsWith(raft.requestVote({ ...vote, envelope: { ...good, clusterId: 'x' } }), 'WRONG_CLUSTER');
    await rejectsWith(raft.requestVote({ ...vote, envelope: { ...good, targetId: senderId } }), 'WRONG_TARGET');
    // Nobody that this node knows, and with a log that has nothing new.
    const nobody = { ...vote, lastLogIndex: 1n, lastLogTerm: 1n, envelope: { ...good, senderId: 9 } };
    await rejectsWith(raft.requestVote(nobody), 'UNAUTHORIZED');
    await rejectsWith(
      raft.requestVote({
        ...nobody,
        lastLogIndex: 99n,
        lastLogTerm: 99n,
        envelope: { ...nobody.envelope, clusterId: '' },
      }),
      'UNAUTHORIZED',
    );
    await rejectsWith(
      raft.requestVote({ ...vote, envelope: { ...good, targetDiskId: 'not this one' } }),
      'WRONG_TARGET',
    );
    // The wiped disk under the old id.
    await rejectsWith(raft.requestVote({ ...vote, envelope: good }), 'UNAUTHORIZED');
    await rejectsWith(raft.requestVote({ ...vote, version: { major: 2 } }), 'UNSUPPORTED_VERSION');
    await rejectsWith(raft.timeoutNow({ term: 1n, envelope: good }), 'UNAUTHORIZED');
  });

  test('P24: a wiped disk under the old id is a stranger: it counts for nothing', async () => {
    await using cluster = await TestCluster.start({ count: 3 });
    await registerBroker(cluster, 1);
    const leader = await cluster.leader();
    const leaderId = leader.node.controllerId;
    const [wiped, other] = cluster.ids.filter((id) => id !== leaderId) as [number, number];
    await eventually('every disk to be agreed on', () =>
      cluster.running.every(
        ({ node }) => node.stateMachine.membership.members.filter(({ diskId }) => diskId !== '').length === 3,
      ),
    );
    await cluster.stopOne(wiped, 'kill');
    await cluster.stopOne(other, 'kill');
    await cluster.wipe(wiped);
    await cluster.startOne(wiped);
    await eventually('check-quorum to depose the leader', () => !leader.node.leadership.isLeader);
    const { term } = leader.node.leadership;
    const admin = cluster.client(AdminService, leaderId);
    await rejectsWith(admin.createTopic({ name: 'lost' }), 'NOT_LEADER');
    await cluster.startOne(other);
    await cluster.leader();
    assert.ok(leader.node.leadership.term > term);
    assert.equal(cluster.one(wiped).node.stateMachine.view.brokers().length, 0);
  });

  test('without a quorum nothing is answered, and with it again everything goes on', async () => {
    await using cluster = await TestCluster.start({ count: 3 });
    await registerBroker(cluster, 1);
    const leader = await cluster.leader();
    const others = cluster.ids.filter((id) => id !== leader.node.controllerId);
    for (const id of others) await cluster.stopOne(id, 'kill');
    const admin = cluster.client(AdminService, leader.node.controllerId);
    await assert.rejects(admin.createTopic({ name: 'lost' }, { timeoutMs: 5_000 }), (error) => {
      return error instanceof DomainError && ['TIMEOUT', 'NOT_LEADER', 'PROPOSAL_DROPPED'].includes(error.code);
    });
    await eventually('check-quorum to depose the leader', () => !leader.node.leadership.isLeader);
    assert.equal(leader.isReady, false);
    await cluster.startOne(others[0] as number);
    const next = await cluster.leader();
    await cluster.client(AdminService, next.node.controllerId).createTopic({ name: 'found' });
  });
});

describe('one controller that dies', { timeout: 120_000 }, () => {
  test('J21: at whatever step of the driver, what was answered is there after the restart', async () => {
    const steps = Array.from({ length: 24 }, (_, position) => position + 1);
    for (let from = 0; from < steps.length; from += 8) await Promise.all(steps.slice(from, from + 8).map(dieAt));
  });

  async function dieAt(step: number): Promise<void> {
    const crash = { left: step, fatal: 0 };
    const failpoint = (): void => {
      if (--crash.left === 0) throw new Error('the planned death');
    };
    const ports = { failpoint, onFatal: () => crash.fatal++ };
    await using cluster = await TestCluster.start({ count: 1, snapshotEntries: 10, ports });
    const answered: string[] = [];
    try {
      await registerBroker(cluster, 1, { isOver: () => crash.fatal > 0 });
      for (let number = 0; number < 20; number++) {
        await cluster.client(AdminService, 1).createTopic({ name: `t-${number}` }, { timeoutMs: 2_000 });
        answered.push(`t-${number}`);
      }
    } catch (error) {
      assert.equal(crash.fatal, 1, `step ${step}: ${String(error)}`);
    }
    await cluster.stopOne(1, 'kill');
    const restarted = await cluster.startOne(1);
    await cluster.leader();
    const names = restarted.node.stateMachine.view.topics().map(({ name }) => name);
    const lost = answered.filter((name) => !names.includes(name));
    assert.deepEqual(lost, [], `step ${step}`);
    assert.ok(names.length <= answered.length + 1);
  }
});

describe('brokers at the controllers', { timeout: 120_000 }, () => {
  test('one controller serves brokers from registration to removal', async () => {
    await using cluster = await TestCluster.start({ count: 1, sessionTimeoutMs: 1_500 });
    const brokers = cluster.client(ControllerBrokerService, 1);
    const admin = cluster.client(AdminService, 1);
    const isr = cluster.client(BrokerReplicationService, 1);
    const one = await registerBroker(cluster, 1);
    const two = await registerBroker(cluster, 2);
    const { view } = cluster.one(1).node.stateMachine;
    using _ = one.heartbeats();
    const { topic } = await admin.createTopic({ name: 'orders', assignments: [{ replicas: [2, 1] }] });
    const topicId = topic?.topicId ?? '';
    assert.equal(topic?.partitions[0]?.leaderId, 2);
    // Broker 2 is silent: it is fenced and broker 1 leads.
    await eventually('broker 2 to be fenced', () => view.broker(2 as never)?.state === 'fenced');
    const [fenced] = view.partitions(topicId as never);
    assert.deepEqual([fenced?.leaderId, fenced?.inSyncReplicas], [1, [1]]);
    // It comes back with its next heartbeat, and into the ISR when the leader says so.
    await eventually('broker 2 to be unfenced', async () => !(await two.heartbeat()).fenced);
    const request = {
      brokerId: 1,
      brokerEpoch: one.brokerEpoch,
      topicId,
      partition: 0,
      leaderEpoch: fenced?.leaderEpoch ?? 0,
      partitionEpoch: fenced?.partitionEpoch ?? 0,
      inSyncReplicas: [one.life, two.life],
    };
    const stale = await isr.updateISR({ ...request, partitionEpoch: request.partitionEpoch - 1 });
    assert.equal(stale.errorCode, 7);
    assert.deepEqual(stale.partition?.inSyncReplicas, [1]);
    const grown = await isr.updateISR(request);
    assert.equal(grown.errorCode, 0);
    assert.deepEqual(grown.partition?.inSyncReplicas, [2, 1]);
    const topicPartition = { topic: 'orders', partition: 0 };
    const moved = await isr.transferLeadership({ topicPartition, targetId: 0 });
    assert.equal(moved.partition?.leaderId, 2);
    const { replicas } = await isr.getISR({ topicPartition });
    assert.deepEqual(
      replicas.map(({ brokerId, inSync }) => [brokerId, inSync]),
      [
        [2, true],
        [1, true],
      ],
    );
    // A drain hands the leadership over.
    const stopping = await two.heartbeat({ wantShutDown: true });
    assert.equal(stopping.mayShutDown, true);
    assert.equal(view.partition(topicId as never, 0)?.leaderId, 1);
    await rejectsWith(two.heartbeat({ brokerEpoch: 1n }), 'STALE_BROKER_EPOCH');
    await rejectsWith(brokers.unregisterBroker({ brokerId: 1 }), 'INVALID_REQUEST');
    const ids = await brokers.allocateProducerIds({ ...one.life, count: 5 });
    const more = await brokers.allocateProducerIds({ ...one.life });
    assert.equal(more.firstProducerId, ids.firstProducerId + 5n);
    assert.equal(more.count, 1_000);
  });

  test('settings, partitions and deletions', async () => {
    await using cluster = await TestCluster.start({ count: 1 });
    const brokers = cluster.client(ControllerBrokerService, 1);
    const admin = cluster.client(AdminService, 1);
    await registerBroker(cluster, 1);
    const { topic } = await admin.createTopic({ name: 'orders', partitionCount: 2 });
    const added = await brokers.createPartitions({ topic: 'orders', totalCount: 5 });
    assert.deepEqual(
      added.partitions.map(({ partition }) => partition),
      [2, 3, 4],
    );
    await rejectsWith(brokers.createPartitions({ topic: 'orders', totalCount: 5 }), 'INVALID_REQUEST');
    const before = await brokers.getClusterConfig({});
    const expectedVersion = before.metadataVersion;
    await brokers.updateClusterConfig({ set: { 'retention.ms': '60000' }, expectedVersion });
    await rejectsWith(
      brokers.updateClusterConfig({ set: { 'retention.ms': '70000' }, expectedVersion }),
      'STALE_EPOCH',
    );
    const altered = await admin.alterTopicConfig({ name: 'orders', set: { 'segment.bytes': '65536' } });
    const valueNamed = (name: string) => altered.config.find((each) => each.name === name)?.value;
    assert.deepEqual([valueNamed('segment.bytes'), valueNamed('retention.ms')], ['65536', '60000']);
    const missing = '0'.repeat(32);
    const deleted = await brokers.deletePartitions({ topicIds: [topic?.topicId ?? '', missing] });
    assert.deepEqual(deleted.results, [0, 9]);
    await rejectsWith(admin.deleteTopic({ name: 'orders' }), 'TOPIC_NOT_FOUND');
    await rejectsWith(admin.listAcls({}), 'UNIMPLEMENTED');
  });

  test('health, readiness and metrics tell of the quorum', async () => {
    await using cluster = await TestCluster.start({ count: 1 });
    const leader = await cluster.leader();
    const health = cluster.client(Health, 1);
    await eventually('serving', async () => (await health.check({})).status === 1);
    const { host, port } = leader.listeners.ops;
    const ready = await fetch(`http://${host}:${port}/readyz`);
    assert.equal(ready.status, 200);
    await ready.body?.cancel();
    const metrics = await (await fetch(`http://${host}:${port}/metrics`)).text();
    assert.match(metrics, /^fleetmq_raft_is_leader 1$/m);
    assert.match(metrics, /^fleetmq_raft_term \d+$/m);
  });
});
