/** Controllers that take the place of others, over real sockets and disks (P24). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AdminService } from '@fleetmq/gen/controller/admin';
import type { DomainError } from '@fleetmq/shared';
import { eventually, registerBroker, TestCluster } from './testing/cluster.ts';
import { adminOf, rejectsWith, stateOf, TopicLoad, votersOf, votersToBe } from './testing/membership-fixture.ts';

describe('replacement of controllers', { timeout: 120_000 }, () => {
  test('P24: every voter is replaced under load, the leader too; the quorum is never larger or smaller', async () => {
    await using cluster = await TestCluster.start({ count: 3, joiners: 3 });
    await registerBroker(cluster, 1);
    const admin = adminOf(cluster, [1, 2, 3, 4, 5, 6]);
    const sizes = new Set<number>();
    const load = new TopicLoad(admin.create);
    {
      await using _ = load;
      for (const [replacedId, id] of [
        [1, 4],
        [2, 5],
        [3, 6],
      ] as const) {
        const joiner = await cluster.startJoiner(id);
        await admin.replace(replacedId, id);
        // Asking again, just so, changes nothing.
        await admin
          .replace(replacedId, id)
          .catch((error: DomainError) => assert.match(error.message, /does not vote|votes already/));
        await eventually(`${id} in the place of ${replacedId}`, () => {
          const { voters, votersOutgoing } = joiner.node.driver.confState;
          if (voters.length > 0) sizes.add(voters.length);
          return voters.includes(id) && votersOutgoing.length === 0;
        });
        await eventually('the old one to notice', async () => (await stateOf(cluster, replacedId)) === 'removed');
        await cluster.stopOne(replacedId, 'stop');
      }
    }
    assert.deepEqual(load.failures, []);
    assert.ok(load.answered.length > 0);
    assert.deepEqual([...sizes], [3]);
    await votersToBe(cluster, [4, 5, 6]);
    const { node } = await cluster.leader();
    const names = new Set(node.stateMachine.view.topics().map(({ name }) => name));
    assert.deepEqual(
      load.answered.filter((name) => !names.has(name)),
      [],
    );
    assert.deepEqual(
      node.stateMachine.membership.retired.map(({ controllerId }) => controllerId),
      [1, 2, 3],
    );
    // A restart goes by what was agreed on.
    await cluster.stopOne(4, 'kill');
    assert.deepEqual(votersOf(await cluster.startOne(4)), [4, 5, 6]);
  });

  test('the only controller is replaced by another one', async () => {
    await using cluster = await TestCluster.start({ count: 1, joiners: 1 });
    await registerBroker(cluster, 1);
    const admin = adminOf(cluster, [1, 2]);
    await admin.create('before');
    await cluster.startJoiner(2);
    await rejectsWith(admin.replace(9, 2), 'INVALID_REQUEST', /controller 9 does not vote/);
    // One that waits to be added knows nothing, not even what the cluster can do.
    const joiner = cluster.client(AdminService, 2);
    await rejectsWith(joiner.replaceController({ ...cluster.addressOf(2), replacedId: 1 }), 'NOT_LEADER');
    await admin.replace(1, 2);
    await eventually('the new one to lead', () => cluster.one(2).node.leadership.isReady);
    assert.deepEqual(votersOf(cluster.one(2)), [2]);
    await cluster.stopOne(1, 'stop');
    await admin.create('after');
    assert.equal(cluster.one(2).node.stateMachine.view.topics().length, 2);
  });

  test('the intent to replace is in the log: a leader that dies in the middle of it is followed by one that goes on', async () => {
    await using cluster = await TestCluster.start({ count: 3, joiners: 1 });
    await registerBroker(cluster, 1);
    const admin = adminOf(cluster, [1, 2, 3]);
    const first = await cluster.leader();
    const firstId = first.node.controllerId;
    const replacedId = cluster.ids.find((id) => id !== firstId) as number;
    await cluster.startJoiner(4);
    await admin.replace(replacedId, 4);
    const others = cluster.ids.filter((id) => id !== firstId);
    await eventually('the others to have it', () =>
      others.every((id) =>
        cluster.one(id).node.stateMachine.membership.members.some((each) => each.controllerId === 4),
      ),
    );
    await cluster.stopOne(firstId, 'kill');
    await eventually('the replacement', () => {
      const { voters, votersOutgoing } = cluster.one(4).node.driver.confState;
      return voters.includes(4) && !voters.includes(replacedId) && votersOutgoing.length === 0;
    });
    await cluster.startOne(firstId);
    await votersToBe(cluster, [firstId, ...others.filter((id) => id !== replacedId), 4].sort());
    await admin.create('after');
  });
});
