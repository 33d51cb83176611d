import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect as connectNode } from '../node.ts';
import { codec, connect } from '../web.ts';
import { FakeCluster } from './fake-cluster-fixture.ts';

for (const protocol of ['connect', 'grpc-web'] as const) {
  test(`a page produces and consumes by ${protocol}`, async () => {
    await using cluster = await FakeCluster.start({ topics: { t: 2 } });
    await using client = await connect({ url: `${cluster.url}/`, protocol });
    await using producer = client.producer({ compression: 'lz4', value: codec.json() });
    const sent = Array.from({ length: 50 }, (_, n) => ({ n, text: 'x'.repeat(50) }));
    await producer.send(sent.map((value, n) => ({ topic: 't', value, partition: n % 2 })));
    const got: unknown[] = [];
    const consumer = client.consumer({ topic: 't', from: 'earliest', until: 'end', value: codec.json() });
    for await (const { value } of consumer) got.push(value);
    assert.equal(got.length, 50);
    for (const value of sent) assert.ok(got.some((other) => (other as typeof value).n === value.n));
    assert.throws(() => client.producer({ compression: 'zstd' }), { code: 'UNSUPPORTED_CODEC' });
  });
}

test('admin: create, describe, list, offsets, delete; errors keep their codes', async () => {
  await using cluster = await FakeCluster.start({ topics: {} });
  for (const client of [await connect({ url: cluster.url }), await connectNode({ url: cluster.url })]) {
    await using owned = client;
    const { admin } = owned;
    await admin.createTopic('a', { partitions: 3 });
    await assert.rejects(admin.createTopic('a'), { code: 'TOPIC_ALREADY_EXISTS' });
    assert.equal((await admin.describeTopic('a')).config[0]?.name, 'retention.ms');
    assert.deepEqual(
      (await admin.listTopics()).map(({ name, partitionCount }) => [name, partitionCount]),
      [['a', 3]],
    );
    await using producer = owned.producer();
    await producer.send('a', 'x', { partition: 1 });
    assert.deepEqual(
      (await admin.listOffsets('a', 'latest')).map(({ partition, offset }) => [partition, offset]),
      [
        [0, 0],
        [1, 1],
        [2, 0],
      ],
    );
    assert.equal((await admin.brokers()).length, 2);
    await admin.deleteTopic('a');
    await assert.rejects(admin.deleteTopic('a'), { code: 'TOPIC_NOT_FOUND' });
    await assert.rejects(admin.alterTopicConfig('a', {}), { code: 'UNIMPLEMENTED' });
  }
});

test('brokers serve no admin calls; a cluster that is not there is NOT_AVAILABLE', async () => {
  await using cluster = await FakeCluster.start();
  await using client = await connectNode({ brokers: cluster.broker(1) });
  await assert.rejects(client.admin.createTopic('a'), { code: 'UNIMPLEMENTED', message: /gateway/ });
  await cluster.stopBroker(2);
  const gone = `http://${cluster.broker(2)}`;
  await assert.rejects(connectNode({ url: gone, timeoutMs: 300 }), { code: 'NOT_AVAILABLE' });
  await assert.rejects(connect({ url: gone, timeoutMs: 300 }), { code: 'NOT_AVAILABLE' });
  await assert.rejects(connectNode({ url: 'x', brokers: 'y' }), { code: 'INVALID_CONFIG' });
  await assert.rejects(connectNode({ url: 'nonsense' }), { code: 'INVALID_CONFIG' });
});
