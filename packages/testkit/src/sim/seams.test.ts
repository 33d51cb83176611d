import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Client } from '@fleetmq/client';
import { SmallFleet } from './seams-fixture.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

async function startFleet(brokers: number): Promise<SmallFleet> {
  const fleet = new SmallFleet();
  await fleet.run(fleet.startController());
  await fleet.run(Promise.all(Array.from({ length: brokers }, (_, index) => fleet.startBroker(index + 1))));
  await fleet.run(fleet.startGateway());
  return fleet;
}

async function send(client: Client, from: number, count: number): Promise<void> {
  await using producer = client.producer({ acks: 'all', compression: 'lz4' });
  for (let i = from; i < from + count; i++) void producer.send('t', encoder.encode(String(i)));
  await producer.flush();
}

async function readAll(client: Client): Promise<number[]> {
  const values: number[] = [];
  const consumer = client.consumer({ topic: 't', from: 'earliest', until: 'end' });
  for await (const { value } of consumer) values.push(Number(decoder.decode(value as Uint8Array)));
  return values;
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

/** Two brokers, a topic on both, records through the gateway and past it; how much happened. */
async function runOnce(): Promise<{ readonly events: number; readonly nowMs: number }> {
  const fleet = await startFleet(2);
  const viaGateway = fleet.client('gateway');
  await fleet.run(viaGateway.admin.createTopic('t', { partitions: 1, replicationFactor: 2 }));
  const direct = fleet.client('brokers');
  await fleet.run(send(viaGateway, 0, 500));
  await fleet.run(send(direct, 500, 500));
  assert.deepEqual(await fleet.run(readAll(viaGateway)), numbers(1_000));
  assert.deepEqual(await fleet.run(readAll(direct)), numbers(1_000));
  const ends = [1, 2].map((id) => fleet.broker(id).partitions.byName('t', 0)?.log?.durableEndOffset);
  assert.deepEqual(ends, [1_000, 1_000], 'acks of all: both have it on disk');
  await fleet.run(Promise.all([viaGateway.close(), direct.close()]));
  const { events, time } = fleet.scheduler;
  return { events, nowMs: time.nowMs };
}

describe('nodes of production code on virtual time', () => {
  test('records go from a client through a gateway and brokers to a client, the same way every time', async () => {
    const realMs = performance.now();
    const first = await runOnce();
    assert.deepEqual(await runOnce(), first);
    assert.ok(performance.now() - realMs < 30_000, 'no real timer is waited for');
  });

  test('brokers that have nothing to do set few timers', async () => {
    const fleet = await startFleet(2);
    const client = fleet.client('gateway');
    await fleet.run(client.admin.createTopic('t', { partitions: 10, replicationFactor: 2 }));
    await fleet.run(send(client, 0, 100));
    await fleet.run(client.close());
    await fleet.pass(10_000);
    for (const id of [1, 2]) {
      const before = fleet.timerEvents(id);
      await fleet.pass(60_000);
      const perSecond = (fleet.timerEvents(id) - before) / 60;
      assert.ok(perSecond < 4, `broker ${id}: ${perSecond} a second`);
    }
  });

  test('a broker that loses its power comes back with what it acknowledged; one that stops hands over', async () => {
    const fleet = await startFleet(3);
    const client = fleet.client('gateway');
    await fleet.run(client.admin.createTopic('t', { partitions: 1, assignments: [[1, 2, 3]] }));
    await fleet.run(send(client, 0, 200));
    fleet.crashBroker(1);
    await fleet.run(send(client, 200, 200));
    await fleet.run(fleet.startBroker(1));
    await fleet.run(fleet.stopBroker(2));
    await fleet.run(send(client, 400, 200));
    assert.deepEqual(await fleet.run(readAll(client)), numbers(600));
    await fleet.pass(10_000);
    const [one, three] = [1, 3].map((id) => fleet.broker(id).partitions.byName('t', 0));
    assert.equal(one?.log?.durableEndOffset, 600);
    assert.equal(three?.state.highWatermark, one?.state.highWatermark);
    await fleet.run(client.close());
  });
});
