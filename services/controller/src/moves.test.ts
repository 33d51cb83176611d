/** Moves of replicas and levels of features as calls, over real sockets and disks. The brokers are played by the test. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BrokerReplicationService } from '@fleetmq/gen/broker/replication';
import { ErrorCode } from '@fleetmq/gen/common/errors';
import { AdminService, type FailedReplica } from '@fleetmq/gen/controller/admin';
import { ControllerBrokerService, type ReassignPartitionsProgress } from '@fleetmq/gen/controller/cluster';
import { ControllerRaftService } from '@fleetmq/gen/controller/raft';
import { supportedFeatures } from '@fleetmq/metadata';
import { DomainError, type ErrorName, type TopicId } from '@fleetmq/shared';
import { eventually, registerBroker, type TestBroker, TestCluster } from './testing/cluster.ts';

const rejectsWith = (promise: Promise<unknown>, code: ErrorName, text = /./): Promise<void> =>
  assert.rejects(promise, (error) => error instanceof DomainError && error.code === code && text.test(error.message));

class Fleet implements AsyncDisposable {
  readonly cluster: TestCluster;
  readonly #brokers: readonly TestBroker[];
  readonly #heartbeats = new Map<number, Disposable>();

  private constructor(cluster: TestCluster, brokers: readonly TestBroker[]) {
    this.cluster = cluster;
    this.#brokers = brokers;
    for (const broker of brokers) this.#heartbeats.set(broker.life.brokerId, broker.heartbeats());
  }

  static async start(controllers: number, brokers: number): Promise<Fleet> {
    const cluster = await TestCluster.start({ count: controllers });
    const registered: TestBroker[] = [];
    for (let brokerId = 1; brokerId <= brokers; brokerId++) registered.push(await registerBroker(cluster, brokerId));
    return new Fleet(cluster, registered);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const heartbeats of this.#heartbeats.values()) heartbeats[Symbol.dispose]();
    await this.cluster[Symbol.asyncDispose]();
  }

  async admin() {
    return this.cluster.client(AdminService, (await this.cluster.leader()).node.controllerId);
  }

  async brokerService() {
    return this.cluster.client(ControllerBrokerService, (await this.cluster.leader()).node.controllerId);
  }

  /** From now on it says only what the test lets it say. */
  async play(brokerId: number, fields: Parameters<TestBroker['heartbeat']>[0]): Promise<void> {
    this.#heartbeats.get(brokerId)?.[Symbol.dispose]();
    await (this.#brokers[brokerId - 1] as TestBroker).heartbeat(fields);
  }

  /** What the leader of the partition does once these have everything. */
  async changeIsr(topicId: string, partition: number, members: readonly number[]): Promise<void> {
    const { node } = await this.cluster.leader();
    const now = node.stateMachine.view.partition(topicId as TopicId, partition);
    assert.ok(now !== undefined);
    const life = (brokerId: number) => (this.#brokers[brokerId - 1] as TestBroker).life;
    const replication = this.cluster.client(BrokerReplicationService, node.controllerId);
    const answer = await replication.updateISR({
      ...life(now.leaderId),
      topicId,
      partition,
      leaderEpoch: now.leaderEpoch,
      partitionEpoch: now.partitionEpoch,
      inSyncReplicas: members.map(life),
    });
    assert.equal(answer.errorCode, 0, answer.errorMessage);
  }
}

const topicPartition = (partition = 0) => ({ topic: 'orders', partition });

describe('moves of replicas', { timeout: 120_000 }, () => {
  test('are planned, watched from begin to end, and listed with what has ended', async () => {
    await using fleet = await Fleet.start(1, 4);
    const admin = await fleet.admin();
    const { topic } = await admin.createTopic({ name: 'orders', partitionCount: 2, replicationFactor: 2 });
    const topicId = topic?.topicId as string;
    const replicas = topic?.partitions.map((each) => each.replicas) ?? [];
    const target = [1, 2, 3, 4].filter((each) => !replicas[0]?.includes(each));
    const partitions = [{ topicPartition: topicPartition(), replicas: target }];
    const plan = await admin.startReassignment({ partitions, validateOnly: true });
    assert.deepEqual([plan.reassignmentId, plan.moves[0]?.targetReplicas], ['', target]);
    assert.deepEqual((await admin.listReassignments({})).progress, []);

    const watch = (await fleet.brokerService()).reassignPartitions({ partitions })[Symbol.asyncIterator]();
    const next = async (): Promise<ReassignPartitionsProgress> =>
      (await watch.next()).value as ReassignPartitionsProgress;
    const first = await next();
    assert.deepEqual([first.totalPartitions, first.donePartitions, first.ended], [1, 0, false]);
    assert.deepEqual(first.moves[0]?.sourceReplicas, replicas[0]);
    const listed = await admin.listReassignments({});
    assert.deepEqual(listed.reassignments[0]?.targetReplicas, target);
    assert.equal(listed.reassignments[0]?.reassignmentId, first.reassignmentId);
    const described = await admin.describeTopic({ name: 'orders' });
    assert.deepEqual(described.topic?.partitions[0]?.addingReplicas, target);
    assert.deepEqual(
      [...(described.topic?.partitions[0]?.removingReplicas ?? [])].sort(),
      [...(replicas[0] ?? [])].sort(),
    );
    await rejectsWith(admin.startReassignment({ partitions }), 'REASSIGNMENT_IN_PROGRESS');

    await fleet.changeIsr(topicId, 0, [1, 2, 3, 4]);
    const last = await next();
    assert.deepEqual([last.donePartitions, last.ended, last.moves], [1, true, []]);
    assert.equal((await watch.next()).done, true);
    const after = await admin.listReassignments({});
    assert.deepEqual([after.reassignments, after.progress[0]?.donePartitions], [[], 1]);
    assert.ok(after.progress[0]?.endTime !== undefined);
    const moved = (await admin.describeTopic({ name: 'orders' })).topic?.partitions[0];
    assert.deepEqual([moved?.replicas, moved?.addingReplicas], [target, []]);
    assert.ok(target.includes(moved?.leaderId ?? 0));
  });

  test('tell how many bytes were copied, as the leaders of the partitions say, and keep their throttle', async () => {
    await using fleet = await Fleet.start(1, 4);
    const admin = await fleet.admin();
    const { topic } = await admin.createTopic({ name: 'orders', partitionCount: 2, replicationFactor: 2 });
    const topicId = topic?.topicId as string;
    const partitions = [0, 1].map((each) => ({
      topicPartition: topicPartition(each),
      replicas: [1, 2, 3, 4].filter((id) => !topic?.partitions[each]?.replicas.includes(id)),
    }));
    const watch = (await fleet.brokerService())
      .reassignPartitions({ partitions, bytesPerSecondMax: 5_000n })
      [Symbol.asyncIterator]();
    const bytesOf = async (): Promise<readonly [bigint, bigint]> => {
      const { copiedBytes, totalBytes } = (await watch.next()).value as ReassignPartitionsProgress;
      return [copiedBytes, totalBytes];
    };
    assert.deepEqual(await bytesOf(), [0n, 0n]);
    const { node } = await fleet.cluster.leader();
    const { reassignmentId } = (await admin.listReassignments({})).progress[0] ?? {};
    assert.equal(node.stateMachine.view.reassignment(reassignmentId ?? '')?.bytesPerSecondMax, 5_000);
    const tell = async (partition: number, copiedBytes: bigint): Promise<void> => {
      const leaderId = topic?.partitions[partition]?.leaderId ?? 0;
      await fleet.play(leaderId, { moving: [{ topicId, partition, copiedBytes, totalBytes: 1_000n }] });
      const other = leaderId === 1 ? 2 : 1;
      await fleet.play(other, { moving: [{ topicId, partition, copiedBytes: 9n, totalBytes: 9n }] });
    };
    await tell(0, 300n);
    assert.deepEqual(await bytesOf(), [300n, 1_000n]);
    await tell(1, 500n);
    assert.deepEqual(await bytesOf(), [800n, 2_000n]);
    await fleet.changeIsr(topicId, 0, [1, 2, 3, 4]);
    assert.deepEqual(await bytesOf(), [1_500n, 2_000n]);
    const [progress] = (await admin.listReassignments({})).progress;
    assert.deepEqual([progress?.copiedBytes, progress?.bytesPerSecondMax], [1_500n, 5_000n]);
    await fleet.changeIsr(topicId, 1, [1, 2, 3, 4]);
    assert.deepEqual(await bytesOf(), [2_000n, 2_000n]);
    assert.equal((await watch.next()).done, true);
  });

  test('go on under the next leader, can be attached to there, and cancelled', async () => {
    await using fleet = await Fleet.start(3, 4);
    const admin = await fleet.admin();
    const { topic } = await admin.createTopic({ name: 'orders', partitionCount: 3, replicationFactor: 2 });
    const topicId = topic?.topicId as string;
    const target = (partition: number): number[] =>
      [1, 2, 3, 4].filter((each) => !topic?.partitions[partition]?.replicas.includes(each));
    const partitions = [0, 1, 2].map((each) => ({ topicPartition: topicPartition(each), replicas: target(each) }));
    const { reassignmentId, moves } = await admin.startReassignment({ partitions });
    assert.equal(moves.length, 3);
    const first = await fleet.cluster.leader();
    const oldWatch = fleet.cluster.client(ControllerBrokerService, first.node.controllerId);
    const watching = async () => {
      for await (const _ of oldWatch.reassignPartitions({ reassignmentId }));
    };
    const ended = assert.rejects(watching(), (error) => error instanceof DomainError && error.retriable);
    await fleet.cluster.stopOne(first.node.controllerId, 'kill');
    await ended;
    await fleet.changeIsr(topicId, 1, [1, 2, 3, 4]);

    const progress: (readonly number[])[] = [];
    for await (const each of (await fleet.brokerService()).reassignPartitions({ reassignmentId, cancel: true })) {
      progress.push([each.totalPartitions, each.donePartitions, each.cancelledPartitions]);
      if (each.ended) break;
    }
    assert.deepEqual(progress.at(-1), [3, 1, 2]);
    const now = (await (await fleet.admin()).describeTopic({ name: 'orders' })).topic?.partitions ?? [];
    assert.deepEqual(
      now.map((each) => each.replicas),
      [topic?.partitions[0]?.replicas, target(1), topic?.partitions[2]?.replicas],
    );
  });

  test('empty a broker; what cannot be placed leaves everything as it is', async () => {
    await using fleet = await Fleet.start(1, 3);
    const admin = await fleet.admin();
    const { topic } = await admin.createTopic({ name: 'orders', partitionCount: 2, replicationFactor: 2 });
    await admin.createTopic({ name: 'wide', replicationFactor: 3 });
    await rejectsWith(admin.drainBroker({ brokerId: 3, moveReplicas: true }), 'INVALID_REPLICATION_FACTOR');
    const stateOf = async () => (await admin.describeCluster({})).brokers.map(({ state }) => state);
    assert.deepEqual(await stateOf(), [2, 2, 2]);
    await admin.deleteTopic({ name: 'wide' });
    const { reassignmentId } = await admin.drainBroker({ brokerId: 3, moveReplicas: true });
    assert.deepEqual(await stateOf(), [2, 2, 3]);
    for (const { partition, replicas } of topic?.partitions ?? []) {
      if (replicas.includes(3)) await fleet.changeIsr(topic?.topicId as string, partition, [1, 2, 3]);
    }
    const { progress } = await admin.listReassignments({});
    assert.deepEqual(
      progress.map((each) => [each.reassignmentId, each.endTime !== undefined]),
      [[reassignmentId, true]],
    );
    const after = (await admin.describeTopic({ name: 'orders' })).topic?.partitions ?? [];
    assert.deepEqual(after.flatMap((each) => each.replicas).sort(), [1, 1, 2, 2]);
    // Nothing is left to be moved.
    assert.equal((await admin.drainBroker({ brokerId: 3, moveReplicas: true })).reassignmentId, '');
    await rejectsWith(admin.drainBroker({ brokerId: 3, moveReplicas: true, cancel: true }), 'INVALID_REQUEST');
  });

  test('what makes no sense is refused', async () => {
    await using fleet = await Fleet.start(1, 2);
    const admin = await fleet.admin();
    const brokers = await fleet.brokerService();
    await admin.createTopic({ name: 'orders', replicationFactor: 2 });
    const one = [{ topicPartition: topicPartition(), replicas: [1] }];
    const first = (request: Parameters<typeof brokers.reassignPartitions>[0]) =>
      brokers.reassignPartitions(request)[Symbol.asyncIterator]().next();
    await rejectsWith(first({}), 'INVALID_REQUEST', /either partitions or the reassignment_id/);
    await rejectsWith(first({ partitions: one, reassignmentId: 'r' }), 'INVALID_REQUEST');
    await rejectsWith(first({ reassignmentId: 'r' }), 'REASSIGNMENT_NOT_FOUND');
    await rejectsWith(first({ reassignmentId: 'r', cancel: true }), 'REASSIGNMENT_NOT_FOUND');
    await rejectsWith(first({ partitions: one, bytesPerSecondMax: 2n ** 60n }), 'INVALID_REQUEST');
    await rejectsWith(admin.startReassignment({ partitions: [] }), 'INVALID_REQUEST');
    await rejectsWith(admin.startReassignment({ partitions: [{ replicas: [1] }] }), 'INVALID_REQUEST');
    const both = { topicPartition: topicPartition(), replicas: [1], replicationFactor: 1 };
    await rejectsWith(admin.startReassignment({ partitions: [both] }), 'INVALID_REQUEST');
    const unknown = { topicPartition: topicPartition(), replicas: [1, 9] };
    await rejectsWith(admin.startReassignment({ partitions: [unknown], validateOnly: true }), 'BROKER_NOT_FOUND');
    await rejectsWith(admin.cancelReassignment({ reassignmentId: '' }), 'REASSIGNMENT_NOT_FOUND');
  });
});

describe('failed logs', { timeout: 120_000 }, () => {
  test('are told with their reason while their broker says so, and lead no more', async () => {
    await using fleet = await Fleet.start(1, 2);
    const admin = await fleet.admin();
    for (const name of ['orders', 'other']) await admin.createTopic({ name, replicationFactor: 2 });
    const described = async () => (await admin.describeTopic({ name: 'orders' })).topic;
    const { topicId = '', partitions: [before] = [] } = (await described()) ?? {};
    const leaderId = before?.leaderId ?? 0;
    const failed = [{ topicId, partition: 0, reason: 'fdatasync: EIO' }];
    await fleet.play(leaderId, { failedPartitions: failed });
    assert.notEqual((await described())?.partitions[0]?.leaderId, leaderId);
    const told = [[{ topic: 'orders', partition: 0 }, leaderId, 'fdatasync: EIO']];
    const shapeOf = (replicas: readonly FailedReplica[]) =>
      replicas.map(({ topicPartition: each, brokerId, reason }) => [
        { topic: each?.topic, partition: each?.partition },
        brokerId,
        reason,
      ]);
    assert.deepEqual(shapeOf((await admin.describeCluster({})).failedReplicas), told);
    assert.deepEqual(shapeOf((await admin.describeTopic({ name: 'orders' })).failedReplicas), told);
    assert.deepEqual((await admin.describeTopic({ name: 'other' })).failedReplicas, []);
    await fleet.play(leaderId, {});
    assert.deepEqual((await admin.describeCluster({})).failedReplicas, []);
  });
});

describe('leaders', { timeout: 120_000 }, () => {
  test('are handed over one by one, in the order of the request, and back to the preferred ones', async () => {
    await using fleet = await Fleet.start(1, 3);
    const admin = await fleet.admin();
    const { topic } = await admin.createTopic({ name: 'orders', partitionCount: 2, replicationFactor: 2 });
    const [preferred = 0, other = 0] = topic?.partitions[1]?.replicas ?? [];
    const choices = [
      { topicPartition: topicPartition(1), targetId: other },
      { topicPartition: topicPartition(7), targetId: other },
      { topicPartition: { topic: 'nothing', partition: 0 } },
      { topicPartition: topicPartition(0), targetId: 9 },
      { topicPartition: topicPartition(0) },
    ];
    const { results } = await admin.electLeaders({ choices });
    assert.deepEqual(
      results.map(({ errorCode, oldLeaderId, leaderId }) => [errorCode, oldLeaderId === leaderId]),
      [
        [ErrorCode.OK, false],
        [ErrorCode.PARTITION_NOT_FOUND, true],
        [ErrorCode.TOPIC_NOT_FOUND, true],
        [ErrorCode.INVALID_REQUEST, true],
        [ErrorCode.OK, true],
      ],
    );
    const back = await admin.electLeaders({});
    assert.deepEqual(
      back.results.map(({ topicPartition: each, leaderId }) => [each?.partition, leaderId]),
      [[1, preferred]],
    );
    assert.deepEqual((await admin.electLeaders({})).results, []);
  });
});

describe('levels of features', { timeout: 120_000 }, () => {
  test('a new cluster begins with the highest; they are listed with who knows what', async () => {
    await using fleet = await Fleet.start(3, 1);
    const admin = await fleet.admin();
    const level = supportedFeatures.get('metadata.version');
    const named = async () => (await admin.listFeatures({})).features.find(({ name }) => name === 'metadata.version');
    const before = await named();
    assert.deepEqual([before?.level, before?.supportedLevel, before?.limitedBy], [level, level, []]);
    const own = await fleet.cluster.client(ControllerRaftService, 1).getConfiguration({});
    assert.equal(own.features['metadata.version'], level);
    const { features } = await admin.updateFeatures({});
    assert.equal(features.length, supportedFeatures.size);
    await rejectsWith(admin.updateFeatures({ levels: { 'metadata.version': 1 } }), 'INVALID_REQUEST', /only rise/);
    await rejectsWith(admin.updateFeatures({ levels: { 'metadata.version': 99 } }), 'UNSUPPORTED_VERSION');
    await rejectsWith(admin.updateFeatures({ levels: { other: 1 } }), 'INVALID_REQUEST', /no feature "other"/);
    // One that is away may not know: nothing rises without it.
    const leaderId = (await fleet.cluster.leader()).node.controllerId;
    const away = fleet.cluster.ids.find((id) => id !== leaderId) as number;
    await fleet.cluster.stopOne(away, 'kill');
    await eventually('the silence to be noticed', async () => (await named())?.supportedLevel === 0);
    assert.deepEqual((await named())?.limitedBy, [`controller ${away} (does not answer)`]);
    await rejectsWith(admin.updateFeatures({}), 'NOT_AVAILABLE', new RegExp(`controller ${away} `));
  });

  test('who does not know what is in use may neither register nor watch', async () => {
    await using fleet = await Fleet.start(1, 0);
    const brokers = await fleet.brokerService();
    const admin = await fleet.admin();
    await eventually('the cluster to have its name', async () => (await admin.describeCluster({})).clusterId !== '');
    const old = {
      brokerId: 9,
      incarnationId: 'i',
      diskId: 'd',
      endpoints: [{ listener: 'client', host: 'h', port: 1 }],
    };
    await rejectsWith(brokers.registerBroker(old), 'UNSUPPORTED_VERSION', /broker 9/);
    const watch = brokers.watchMetadata({ watcher: 'old' })[Symbol.asyncIterator]();
    await rejectsWith(watch.next(), 'UNSUPPORTED_VERSION', /watcher is too old/);
  });
});
