import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DomainError } from '@fleetmq/shared';
import { codec, connect, type DeliveryReport, type Producer } from '../node.ts';
import { FakeCluster } from './fake-cluster-fixture.ts';
import { valuesOf } from './values-fixture.ts';

/** Small batches go by a stream; compressed ones, as long ones do, by calls. */
const ways = [
  ['stream', 'none'],
  ['call', 'lz4'],
] as const;

for (const entrance of ['gateway', 'brokers'] as const) {
  test(`receipts name topic, partition, offset and time, by ${entrance}`, async () => {
    await using cluster = await FakeCluster.start({ topics: { t: 3 } });
    const brokers = [cluster.broker(2)];
    await using client = await connect(entrance === 'gateway' ? { url: cluster.url } : { brokers });
    await using producer = client.producer();
    const receipts = await Promise.all(
      [0, 1, 2].map((partition) => producer.send('t', `v${partition}`, { partition })),
    );
    assert.deepEqual(
      receipts.map(({ partition, offset, timestampMs }) => ({ partition, offset, timestampMs })),
      [0, 1, 2].map((partition) => ({ partition, offset: 0, timestampMs: 1000 })),
    );
    const more = await producer.send([
      { topic: 't', value: 'a', partition: 1 },
      { topic: 't', value: null, key: 'k', partition: 1, headers: { h: 'x' } },
    ]);
    assert.deepEqual(
      more.map(({ offset }) => offset),
      [1, 2],
    );
  });
}

test('equal keys meet in the partition that Kafka would choose; keyless records stick to one', async () => {
  await using cluster = await FakeCluster.start({ topics: { t: 8 } });
  await using client = await connect({ url: cluster.url });
  await using producer = client.producer();
  // murmur2('foobar') is -790332482, so Kafka's default partitioner takes 6 of 8.
  const keyed = await Promise.all([1, 2, 3].map((n) => producer.send('t', `${n}`, { key: 'foobar' })));
  assert.deepEqual(new Set(keyed.map(({ partition }) => partition)), new Set([(-790332482 & 0x7fffffff) % 8]));
  const keyless = await Promise.all(Array.from({ length: 20 }, (_, n) => producer.send('t', `${n}`)));
  assert.equal(new Set(keyless.map(({ partition }) => partition)).size, 1);
});

for (const [way, compression] of ways) {
  test(`records stay in order over refusals, lost answers, broken calls and a moved leader, each once, by ${way}`, async () => {
    await using cluster = await FakeCluster.start({ topics: { t: 1 } });
    await using client = await connect({ brokers: cluster.broker(1) });
    let count = 0;
    const faults = ['refuse', 'after', 'breakCall'] as const;
    cluster.onProduce = () => {
      count++;
      if (count === 9) cluster.moveLeader('t', 0, 2);
      if (count === 15) cluster.moveLeader('t', 0, 1);
      if (count > 24 || count % 3 === 1) return undefined;
      const kind = faults[count % 3] as 'refuse' | 'after' | 'breakCall';
      return { [kind]: kind === 'refuse' ? 'NOT_ENOUGH_REPLICAS' : 'NOT_AVAILABLE' };
    };
    await using producer = client.producer({ lingerMs: 0, batchRecords: 7, compression });
    const sent = Array.from({ length: 300 }, (_, n) => `v${n}`);
    const receipts = await Promise.all(sent.map((value) => producer.send('t', value)));
    assert.deepEqual(
      receipts.map(({ offset }) => offset),
      sent.map((_, n) => n),
    );
    assert.deepEqual(await valuesOf(cluster.url, 't'), sent);
  });
}

for (const [way, compression] of ways) {
  test(`batches that overtake each other are put back in order by their sequences, by ${way}`, async () => {
    await using cluster = await FakeCluster.start();
    const first = Promise.withResolvers<void>();
    let held = true;
    cluster.onProduce = (_topic, _partition, sequence) => {
      if (sequence !== 0 || !held) return undefined;
      held = false;
      return { hold: first.promise };
    };
    await using client = await connect({ url: cluster.url });
    await using producer = client.producer({ lingerMs: 0, batchRecords: 10, compression });
    const sending = Promise.all(Array.from({ length: 50 }, (_, n) => producer.send('t', `v${n}`)));
    while (cluster.seen.length < 4) await new Promise((resolve) => setImmediate(resolve));
    first.resolve();
    await sending;
    assert.deepEqual(
      await valuesOf(cluster.url, 't'),
      Array.from({ length: 50 }, (_, n) => `v${n}`),
    );
  });
}

test('a refused batch fails alone; what follows goes on under a fresh producer id', async () => {
  await using cluster = await FakeCluster.start();
  cluster.onProduce = (_topic, _partition, sequence) => (sequence === 10 ? { refuse: 'RECORD_TOO_LARGE' } : undefined);
  await using client = await connect({ url: cluster.url });
  await using producer = client.producer({ lingerMs: 0, batchRecords: 10 });
  const results = await Promise.allSettled(Array.from({ length: 40 }, (_, n) => producer.send('t', `v${n}`)));
  const failed = results.flatMap((result, n) => (result.status === 'rejected' ? [n] : []));
  // Under the fresh id the batch of v20 to v29 has sequence 0, the next one 10: it is refused in its turn.
  assert.deepEqual(failed, [...range(10, 20), ...range(30, 40)]);
  assert.deepEqual(
    await valuesOf(cluster.url, 't'),
    [...range(0, 10), ...range(20, 30)].map((n) => `v${n}`),
  );
  assert.equal(new Set(cluster.seen.map(({ producerId }) => producerId)).size >= 2, true);
});

for (const [way, compression] of ways) {
  test(`after lost producer state a batch of unknown outcome is reported, not doubled; clean ones go on, by ${way}`, async () => {
    await using cluster = await FakeCluster.start();
    let step = 0;
    cluster.onProduce = () => {
      step++;
      if (step === 2) return { breakCall: 'NOT_AVAILABLE' };
      if (step === 3) cluster.partition('t').producers.clear();
      return undefined;
    };
    await using client = await connect({ url: cluster.url });
    await using producer = client.producer({ lingerMs: 0, compression });
    await producer.send('t', 'a');
    await assert.rejects(producer.send('t', 'b'), (error: DomainError) => {
      assert.equal(error.code, 'TIMEOUT');
      assert.equal(error.retriable, false);
      assert.match(error.message, /outcome.*unknown.*UNKNOWN_PRODUCER/);
      return true;
    });
    assert.equal((await producer.send('t', 'c')).offset, 2);
    assert.deepEqual(await valuesOf(cluster.url, 't'), ['a', 'b', 'c']);
  });
}

test('delivery ends at its deadline: with the last refusal, or with an unknown outcome', async () => {
  await using cluster = await FakeCluster.start();
  await using client = await connect({ url: cluster.url });
  await using producer = client.producer({ lingerMs: 0, deliveryTimeoutMs: 300 });
  cluster.onProduce = () => ({ refuse: 'NOT_ENOUGH_REPLICAS' });
  await assert.rejects(producer.send('t', 'a'), { code: 'NOT_ENOUGH_REPLICAS' });
  cluster.onProduce = () => ({ after: 'NOT_ENOUGH_REPLICAS_AFTER_APPEND' });
  await assert.rejects(producer.send('t', 'b'), { code: 'TIMEOUT', retriable: false });
  cluster.onProduce = () => undefined;
  assert.equal((await producer.send('t', 'c')).offset, 1);
  assert.deepEqual(await valuesOf(cluster.url, 't'), ['b', 'c']);
});

test('trySend says false when the buffer is full; send waits for its turn, in order', async () => {
  await using cluster = await FakeCluster.start();
  const gate = Promise.withResolvers<void>();
  cluster.onProduce = () => ({ hold: gate.promise });
  await using client = await connect({ url: cluster.url });
  await using producer = client.producer({ lingerMs: 0, bufferRecords: 10 });
  assert.deepEqual(Array.from({ length: 11 }, (_, n) => producer.trySend('t', `v${n}`)).indexOf(false), 10);
  const waiting = [producer.send('t', 'w0'), producer.send('t', 'w1')];
  assert.equal(producer.trySend('t', 'no'), false);
  gate.resolve();
  await Promise.all(waiting);
  await producer.flush();
  assert.deepEqual(await valuesOf(cluster.url, 't'), [...range(0, 10).map((n) => `v${n}`), 'w0', 'w1']);
  assert.deepEqual(producer.buffered, { bytes: 0, records: 0 });
});

test('failures without a promise come by flush once, or by onDelivery with the contexts', async () => {
  await using cluster = await FakeCluster.start();
  cluster.onProduce = () => ({ refuse: 'RECORD_TOO_LARGE' });
  await using client = await connect({ url: cluster.url });
  const quiet = client.producer({ lingerMs: 0 });
  assert.equal(quiet.trySend('t', 'a'), true);
  await assert.rejects(quiet.flush(), { code: 'RECORD_TOO_LARGE', message: /1 records were not delivered/ });
  await quiet.flush();
  await quiet.sendBatch([{ topic: 'nope', value: 'x' }]);
  await assert.rejects(quiet.close(), { code: 'TOPIC_NOT_FOUND' });

  const reports: DeliveryReport[] = [];
  await using told = client.producer({ onDelivery: (report) => reports.push(report) });
  await told.sendBatch([1, 2].map((n) => ({ topic: 't', value: `${n}`, context: n })));
  await told.flush();
  cluster.onProduce = () => undefined;
  told.trySend('t', '3', { context: 'c' });
  await told.flush();
  assert.deepEqual(
    reports.map(({ recordCount, baseOffset, contexts, error }) => [recordCount, baseOffset, contexts, error?.code]),
    [
      [2, undefined, [1, 2], 'RECORD_TOO_LARGE'],
      [1, 0, ['c'], undefined],
    ],
  );
});

test('every codec and every record shape comes back as it was', async () => {
  await using cluster = await FakeCluster.start({ topics: { none: 1, lz4: 1, zstd: 1, snappy: 1 } });
  await using client = await connect({ url: cluster.url });
  for (const compression of ['none', 'lz4', 'zstd', 'snappy'] as const) {
    await using producer = client.producer({
      compression,
      batchBytes: 1024,
      key: codec.string,
      value: codec.json<{ n: number }>(),
    });
    const big = { n: 1, text: 'x'.repeat(20_000) };
    await Promise.all([
      producer.send(compression, big, {
        key: 'k',
        timestamp: new Date(5000),
        headers: [
          ['h', 'a'],
          ['h', new Uint8Array([1])],
        ],
      }),
      producer.send(compression, null, { key: 'gone' }),
    ]);
    const consumer = client.consumer({
      topic: compression,
      from: 'earliest',
      until: 'end',
      key: codec.string,
      value: codec.json(),
    });
    const records = [];
    for await (const { key, value, offset, timestampMs, headers } of consumer) {
      records.push({ key, value, offset, headers: headers.length, ...(offset === 0 && { timestampMs }) });
    }
    assert.deepEqual(records, [
      { key: 'k', value: big, offset: 0, headers: 2, timestampMs: 5000 },
      { key: 'gone', value: null, offset: 1, headers: 0 },
    ]);
  }
});

test('what cannot be sent is refused at once, with the value', async () => {
  await using cluster = await FakeCluster.start({ topics: { t: 2 } });
  await using client = await connect({ url: cluster.url });
  await using producer = client.producer();
  await assert.rejects(producer.send('a b', 'x'), { code: 'INVALID_REQUEST', message: /"a b"/ });
  await assert.rejects(producer.send('t', 'x', { partition: 2 }), { code: 'PARTITION_NOT_FOUND' });
  await assert.rejects(producer.send('t', new Uint8Array(4_000_000)), { code: 'RECORD_TOO_LARGE' });
  await assert.rejects(producer.send('t', { a: 1 } as never), { code: 'INVALID_REQUEST', message: /serde/ });
  await assert.rejects(producer.send('nope', 'x'), { code: 'TOPIC_NOT_FOUND' });
  assert.throws(() => client.producer({ acks: 0 }), { code: 'INVALID_ACKS' });
  assert.throws(() => client.producer({ lingerMs: -1 }), { code: 'INVALID_CONFIG' });
  await producer.close();
  await assert.rejects(producer.send('t', 'x'), { code: 'CANCELLED' });
});

test('servers that name each other as the leader are not asked in a tight loop', async () => {
  await using cluster = await FakeCluster.start();
  await using client = await connect({ brokers: cluster.broker(1) });
  await using producer = client.producer({ lingerMs: 0, deliveryTimeoutMs: 400 });
  let asked = 0;
  cluster.onProduce = () => {
    asked++;
    cluster.moveLeader('t', 0, cluster.partition('t').leaderId === 1 ? 2 : 1);
    return undefined;
  };
  await assert.rejects(producer.send('t', 'x'), { code: 'NOT_LEADER' });
  assert.ok(asked < 12, `asked ${asked} times`);
});

for (const [way, compression] of ways) {
  test(`closing breaks off what cannot be delivered in its time, and says so, by ${way}`, async () => {
    await using cluster = await FakeCluster.start();
    cluster.onProduce = () => ({ hold: new Promise(() => undefined) });
    await using client = await connect({ url: cluster.url });
    const producer: Producer = client.producer({ lingerMs: 0, compression });
    const sending = producer.send('t', 'x');
    sending.catch(() => undefined);
    await assert.rejects(producer.close({ timeoutMs: 100 }), { code: 'TIMEOUT' });
    await assert.rejects(sending, { code: 'TIMEOUT', message: /unknown/ });
  });
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, n) => from + n);
}
