import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Client, codec, connect } from '../node.ts';
import { FakeCluster } from './fake-cluster-fixture.ts';

const numbers = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, n) => `v${from + n}`);

/** Produces `values` into one partition, in batches of five. */
async function fill(client: Client, topic: string, values: readonly string[], partition = 0): Promise<void> {
  await using producer = client.producer({ lingerMs: 0, batchRecords: 5 });
  await producer.send(values.map((value, n) => ({ topic, value, partition, timestamp: 1000 * (n + 1) })));
}

async function readAll(client: Client, options: Parameters<Client['consumer']>[0]): Promise<string[]> {
  const values: string[] = [];
  for await (const { value } of client.consumer({ ...options, value: codec.string })) values.push(value as string);
  return values;
}

for (const entrance of ['gateway', 'brokers'] as const) {
  test(`reads from and until every kind of place, and ends by itself, by ${entrance}`, async () => {
    await using cluster = await FakeCluster.start({ topics: { t: 2 } });
    await using client = await connect(
      entrance === 'gateway' ? { url: cluster.url } : { brokers: [cluster.broker(1)] },
    );
    await fill(client, 't', numbers(0, 12));
    const at0 = { assignment: [{ topic: 't', partition: 0 }] };
    assert.deepEqual(await readAll(client, { topic: 't', from: 'earliest', until: 'end' }), numbers(0, 12));
    assert.deepEqual(await readAll(client, { ...at0, from: 3, until: 8 }), numbers(3, 8));
    assert.deepEqual(await readAll(client, { ...at0, from: 'earliest', until: { count: 7 } }), numbers(0, 7));
    assert.deepEqual(await readAll(client, { ...at0, from: 'latest', until: 'end' }), []);
    // Times are found by batch: the one of v5 to v9 is the first that reaches 7,000 ms.
    assert.deepEqual(await readAll(client, { ...at0, from: new Date(7000), until: 'end' }), numbers(5, 12));
    assert.deepEqual(await readAll(client, { ...at0, from: 'earliest', until: new Date(7000) }), numbers(0, 5));
    assert.deepEqual(await readAll(client, { topics: ['t'], from: 'earliest', until: { count: 0 } }), []);
  });
}

test('no record twice and none left out while streams break, leaders move and brokers refuse', async () => {
  await using cluster = await FakeCluster.start({ topics: { t: 4 }, brokers: 3 });
  await using client = await connect({ brokers: [cluster.broker(1), cluster.broker(2)] });
  for (let partition = 0; partition < 4; partition++) await fill(client, 't', numbers(0, 60), partition);
  cluster.answersPerStream = 2;
  cluster.batchesPerAnswer = 2;
  let looks = 0;
  cluster.onSubscribe = (topic, partition) => {
    looks++;
    if (looks === 7) cluster.moveLeader(topic, 0, 3);
    if (looks === 11) cluster.moveLeader(topic, 1, 3);
    return looks % 5 === 0 && looks < 30 ? (partition % 2 === 0 ? 'NOT_AVAILABLE' : 'CORRUPT_LOG') : undefined;
  };
  const seen: string[][] = [[], [], [], []];
  for await (const record of client.consumer({ topic: 't', from: 'earliest', until: 'end', value: codec.string })) {
    assert.equal(record.offset, seen[record.partition]?.length);
    seen[record.partition]?.push(record.value as string);
  }
  for (const values of seen) assert.deepEqual(values, numbers(0, 60));
});

test('follows what is written later, and a broker that dies gives way to the next leader', async () => {
  await using cluster = await FakeCluster.start({ topics: { t: 1 } });
  await using client = await connect({ brokers: [cluster.broker(1), cluster.broker(2)] });
  const consumer = client.consumer({ topic: 't', from: 'earliest', value: codec.string, heartbeatMs: 100 });
  const records = consumer[Symbol.asyncIterator]();
  await fill(client, 't', ['a']);
  assert.equal((await records.next()).value?.value, 'a');
  const second = records.next();
  await cluster.stopBroker(1);
  cluster.moveLeader('t', 0, 2);
  await fill(client, 't', ['b']);
  assert.equal((await second).value?.value, 'b');
  await records.return?.();
});

test('batches come with their partition, next offset and high watermark', async () => {
  await using cluster = await FakeCluster.start();
  await using client = await connect({ url: cluster.url });
  await fill(client, 't', numbers(0, 12));
  const consumer = client.consumer({ topic: 't', from: 2, until: 11, value: codec.string });
  const got = [];
  for await (const { partition, nextOffset, highWatermark, records } of consumer.batches()) {
    got.push([partition, nextOffset, highWatermark, records.map(({ offset }) => offset)]);
  }
  assert.deepEqual(got, [
    [0, 5, 12, [2, 3, 4]],
    [0, 10, 12, [5, 6, 7, 8, 9]],
    [0, 12, 12, [10]],
  ]);
});

test('pause, resume and seek take effect with the very next record', async () => {
  await using cluster = await FakeCluster.start({ topics: { t: 2 } });
  await using client = await connect({ url: cluster.url });
  await fill(client, 't', numbers(0, 20), 0);
  await fill(client, 't', numbers(100, 120), 1);
  await using consumer = client.consumer({ topic: 't', from: 'earliest', value: codec.string });
  await consumer.start();
  const records = consumer[Symbol.asyncIterator]();
  const next = async () => (await records.next()).value as { partition: number; value: string | null };
  consumer.pause([{ topic: 't', partition: 1 }]);
  for (const value of numbers(0, 8)) assert.equal((await next()).value, value);
  assert.equal(consumer.position('t', 0), 8);
  await consumer.seek({ topic: 't', partition: 0 }, 3);
  for (const value of numbers(3, 6)) assert.equal((await next()).value, value);
  consumer.pause();
  consumer.resume([{ topic: 't', partition: 1 }]);
  for (const value of numbers(100, 120)) assert.equal((await next()).value, value);
  consumer.resume();
  for (const value of numbers(6, 20)) assert.equal((await next()).value, value);
  await consumer.seek({ topic: 't', partition: 1 }, 'earliest');
  assert.equal((await next()).value, 'v100');
  assert.throws(() => consumer.pause([{ topic: 't', partition: 9 }]), { code: 'INVALID_REQUEST' });
});

test('an offset out of range follows the policy', async () => {
  await using cluster = await FakeCluster.start();
  await using client = await connect({ url: cluster.url });
  await fill(client, 't', numbers(0, 20));
  assert.deepEqual(
    (await client.admin.deleteRecords([{ topic: 't', partition: 0, beforeOffset: 10 }])).map(({ offset }) => offset),
    [10],
  );
  const until = 20;
  const low = { assignment: [{ topic: 't', partition: 0 }], from: 0, until };
  await assert.rejects(readAll(client, low), { code: 'OFFSET_OUT_OF_RANGE' });
  assert.deepEqual(await readAll(client, { ...low, outOfRange: 'earliest' }), numbers(10, 20));
  assert.deepEqual(await readAll(client, { ...low, outOfRange: 'latest' }), []);
});

test('the wire is held back by a slow reader', async () => {
  await using cluster = await FakeCluster.start();
  await using client = await connect({ url: cluster.url });
  const value = 'x'.repeat(50_000);
  await fill(
    client,
    't',
    Array.from({ length: 200 }, () => value),
  );
  cluster.batchesPerAnswer = 1;
  let highest = 0;
  cluster.onSubscribe = (_topic, _partition, offset) => {
    highest = Math.max(highest, offset);
    return undefined;
  };
  const consumer = client.consumer({ topic: 't', from: 'earliest', until: 'end', maxBytesInFlight: 300_000 });
  let count = 0;
  for await (const { offset } of consumer) {
    if (count++ % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
    if (offset === 4) assert.ok(highest < 150, `the server was asked for offset ${highest}`);
  }
  assert.equal(count, 200);
});

test('leaving the loop, the signal and a fatal error end everything', async () => {
  await using cluster = await FakeCluster.start();
  await using client = await connect({ url: cluster.url });
  await fill(client, 't', numbers(0, 10));
  for await (const record of client.consumer({ topic: 't', from: 'earliest' })) {
    if (record.offset === 3) break;
  }
  const abort = new AbortController();
  const aborted = (async () => {
    for await (const { offset } of client.consumer({ topic: 't', from: 'earliest', signal: abort.signal })) {
      if (offset === 9) setImmediate(() => abort.abort());
    }
  })();
  await assert.rejects(aborted, { code: 'CANCELLED' });
  cluster.onSubscribe = () => 'UNAUTHORIZED';
  await assert.rejects(readAll(client, { topic: 't', from: 'earliest' }), { code: 'UNAUTHORIZED' });
  await assert.rejects(readAll(client, { topic: 'nope', from: 'earliest' }), { code: 'TOPIC_NOT_FOUND' });
});

test('a partition without an answer for too long ends the consumer with the reason', async () => {
  await using cluster = await FakeCluster.start();
  await using client = await connect({ url: cluster.url });
  cluster.onSubscribe = () => 'NOT_AVAILABLE';
  await assert.rejects(readAll(client, { topic: 't', from: 'earliest', unavailableTimeoutMs: 300 }), {
    code: 'NOT_AVAILABLE',
  });
});

test('partitions that are added later are read from their beginning', async () => {
  await using cluster = await FakeCluster.start();
  await using client = await connect({ url: cluster.url });
  const consumer = client.consumer({
    topic: 't',
    from: 'latest',
    discoverMs: 20,
    until: { count: 2 },
    value: codec.string,
  });
  await consumer.start();
  const [first] = cluster.topics.get('t') as [never];
  cluster.addTopic('t', 2);
  cluster.topics.get('t')?.splice(0, 1, first);
  await using other = await connect({ url: cluster.url });
  await fill(other, 't', ['new'], 1);
  await fill(other, 't', ['old'], 0);
  const values: (string | null)[] = [];
  for await (const { value } of consumer) values.push(value);
  assert.deepEqual(values.toSorted(), ['new', 'old']);
});

test('what is not built or makes no sense is refused at once', async () => {
  await using cluster = await FakeCluster.start();
  await using client = await connect({ url: cluster.url });
  assert.throws(() => client.consumer({ topic: 't', group: 'g' }), { code: 'UNIMPLEMENTED' });
  assert.throws(() => client.consumer({}), { code: 'INVALID_REQUEST' });
  assert.throws(() => client.consumer({ topic: 't', topics: ['u'] }), { code: 'INVALID_REQUEST' });
  const consumer = client.consumer({ topic: 't', until: 'end' });
  for await (const _ of consumer) assert.fail();
  assert.throws(() => consumer[Symbol.asyncIterator](), { message: /one loop/ });
});
