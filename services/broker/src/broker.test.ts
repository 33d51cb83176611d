import assert from 'node:assert/strict';
import { mkdir, readdir } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { AcknowledgmentLevel } from '@fleetmq/gen/common/types';
import { TestFleet, until } from './testing/fleet.fuzz.ts';
import { record, textsOf, topicOf } from './testing/one-broker.fuzz.ts';

const { ACK_ALL } = AcknowledgmentLevel;

describe('one broker', () => {
  let fleet: TestFleet;
  before(async () => {
    fleet = await TestFleet.start([1]);
  });
  after(() => fleet[Symbol.asyncDispose]());

  test('metadata, state and health of the broker', async () => {
    const { metadata, partitions, health } = fleet.clients(1, 'internal');
    await topicOf(fleet, 'described');
    const { topics, brokers } = await metadata.getTopicMetadata({ topics: ['described'] });
    assert.equal(topics[0]?.topic?.partitions[0]?.leaderId, 1);
    assert.equal(brokers[0]?.endpoints[0]?.listener, 'internal');
    const state = await partitions.getPartitionState({ topicPartition: { topic: 'described', partition: 0 } });
    assert.equal(state.role, 'leader');
    assert.equal((await health.getHealth({})).state, 'ready');
    const { metrics } = await health.getMetrics({ metricNames: ['fleetmq_broker_leaders'] });
    assert.ok((metrics[0]?.value ?? 0) >= 1);
    const version = fleet.controller.image.version;
    const command = { topicId: topics[0]?.topic?.topicId ?? '', partition: { partition: 0 }, controllerEpoch: 1n };
    const applied = await partitions.assignPartition({ ...command, metadataVersion: BigInt(version) });
    assert.equal(applied.metadataVersion, BigInt(version));
    await assert.rejects(partitions.assignPartition({ ...command, metadataVersion: 1n }), { code: 'STALE_EPOCH' });
    await assert.rejects(
      partitions.assignPartition({ ...command, controllerEpoch: 0n, metadataVersion: BigInt(version) }),
      { code: 'STALE_EPOCH' },
    );
  });

  test('a caller that speaks Connect with JSON is served by the same handlers', async () => {
    await topicOf(fleet, 'json');
    const { host, port } = fleet.broker(1).listeners.client;
    const post = async (method: string, body: unknown) => {
      const response = await fetch(`http://${host}:${port}/${method}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'connect-protocol-version': '1' },
        body: JSON.stringify(body),
      });
      return { status: response.status, body: (await response.json()) as Record<string, unknown> };
    };
    const produced = await post('rustmq.client.ProducerService/Produce', {
      topicPartition: { topic: 'json' },
      records: [{ value: btoa('from a page') }],
      acks: 'ACK_ALL',
    });
    assert.equal(produced.status, 200, JSON.stringify(produced.body));
    const fetched = await post('rustmq.client.ConsumerService/Fetch', {
      partitions: [{ topicPartition: { topic: 'json' } }],
    });
    assert.ok(JSON.stringify(fetched.body).includes(btoa('from a page')));
  });
});

test('P14, P9: a restart keeps what was acknowledged, says how it ended, and serves at once', async () => {
  await using fleet = await TestFleet.start([1]);
  fleet.controller.createTopic('kept', [1]);
  const topicPartition = { topic: 'kept', partition: 0 };
  const isLed = () => fleet.broker(1).partitions.byName('kept', 0)?.state.leader?.servable === true;
  for (const [round, handOver] of [true, false, true].entries()) {
    await until('it leads', isLed);
    const { producer } = fleet.clients(1);
    const answer = await producer.produce({ topicPartition, records: [record(`round-${round}`)], acks: ACK_ALL });
    assert.equal(answer.offset, BigInt(round));
    await fleet.stopBroker(1, { handOver });
    await fleet.startBroker(1);
  }
  await until('it leads', isLed);
  const { partitions } = await fleet.clients(1).consumer.fetch({ partitions: [{ topicPartition }] });
  assert.deepEqual(textsOf(partitions[0]?.batches ?? []), ['round-0', 'round-1', 'round-2']);
  assert.deepEqual(
    fleet.controller.registrations.map(({ clean }) => clean),
    [false, true, false, true],
  );
});

test('J7: a log that the metadata does not know is put aside, not deleted', async () => {
  await using fleet = await TestFleet.start([1]);
  await fleet.stopBroker(1);
  const stray = `${'ab'.repeat(16)}-3`;
  await mkdir(`${fleet.folderOf(1)}/partitions/${stray}`, { recursive: true });
  await fleet.startBroker(1);
  assert.deepEqual(await readdir(`${fleet.folderOf(1)}/partitions`), []);
  const [kept] = await readdir(`${fleet.folderOf(1)}/strays`);
  assert.ok(kept?.startsWith(`${stray}.`), kept);
});

test('a request that waits when the broker stops gets an answer', async () => {
  await using fleet = await TestFleet.start([1]);
  fleet.controller.createTopic('ending', [1]);
  await until('it leads', () => fleet.broker(1).partitions.byName('ending', 0)?.state.leader?.servable === true);
  const { consumer } = fleet.clients(1);
  const topicPartition = { topic: 'ending', partition: 0 };
  const polling = consumer.fetch({ maxWait: { seconds: 20n }, partitions: [{ topicPartition }] });
  await until('the reader is parked', () => fleet.broker(1).partitions.byName('ending', 0)?.readerCount === 1);
  const started = performance.now();
  await Promise.all([polling.catch(() => undefined), fleet.stopBroker(1)]);
  assert.ok(performance.now() - started < 4_000);
  await delay(0);
});
