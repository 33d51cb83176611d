import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { test } from 'node:test';
import { codec, connect } from '@fleetmq/client/node';
import { startTestFleet } from './processes.ts';

test('a broker dies under load and comes back: every acknowledged record is there once, in order, for every reader', async () => {
  await using fleet = await startTestFleet({ controllers: 1, brokers: 3 });
  const { client, processes } = fleet;
  await client.admin.createTopic('t', { partitions: 3, replicationFactor: 3 });
  await using direct = await connect({ brokers: fleet.brokers });
  const live: string[][] = [[], [], []];
  const total = 3000;
  const reading = (async () => {
    const consumer = direct.consumer({
      topic: 't',
      from: 'earliest',
      until: { count: 2 * total },
      value: codec.string,
    });
    for await (const { partition, value } of consumer) live[partition]?.push(value as string);
  })();
  const writers = [client.producer({ lingerMs: 1 }), direct.producer({ lingerMs: 1 })];
  const sent: string[][][] = writers.map(() => [[], [], []]);
  const sending: Promise<unknown>[] = [];
  for (let n = 0; n < total; n++) {
    for (const [who, producer] of writers.entries()) {
      const value = `${who}-${n}`;
      sent[who]?.[n % 3]?.push(value);
      sending.push(producer.send('t', value, { partition: n % 3 }));
    }
    if (n === 1000) await processes.kill('broker', 1);
    if (n === 2000) await processes.restart('broker', 1);
    if (n % 100 === 0) await Promise.race([Promise.all(sending), new Promise((resolve) => setTimeout(resolve, 20))]);
  }
  await Promise.all(sending);
  await reading;
  await fleet.waitForActiveBrokers(3);
  for (let partition = 0; partition < 3; partition++) {
    const stored: string[] = [];
    const consumer = client.consumer({
      assignment: [{ topic: 't', partition }],
      from: 'earliest',
      until: 'end',
      value: codec.string,
    });
    for await (const { value } of consumer) stored.push(value as string);
    for (const [who] of writers.entries()) {
      assert.deepEqual(
        stored.filter((value) => value.startsWith(`${who}-`)),
        sent[who]?.[partition],
      );
    }
    assert.deepEqual(live[partition], stored);
  }
  await Promise.all(writers.map((producer) => producer.close()));
});

test('the data folder goes with the fleet', async () => {
  let folder: string;
  {
    await using fleet = await startTestFleet({ controllers: 1, brokers: 1, gateway: false });
    folder = fleet.processes.dataFolder;
    assert.ok(fs.existsSync(folder));
    assert.equal((await fleet.client.ping()).clusterId.length > 0, true);
  }
  assert.equal(fs.existsSync(folder), false);
});
