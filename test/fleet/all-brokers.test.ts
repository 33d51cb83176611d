/**
 * P14, P25: all brokers are killed at once, and the one that was the last in the ISR never comes back: a broker that had left
 * the ISR with every committed record leads, proven by its log, and nothing that was acknowledged is lost.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from '@fleetmq/client/node';
import { startTestFleet } from '@fleetmq/testkit';
import { waitFor } from './wait.ts';

const topic = 'everything';
const brokers = [1, 2, 3];

test('kill -9 of all brokers at once, and the last in-sync replica stays away', { timeout: 120_000 }, async (t) => {
  await using fleet = await startTestFleet({ controllers: 1, brokers: brokers.length });
  await using client = await connect({ url: fleet.url });
  await client.admin.createTopic(topic, { partitions: 4, replicationFactor: 3 });
  await using producer = client.producer();
  const values = Array.from({ length: 200 }, (_, number) => `value-${number}`);
  await Promise.all(values.map((value) => producer.send(topic, value)));
  const partitions = async () => (await client.admin.describeTopic(topic)).topic.partitions;

  await Promise.all(brokers.map((id) => fleet.processes.kill('broker', id)));
  await waitFor(
    'all brokers to be fenced',
    async () =>
      (await partitions()).every(({ leaderId, eligibleReplicas }) => leaderId === 0 && eligibleReplicas.length === 1),
    20_000,
  );
  const lost = new Set((await partitions()).flatMap(({ inSyncReplicas }) => inSyncReplicas));
  assert.equal(lost.size, 1, 'brokers are fenced one after the other');
  const back = brokers.filter((id) => !lost.has(id));
  await Promise.all(back.map((id) => fleet.processes.restart('broker', id)));
  const waited = await waitFor(
    'leaders for all partitions, and two replicas in sync',
    async () =>
      (await partitions()).every(({ leaderId, inSyncReplicas }) => leaderId !== 0 && inSyncReplicas.length === 2),
    30_000,
  );
  t.diagnostic(`led and in sync after ${waited.toFixed(0)} ms`);
  await producer.send(topic, 'afterwards');
  const read = new Set<string>();
  for await (const { value } of client.consumer({ topic, from: 'earliest', until: 'end' })) read.add(String(value));
  assert.deepEqual(
    [...values, 'afterwards'].filter((value) => !read.has(value)),
    [],
  );
});
