import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Codec } from '@fleetmq/record';
import { lz4 } from '@fleetmq/record/codecs/node';
import { DomainError, seededRandom } from '@fleetmq/shared';
import fc from 'fast-check';
import { codec, connect } from '../node.ts';
import { clientWith, HeldCodec, type Job, turn } from './background-fixture.ts';
import { FakeCluster } from './fake-cluster-fixture.ts';

const numbers = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, n) => `v${from + n}`);

/** Values of a partition, in order, by a client that inflates at once. */
async function valuesOf(cluster: FakeCluster, topic = 't', partition = 0): Promise<string[]> {
  await using client = await connect({ url: cluster.url });
  const assignment = [{ topic, partition }];
  const values: string[] = [];
  for await (const { value } of client.consumer({ assignment, from: 'earliest', until: 'end', value: codec.string })) {
    values.push(value as string);
  }
  return values;
}

test('batches leave in the order in which they were closed, whichever is compressed first; two at a time', async () => {
  await using cluster = await FakeCluster.start({ topics: { t: 1 } });
  const held = new HeldCodec();
  await using client = clientWith(held.codec, cluster.url);
  await using producer = client.producer({ compression: 'lz4', lingerMs: 0, batchRecords: 10 });
  const sending = Promise.all(numbers(0, 40).map((value) => producer.send('t', value)));
  await held.begun(2);
  await turn();
  assert.equal(held.jobs.length, 2);
  held.jobs[1]?.finish();
  await held.begun(3);
  held.jobs[2]?.finish();
  await held.begun(4);
  await turn();
  assert.equal(cluster.calls, 0);
  held.jobs[0]?.finish();
  while (cluster.seen.length < 3) await turn();
  held.jobs[3]?.finish();
  const receipts = await sending;
  assert.deepEqual(
    receipts.map(({ offset }) => offset),
    Array.from({ length: 40 }, (_, n) => n),
  );
  assert.deepEqual(
    cluster.seen.map(({ sequence, records }) => [sequence, records]),
    [0, 10, 20, 30].map((sequence) => [sequence, 10]),
  );
  assert.deepEqual(await valuesOf(cluster), numbers(0, 40));
});

test('one partition that compresses does not hold up another that sends', async () => {
  await using cluster = await FakeCluster.start({ topics: { t: 2 } });
  const held = new HeldCodec(() => undefined, 1000);
  await using client = clientWith(held.codec, cluster.url);
  await using producer = client.producer({ compression: 'lz4', lingerMs: 0 });
  const long = producer.send('t', 'x'.repeat(2000), { partition: 0 });
  await held.begun(1);
  assert.equal((await producer.send('t', 'short', { partition: 1 })).offset, 0);
  const behind = producer.send('t', 'behind', { partition: 0 });
  await turn();
  assert.equal(cluster.seen.length, 1, 'what is behind the long one waits for it, compressed at once or not');
  held.jobs[0]?.finish();
  assert.deepEqual([(await long).offset, (await behind).offset], [0, 1]);
});

test('what the window would not take stays open and grows while the batch before it is compressed', async ({
  mock,
}) => {
  await using cluster = await FakeCluster.start({ topics: { t: 1 } });
  const held = new HeldCodec();
  await using client = clientWith(held.codec, cluster.url);
  await using producer = client.producer({ compression: 'lz4', lingerMs: 0, maxInFlight: 1 });
  const first = producer.send('t', 'a');
  await held.begun(1);
  const timers = mock.method(globalThis, 'setTimeout');
  const rest = [producer.send('t', 'b'), producer.send('t', 'c')];
  await turn();
  assert.equal(held.jobs.length, 1);
  const delays = timers.mock.calls.map(({ arguments: [, delayMs] }) => delayMs);
  assert.ok(!delays.includes(0), 'it is overdue, but time alone will not close it');
  timers.mock.restore();
  held.jobs[0]?.finish();
  await first;
  await held.begun(2);
  held.jobs[1]?.finish();
  await Promise.all(rest);
  assert.deepEqual(
    cluster.seen.map(({ records }) => records),
    [1, 2],
  );
});

test('flush waits for what is being compressed, and its memory counts until it is settled', async () => {
  await using cluster = await FakeCluster.start({ topics: { t: 1 } });
  const held = new HeldCodec();
  await using client = clientWith(held.codec, cluster.url);
  await using producer = client.producer({ compression: 'lz4', lingerMs: 0, bufferRecords: 3 });
  await producer.sendBatch(['a', 'b', 'c'].map((value) => ({ topic: 't', value })));
  await held.begun(1);
  assert.equal(producer.trySend('t', 'd'), false);
  assert.equal(producer.buffered.records, 3);
  let isFlushed = false;
  const flushing = producer.flush().then(() => {
    isFlushed = true;
  });
  await turn();
  assert.equal(isFlushed, false);
  held.jobs[0]?.finish();
  await flushing;
  assert.deepEqual(producer.buffered, { bytes: 0, records: 0 });
});

test('closing in the middle of a compression rejects its records; what the codec makes then is not sent', async () => {
  await using cluster = await FakeCluster.start({ topics: { t: 1 } });
  const held = new HeldCodec();
  await using client = clientWith(held.codec, cluster.url);
  const producer = client.producer({ compression: 'lz4', lingerMs: 0, batchRecords: 1 });
  const sending = Promise.allSettled(['a', 'b', 'c'].map((value) => producer.send('t', value)));
  await held.begun(2);
  await assert.rejects(producer.close({ timeoutMs: 50 }), { code: 'TIMEOUT' });
  const outcomes = (await sending).map((outcome) => (outcome.status === 'rejected' ? outcome.reason.code : 'sent'));
  assert.deepEqual(outcomes, ['CANCELLED', 'CANCELLED', 'CANCELLED']);
  assert.deepEqual(producer.buffered, { bytes: 0, records: 0 });
  for (const job of held.jobs) job.finish();
  await turn();
  assert.equal(held.jobs.length, 2, 'c is not compressed any more');
  assert.equal(cluster.calls, 0);
});

test('a batch that is compressed beyond its deadline fails; the next one goes on in its place', async () => {
  await using cluster = await FakeCluster.start({ topics: { t: 1 } });
  const held = new HeldCodec();
  await using client = clientWith(held.codec, cluster.url);
  await using producer = client.producer({ compression: 'lz4', lingerMs: 0, deliveryTimeoutMs: 150 });
  await assert.rejects(producer.send('t', 'late'), {
    code: 'NOT_AVAILABLE',
    message: /not sent before their deadline/,
  });
  const next = producer.send('t', 'next');
  await held.begun(2);
  held.jobs[0]?.finish();
  held.jobs[1]?.finish();
  assert.equal((await next).offset, 0);
  assert.deepEqual(await valuesOf(cluster), ['next']);
});

test('a codec that fails costs its own batch and nothing else, in the background and at once', async () => {
  const failures = [
    { thrown: new Error('out of memory'), expected: { code: 'UNKNOWN_ERROR', message: /lz4.*out of memory/ } },
    { thrown: new DomainError('UNSUPPORTED_CODEC', 'not here'), expected: { code: 'UNSUPPORTED_CODEC' } },
  ];
  for (const { thrown, expected } of failures) {
    for (const make of [failingInBackground, failingAtOnce]) {
      await using cluster = await FakeCluster.start({ topics: { t: 1 } });
      await using client = clientWith(make(3, thrown), cluster.url);
      await using producer = client.producer({ compression: 'lz4', lingerMs: 0, batchRecords: 10 });
      const outcomes = await Promise.allSettled(numbers(0, 50).map((value) => producer.send('t', value)));
      const failed = outcomes.flatMap((outcome, n) => (outcome.status === 'rejected' ? [n] : []));
      assert.deepEqual(failed, [20, 21, 22, 23, 24, 25, 26, 27, 28, 29]);
      const first = outcomes[20] as PromiseRejectedResult;
      assert.throws(() => {
        throw first.reason;
      }, expected);
      assert.deepEqual(
        cluster.seen.map(({ sequence }) => sequence),
        [0, 10, 20, 30],
        'it had no sequence yet',
      );
      assert.deepEqual(await valuesOf(cluster), [...numbers(0, 20), ...numbers(30, 50)]);
      assert.deepEqual(producer.buffered, { bytes: 0, records: 0 });
    }
  }
});

function failingInBackground(call: number, error: Error): Codec {
  let calls = 0;
  return new HeldCodec((job) => (++calls === call ? job.fail(error) : job.finish())).codec;
}

function failingAtOnce(call: number, error: Error): Codec {
  let calls = -1; // The producer tries its codec once, when it is made.
  const { background: _, ...atOnce } = lz4;
  return {
    ...atOnce,
    compress(bytes) {
      if (++calls === call) throw error;
      return lz4.compress(bytes);
    },
  };
}

test('records of each partition keep order and content, for sizes, orders of work and refusals of any kind', async () => {
  await using cluster = await FakeCluster.start({ topics: {} });
  let runs = 0;
  const record = fc.record({ partition: fc.nat(2), size: fc.constantFrom(1, 90, 700, 3000) });
  await fc.assert(
    fc.asyncProperty(fc.array(record, { minLength: 1, maxLength: 60 }), fc.nat(), async (records, seed) => {
      const topic = `t${runs++}`;
      cluster.addTopic(topic, 3);
      const random = seededRandom(seed);
      cluster.onProduce = () => (random.next() < 0.1 ? { after: 'NOT_ENOUGH_REPLICAS_AFTER_APPEND' } : undefined);
      const held = new HeldCodec((job) => void finishLater(job, Math.floor(7 * random.next())), 500);
      await using client = clientWith(held.codec, cluster.url);
      await using producer = client.producer({ compression: 'lz4', lingerMs: 0, batchBytes: 1024 });
      const values = records.map(({ size }, n) => `${n}:`.padEnd(size, 'x'));
      const receipts = records.map(async ({ partition }, n) => {
        const { offset } = await producer.send(topic, values[n] as string, { partition });
        return { partition, offset, value: values[n] };
      });
      const placed = await Promise.all(receipts);
      for (const partition of [0, 1, 2]) {
        const sent = values.filter((_, n) => records[n]?.partition === partition);
        assert.deepEqual(await valuesOf(cluster, topic, partition), sent);
        for (const { offset, value } of placed.filter((receipt) => receipt.partition === partition)) {
          assert.equal(value, sent[offset]);
        }
      }
    }),
    { numRuns: 25 },
  );
});

async function finishLater(job: Job, turns: number): Promise<void> {
  for (let i = 0; i < turns; i++) await turn();
  job.finish();
}
