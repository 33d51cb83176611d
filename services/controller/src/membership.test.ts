/** Members of the quorum that come and go, over real sockets and disks (P24; the fault rows on membership and wiped disks). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ControllerRaftService } from '@fleetmq/gen/controller/raft';
import { MetadataWatch } from '@fleetmq/metadata/link';
import { createMessage } from '@fleetmq/raft';
import { type DomainError, seededRandom, type Term } from '@fleetmq/shared';
import { nodeClock, nodeTimers } from '@fleetmq/shared/runtime';
import { eventually, registerBroker, TestCluster } from './testing/cluster.ts';
import {
  adminOf,
  callsTo,
  rejectsWith,
  stateOf,
  TopicLoad,
  votersOf,
  votersToBe,
} from './testing/membership-fixture.ts';

describe('members of the quorum', { timeout: 120_000 }, () => {
  test('P24: from one to three to five and back to one under load, nothing answered is lost', async () => {
    await using cluster = await TestCluster.start({ count: 1, joiners: 4 });
    await registerBroker(cluster, 1);
    const all = [1, 2, 3, 4, 5];
    const admin = adminOf(cluster, all);
    const load = new TopicLoad(admin.create);
    await using stopped = load;
    for (const id of [2, 3, 4, 5]) {
      await cluster.startJoiner(id);
      assert.equal(await stateOf(cluster, id), 'joining');
      assert.equal((await admin.add(id)).controllerId, id);
      await votersToBe(cluster, all.slice(0, id));
      assert.equal(await stateOf(cluster, id), 'member');
    }
    const listed = await admin.list();
    assert.deepEqual(
      listed.map(({ controllerId, port, voter }) => [controllerId, port, voter]),
      all.map((id) => [id, cluster.addressOf(id).port, true]),
    );
    assert.ok(listed.every(({ diskId }) => diskId !== ''));
    const grownTo = load.answered.length;
    assert.ok(grownTo > 0);

    // Whoever leads goes first, twice; the one that stays is whoever is left.
    let left = [...all];
    while (left.length > 1) {
      const leaderId = (await cluster.leader()).node.controllerId;
      const follower = left.find((id) => id !== leaderId) as number;
      const victim = left.length % 2 === 1 ? leaderId : follower;
      await admin.remove(victim);
      left = left.filter((id) => id !== victim);
      await votersToBe(cluster, left);
      await eventually(`controller ${victim} to notice`, async () => (await stateOf(cluster, victim)) === 'removed');
      assert.equal(cluster.one(victim).isReady, false);
      assert.equal(cluster.one(victim).node.leadership.leaderId, 0);
      await cluster.stopOne(victim, 'stop');
    }
    assert.ok(load.answered.length > grownTo);
    await stopped[Symbol.asyncDispose]();
    assert.deepEqual(load.failures, []);
    const survivor = cluster.one(left[0] as number);
    const names = new Set(survivor.node.stateMachine.view.topics().map(({ name }) => name));
    assert.deepEqual(
      load.answered.filter((name) => !names.has(name)),
      [],
    );
    // A restart goes by what was agreed on, whatever quorum.peers says.
    await cluster.stopOne(left[0] as number, 'kill');
    const again = await cluster.startOne(left[0] as number);
    await cluster.leader();
    assert.deepEqual(votersOf(again), left);
  });

  test('a learner stays one on request, and is removed; the removed one finds out without a vote', async () => {
    await using cluster = await TestCluster.start({ count: 1, joiners: 1 });
    await registerBroker(cluster, 1);
    const admin = adminOf(cluster, [1]);
    await cluster.startJoiner(2);
    await admin.add(2, true);
    await admin.create('orders');
    const learner = cluster.one(2);
    await eventually('the learner to follow', () => learner.node.stateMachine.view.topics().length === 1);
    assert.deepEqual(
      (await admin.list()).map(({ voter, promoting }) => [voter, promoting]),
      [
        [true, false],
        [false, false],
      ],
    );
    // Asking again, just so, changes nothing.
    const before = cluster.one(1).node.quorum.report().appliedIndex;
    await admin.add(2, true);
    assert.equal(cluster.one(1).node.quorum.report().appliedIndex, before);
    await admin.remove(2);
    await eventually('the learner to notice', async () => (await stateOf(cluster, 2)) === 'removed');
    const { host, port } = learner.listeners.ops;
    const ready = await fetch(`http://${host}:${port}/readyz`);
    assert.equal(ready.status, 503);
    assert.match(await ready.text(), /removed from the quorum/);
    await rejectsWith(admin.add(2), 'INVALID_REQUEST', /was removed from the quorum/);
  });

  test('a removed controller knows no leader, whoever still believes to lead it', async () => {
    await using cluster = await TestCluster.start({ count: 3 });
    const admin = adminOf(cluster, [1, 2, 3]);
    const leader = await cluster.leader();
    const gone = cluster.ids.find((id) => id !== leader.node.controllerId) as number;
    await admin.remove(gone);
    const { node } = cluster.one(gone);
    await eventually('the removed one to know', () => node.standing.state === 'removed');
    const term = (node.leadership.term + 1) as Term;
    node.driver.step(createMessage('MsgHeartbeat', { from: leader.node.controllerId, to: gone, term }));
    await eventually('the heartbeat to be taken', () => node.driver.leadership.leaderId !== 0);
    assert.equal(node.leadership.leaderId, 0);
    assert.equal(cluster.one(gone).isReady, false);
  });

  test('the intent to promote is in the log: the next leader carries on', async () => {
    await using cluster = await TestCluster.start({ count: 3, joiners: 1 });
    await registerBroker(cluster, 1);
    const admin = adminOf(cluster, [1, 2, 3]);
    const first = await cluster.leader();
    await cluster.startJoiner(4);
    const { diskId } = await cluster.client(ControllerRaftService, 4).getConfiguration({});
    await cluster.stopOne(4, 'kill');
    // It is away: it cannot catch up before the leader is gone.
    const { configuration } = await callsTo(cluster, [1, 2, 3]).unary(ControllerRaftService.method.addPeer, {
      peer: { ...cluster.addressOf(4), diskId },
    });
    assert.deepEqual(configuration?.learners, [4]);
    const others = cluster.ids.filter((id) => id !== first.node.controllerId);
    await eventually('the others to have it', () =>
      others.every((id) => cluster.one(id).node.stateMachine.membership.promoting.includes(4)),
    );
    await cluster.stopOne(first.node.controllerId, 'kill');
    const second = await cluster.leader();
    assert.notEqual(second.node.controllerId, first.node.controllerId);
    await cluster.startOne(4);
    await eventually('the promotion', () => votersOf(cluster.one(4)).join() === '1,2,3,4');
    await eventually('the leader to note it', () => second.node.stateMachine.membership.promoting.length === 0);
    await admin.create('after');
  });

  test('P24: a wiped disk returns as a new member, and only so', async () => {
    await using cluster = await TestCluster.start({ count: 3 });
    await registerBroker(cluster, 1);
    const admin = adminOf(cluster, [1, 2, 3]);
    const leader = await cluster.leader();
    const wiped = cluster.ids.find((id) => id !== leader.node.controllerId) as number;
    await eventually('everybody to be known', () => cluster.ids.every((id) => leader.node.identity.diskOf(id)));
    const oldDisk = leader.node.identity.diskOf(wiped);
    await cluster.stopOne(wiped, 'kill');
    await cluster.wipe(wiped);
    await cluster.startJoiner(wiped);
    await rejectsWith(admin.add(wiped), 'INVALID_REQUEST', /is a member already.*remove it first/);
    await admin.remove(wiped);
    await admin.add(wiped);
    await votersToBe(cluster, [1, 2, 3]);
    const newDisk = leader.node.identity.diskOf(wiped);
    assert.notEqual(newDisk, oldDisk);
    // The old disk has no standing any more.
    const raft = cluster.client(ControllerRaftService, leader.node.controllerId);
    const { clusterId } = leader.node.stateMachine.view.cluster;
    const envelope = { clusterId, senderId: wiped, targetId: leader.node.controllerId, senderDiskId: oldDisk ?? '' };
    const vote = { term: 99n, candidateId: String(wiped), lastLogIndex: 999n, lastLogTerm: 99n, envelope };
    const refused = await raft.requestVote(vote);
    assert.deepEqual([refused.voteGranted, refused.removed], [false, true]);
    await rejectsWith(raft.appendEntries({ term: 99n, envelope }), 'UNAUTHORIZED', /was removed/);
    // The new one votes: with it alone there is a majority.
    const other = cluster.ids.find((id) => id !== wiped && id !== leader.node.controllerId) as number;
    await cluster.stopOne(other, 'kill');
    await admin.create('with-the-new-disk');
  });

  test('what would leave no majority, what is no member, and a second change at a time are refused', async () => {
    await using cluster = await TestCluster.start({ count: 3, joiners: 2 });
    await registerBroker(cluster, 1);
    const admin = adminOf(cluster, [1, 2, 3]);
    const leader = await cluster.leader();
    const leaderId = leader.node.controllerId;
    const [dead, alive] = cluster.ids.filter((id) => id !== leaderId) as [number, number];
    await rejectsWith(admin.remove(9), 'INVALID_REQUEST', /no member/);
    await rejectsWith(admin.add(4), 'INVALID_REQUEST', /no controller answers at/);
    await cluster.stopOne(dead, 'kill');
    await eventually('the dead one to be noticed', () => !leader.node.quorum.isActive(dead));
    await rejectsWith(admin.remove(alive), 'NOT_ENOUGH_REPLICAS', /1 are active and 2 are needed/);
    await rejectsWith(admin.remove(leaderId), 'NOT_ENOUGH_REPLICAS');
    await cluster.startJoiner(4);
    await cluster.startJoiner(5);
    const raft = cluster.client(ControllerRaftService, leaderId);
    const add = async (id: number) => {
      const { diskId } = await cluster.client(ControllerRaftService, id).getConfiguration({});
      return await raft.addPeer({ peer: { ...cluster.addressOf(id), diskId }, learnerOnly: true });
    };
    const both = await Promise.allSettled([add(4), add(5)]);
    const failed = both.flatMap((each) => (each.status === 'rejected' ? [each.reason as DomainError] : []));
    for (const error of failed) assert.deepEqual([error.code, error.retriable], ['NOT_AVAILABLE', true]);
    await admin.remove(dead);
    await eventually('two voters', () => votersOf(leader).join() === [leaderId, alive].sort().join());
    await admin.create('two-of-two');
  });

  test('watchers learn of the new controllers, and outlive the old ones', async () => {
    await using cluster = await TestCluster.start({ count: 1, joiners: 1 });
    await registerBroker(cluster, 1);
    const admin = adminOf(cluster, [1, 2]);
    await using watch = new MetadataWatch({
      controllers: [cluster.addressOf(1)],
      transportOf: ({ host, port }) => cluster.pool.get(`http://${host}:${port}`),
      watcher: 'test',
      clock: nodeClock,
      timers: nodeTimers,
      random: seededRandom(1),
    });
    watch.start();
    await watch.waitForVersion(1, AbortSignal.timeout(20_000));
    await cluster.startJoiner(2);
    await admin.add(2);
    await votersToBe(cluster, [1, 2]);
    await eventually('the watch to know both', () => watch.controllers.some(({ controllerId }) => controllerId === 2));
    await admin.remove(1);
    await cluster.stopOne(1, 'stop');
    await eventually('one controller', () => votersOf(cluster.one(2)).join() === '2');
    const { metadataVersion } = await admin.create('after');
    await watch.waitForVersion(Number(metadataVersion), AbortSignal.timeout(20_000));
    assert.equal(watch.image.topicByName('after')?.name, 'after');
    assert.deepEqual(
      watch.controllers.map(({ port }) => port),
      [cluster.addressOf(2).port, cluster.addressOf(1).port],
    );
  });

  test('a learner is promoted after all; a member moves to another address with its disk', async () => {
    await using cluster = await TestCluster.start({ count: 1, joiners: 3 });
    await registerBroker(cluster, 1);
    const admin = adminOf(cluster, [1, 2, 3]);
    for (const id of [2, 3]) await cluster.startJoiner(id);
    await admin.add(2, true);
    await admin.add(2);
    await admin.add(3);
    await votersToBe(cluster, [1, 2, 3]);
    if (cluster.one(3).node.leadership.isLeader) await cluster.one(3).node.handOver();
    await cluster.stopOne(3, 'kill');
    const { port } = cluster.addressOf(4);
    await cluster.startOne(3, { port });
    await admin.create('while-one-is-elsewhere');
    await admin.addAt(port);
    const topics = () => cluster.one(3).node.stateMachine.view.topics().length;
    await eventually('the moved one to be found', () => topics() === 1);
    assert.deepEqual(
      (await admin.list()).map((each) => each.port),
      [cluster.addressOf(1).port, cluster.addressOf(2).port, port],
    );
  });
});
