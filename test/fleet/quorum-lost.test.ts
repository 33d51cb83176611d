/**
 * Without a majority of the controllers nothing can be decided, and everything that needs no decision goes on: brokers and
 * gateway serve on the metadata that they have, and say how old these are. The majority comes back, and so do decisions.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { connect } from '@fleetmq/client/node';
import { isDomainError } from '@fleetmq/shared';
import { startTestFleet, type TestFleet } from '@fleetmq/testkit';
import { audit, History, Load } from './load.ts';
import { waitFor } from './wait.ts';

const topic = 'on-what-is-known';
const partitions = 3;

describe('the controllers have no majority', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await startTestFleet({ controllers: 3, brokers: 2 });
    await fleet.client.admin.createTopic(topic, { partitions, replicationFactor: 2 });
  });

  after(() => fleet[Symbol.asyncDispose]());

  test('records flow through the gateway and straight to the brokers, and the age of the metadata shows', {
    timeout: 180_000,
  }, async () => {
    await using direct = await connect({ brokers: fleet.brokers });
    const history = new History();
    await using throughGateway = new Load(fleet.client, { history, topic, partitions, name: 'gateway', rate: 100 });
    await using straight = new Load(direct, { history, topic, partitions, name: 'direct', rate: 100 });
    const loads = [throughGateway, straight];
    const areWritableSince = (sinceMs: number): boolean => loads.every((load) => load.isWritableSince(sinceMs));
    await waitFor('the first acknowledgments', () => areWritableSince(0), 20_000);
    await Promise.all([1, 2].map((id) => fleet.processes.kill('controller', id)));

    const ageOf = async (client: typeof direct): Promise<number> => {
      const { metadataAge } = await client.admin.clusterMetadata();
      return Number(metadataAge?.seconds ?? 0n);
    };
    const oldMs = await waitFor(
      'both to say that they have not heard of the controllers for 6 s',
      async () => (await ageOf(fleet.client)) >= 6 && (await ageOf(direct)) >= 6,
      60_000,
    );
    assert.ok(oldMs > 0);
    for (const [role, port] of [
      ['gateway', fleet.processes.ports.gateway.ops],
      ['broker', fleet.processes.ports.brokers[0]?.ops],
    ] as const) {
      const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
      const age = Number(/^fleetmq_metadata_age_seconds (\S+)$/m.exec(metrics)?.[1]);
      assert.ok(age >= 5, `${role}: ${age}`);
      const ready = await fetch(`http://127.0.0.1:${port}/readyz`);
      assert.equal(ready.status, 200, `${role} is not ready: ${await ready.text()}`);
    }
    await assert.rejects(
      fleet.client.admin.createTopic('later', { timeoutMs: 2_000 }),
      (error) => isDomainError(error) && error.retriable,
    );
    const lostMs = performance.now();
    await waitFor('writes without the controllers', () => areWritableSince(lostMs), 10_000);

    await fleet.processes.restart('controller', 1);
    await fleet.client.admin.createTopic('later', { timeoutMs: 30_000 });
    await waitFor('fresh metadata', async () => (await ageOf(fleet.client)) <= 2 && (await ageOf(direct)) <= 2, 30_000);
    await Promise.all(loads.map((load) => load.stop()));
    assert.deepEqual(
      loads.flatMap(({ failures }) => failures),
      [],
    );
    assert.deepEqual((await audit(fleet.client, topic, history)).findings, []);
  });
});
