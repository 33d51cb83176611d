import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from '../node.ts';
import { FakeCluster } from './fake-cluster-fixture.ts';
import { valuesOf } from './values-fixture.ts';

test('small batches share one stream per server', async () => {
  await using cluster = await FakeCluster.start({ brokers: 2, topics: { t: 4 } });
  for (const partition of [1, 3]) cluster.moveLeader('t', partition, 2);
  await using client = await connect({ brokers: cluster.broker(1) });
  await using producer = client.producer({ lingerMs: 0 });
  for (let round = 0; round < 20; round++) {
    await Promise.all([0, 1, 2, 3].map((partition) => producer.send('t', `${round}`, { partition })));
  }
  assert.equal(cluster.streams, 2);
  assert.equal(cluster.calls, 0);
  for (const partition of [0, 1, 2, 3]) {
    assert.deepEqual(
      await valuesOf(cluster.url, 't', partition),
      Array.from({ length: 20 }, (_, round) => `${round}`),
    );
  }
});

test('long batches go by calls, and keep their order among small ones', async () => {
  await using cluster = await FakeCluster.start();
  await using client = await connect({ url: cluster.url });
  await using producer = client.producer({ lingerMs: 0, batchRecords: 1 });
  const sent = Array.from({ length: 60 }, (_, n) => `${n}`.padEnd(n % 3 === 1 ? 20_000 : 10, '.'));
  await Promise.all(sent.map((value) => producer.send('t', value)));
  assert.deepEqual(await valuesOf(cluster.url, 't'), sent);
  assert.ok(cluster.calls >= 20, `${cluster.calls} calls`);
  assert.equal(cluster.streams, 1);
});

test('what a broken stream leaves open is sent again on the next one, once', async () => {
  await using cluster = await FakeCluster.start();
  let broken = 0;
  cluster.onProduce = (_topic, _partition, sequence) =>
    sequence === 3 && broken++ < 2 ? { breakCall: 'NOT_AVAILABLE' } : undefined;
  await using client = await connect({ url: cluster.url });
  await using producer = client.producer({ lingerMs: 0, batchRecords: 1 });
  const sent = Array.from({ length: 10 }, (_, n) => `${n}`);
  await Promise.all(sent.map((value) => producer.send('t', value)));
  assert.deepEqual(await valuesOf(cluster.url, 't'), sent);
  assert.equal(cluster.streams, 3);
});
