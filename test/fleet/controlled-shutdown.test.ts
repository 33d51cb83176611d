/**
 * A broker that is stopped in order leaves nothing that others would wait for: when its process is gone, it leads nothing and
 * is in no ISR, long before its session would have ended. One that an operator has drained is so after a restart, too.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startTestFleet, type TestFleet } from '@fleetmq/testkit';
import { waitFor } from './wait.ts';

const topic = 'orders';
const draining = 3;
let fleet: TestFleet;

before(async () => {
  fleet = await startTestFleet({ controllers: 1, brokers: 3 });
  await fleet.client.admin.createTopic(topic, { partitions: 6, replicationFactor: 3 });
});

after(async () => {
  await fleet[Symbol.asyncDispose]();
});

const partitions = async () => (await fleet.client.admin.describeTopic(topic)).topic.partitions;
const isWhole = async () =>
  (await partitions()).every(({ leaderId, inSyncReplicas }) => leaderId !== 0 && inSyncReplicas.length === 3);

async function stop(id: number): Promise<void> {
  assert.equal((await fleet.processes.kill('broker', id, 'SIGTERM')).code, 0);
}

test('one broker after the other is stopped and started: the stopped one is waited for by nobody', async () => {
  for (const id of [1, 2, 3]) {
    await stop(id);
    for (const { partition, leaderId, inSyncReplicas } of await partitions()) {
      assert.ok(leaderId !== 0 && leaderId !== id, `partition ${partition} is led by ${leaderId}`);
      assert.ok(!inSyncReplicas.includes(id), `partition ${partition} has ${inSyncReplicas} in sync`);
    }
    // The next one is stopped while this one still catches up: it waits until two others are in sync.
    await fleet.processes.restart('broker', id);
  }
  await waitFor('a whole fleet', isWhole, 30_000);
});

test('a drained broker is drained after a restart, is in sync, and leads again once that is cancelled', async () => {
  const { admin } = fleet.client;
  await admin.drainBroker(1);
  await stop(1);
  await fleet.processes.restart('broker', 1);
  await waitFor('a whole fleet', isWhole, 30_000);
  const stateOf = async () => (await admin.describeCluster()).brokers.find(({ broker }) => broker?.id === '1')?.state;
  assert.equal(await stateOf(), draining);
  assert.ok((await partitions()).every(({ leaderId }) => leaderId !== 1));
  await admin.drainBroker(1, { cancel: true });
  assert.notEqual(await stateOf(), draining);
});
