import assert from 'node:assert/strict';
import { test } from 'node:test';
import { overInflationCap } from '@fleetmq/record';
import { DomainError } from '@fleetmq/shared';
import { codec, connect } from '../node.ts';
import { clientWith, HeldCodec, turn } from './background-fixture.ts';
import { FakeCluster } from './fake-cluster-fixture.ts';

const numbers = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, n) => `v${from + n}`);

/** A topic of so many batches of two records, and a consumer of it whose inflations the test holds. */
async function consumerOf(cluster: FakeCluster, batches: number) {
  const held = new HeldCodec();
  const writer = await connect({ url: cluster.url });
  await using producer = writer.producer({ compression: 'lz4', lingerMs: 0, batchRecords: 2 });
  await producer.send(numbers(0, 2 * batches).map((value) => ({ topic: 't', value })));
  await writer.close();
  const client = clientWith(held.codec, cluster.url);
  const consumer = client.consumer({ topic: 't', from: 'earliest', until: 'end', value: codec.string });
  return { held, client, consumer };
}

test('a consumer inflates two batches ahead of its caller, and hands them over in their order', async () => {
  await using cluster = await FakeCluster.start({ topics: { t: 1 } });
  cluster.batchesPerAnswer = 10;
  const { held, client, consumer } = await consumerOf(cluster, 6);
  await using _ = client;
  const values: string[] = [];
  const reading = (async () => {
    for await (const { value } of consumer) values.push(value as string);
  })();
  await held.begun(3);
  for (let i = 0; i < 5; i++) await turn();
  assert.equal(held.jobs.length, 3);
  held.jobs[2]?.finish();
  held.jobs[1]?.finish();
  await turn();
  assert.deepEqual(values, []);
  held.jobs[0]?.finish();
  await held.begun(6);
  for (const job of [5, 4, 3]) held.jobs[job]?.finish();
  await reading;
  assert.deepEqual(values, numbers(0, 12));
  assert.equal(held.jobs.length, 6, 'each batch is inflated once');
});

test('a seek in the middle of an inflation drops it, by records and by batches', async () => {
  for (const way of ['records', 'batches'] as const) {
    await using cluster = await FakeCluster.start({ topics: { t: 1 } });
    const { held, client, consumer } = await consumerOf(cluster, 4);
    await using _ = client;
    const reading = way === 'records' ? consumer[Symbol.asyncIterator]() : consumer.batches();
    const begun = reading.next();
    await held.begun(1);
    held.jobs[0]?.finish();
    await begun;
    if (way === 'records') await reading.next();
    const pending = reading.next();
    await held.begun(2);
    await consumer.seek({ topic: 't', partition: 0 }, 1);
    const before = held.jobs.length;
    for (const job of held.jobs) job.finish();
    await held.begun(before + 1);
    for (const job of held.jobs) job.finish();
    const { value } = await pending;
    const record = value !== undefined && 'records' in value ? value.records[0] : value;
    assert.equal(record?.value, 'v1');
    assert.equal(consumer.position('t', 0), 2);
    await reading.return?.();
  }
});

test('a batch that cannot be inflated fails in its turn', async () => {
  for (const error of [new Error('damaged'), overInflationCap('lz4', 1)]) {
    await using cluster = await FakeCluster.start({ topics: { t: 1 } });
    cluster.batchesPerAnswer = 10;
    const { held, client, consumer } = await consumerOf(cluster, 3);
    await using _ = client;
    const values: string[] = [];
    const reading = (async () => {
      for await (const { value } of consumer) values.push(value as string);
    })();
    await held.begun(3);
    held.jobs[1]?.fail(error);
    await turn();
    assert.deepEqual(values, []);
    held.jobs[0]?.finish();
    held.jobs[2]?.finish();
    await assert.rejects(reading, { code: error instanceof DomainError ? 'RECORD_TOO_LARGE' : 'CORRUPT_BATCH' });
    assert.deepEqual(values, numbers(0, 2));
  }
});
