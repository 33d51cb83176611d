/**
 * kill -9 of any one process under load: no acknowledged record is lost, none is stored twice by the idempotent producer, one
 * producer's records keep their order, and every partition is writable again within 5 s. At random moments; the seed is
 * printed, and FLEETMQ_KILL_SEED repeats its choices. FLEETMQ_KILL_ROUNDS sets how many (20 by default).
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type Client, connect } from '@fleetmq/client/node';
import { seededRandom } from '@fleetmq/shared';
import { startTestFleet, type TestFleet } from '@fleetmq/testkit';
import { audit, History, Load } from './load.ts';
import { waitFor } from './wait.ts';

const topic = 'kill';
const partitions = 6;
const rounds = Number(process.env['FLEETMQ_KILL_ROUNDS'] ?? 20);
const seed = Number(process.env['FLEETMQ_KILL_SEED'] ?? Date.now() % 1_000_000);
const writableWithinMs = 5000;

type Victim = { readonly role: 'controller' | 'broker'; readonly id: number };

describe('kill -9 under load', () => {
  let fleet: TestFleet;
  let viaGateway: Client;
  let direct: Client;

  before(async () => {
    fleet = await startTestFleet({ controllers: 3, brokers: 3 });
    viaGateway = await connect({ url: fleet.url });
    direct = await connect({ brokers: fleet.brokers });
    await viaGateway.admin.createTopic(topic, { partitions, replicationFactor: 3 });
  });

  after(async () => {
    await viaGateway[Symbol.asyncDispose]();
    await direct[Symbol.asyncDispose]();
    await fleet[Symbol.asyncDispose]();
  });

  const describeTopic = async () => (await viaGateway.admin.describeTopic(topic)).topic.partitions;
  const controllerLeader = async () =>
    (await viaGateway.admin.describeCluster()).controllers.find((node) => node.leader)?.controllerId ?? 0;

  async function chooseVictim(random: () => number): Promise<Victim> {
    const dice = random();
    if (dice < 0.3) return { role: 'controller', id: await controllerLeader() };
    if (dice < 0.4) return { role: 'controller', id: 1 + Math.floor(random() * 3) };
    if (dice < 0.8) {
      const some = (await describeTopic())[Math.floor(random() * partitions)];
      return { role: 'broker', id: some?.leaderId ?? 1 };
    }
    return { role: 'broker', id: 1 + Math.floor(random() * 3) };
  }

  const isWhole = async () =>
    (await describeTopic()).every((one) => one.leaderId !== 0 && one.inSyncReplicas.length === 3) &&
    (await viaGateway.admin.describeCluster()).controllers.every((node) => node.active);

  test(`${rounds} times, seed ${seed}`, { timeout: 15 * 60_000 }, async (t) => {
    const random = seededRandom(seed);
    const outages: number[] = [];
    const history = new History();
    await using one = new Load(viaGateway, { history, topic, partitions, name: 'gateway', rate: 400 });
    await using other = new Load(direct, { history, topic, partitions, name: 'direct', rate: 400 });
    const isWritable = (sinceMs: number) => one.isWritableSince(sinceMs) && other.isWritableSince(sinceMs);
    await waitFor('the first acknowledgments', () => isWritable(0), 20_000);
    for (let round = 1; round <= rounds; round++) {
      await delay(random.next() * 500);
      const victim = await chooseVictim(() => random.next());
      await fleet.processes.kill(victim.role, victim.id);
      const killedMs = performance.now();
      const outage = await waitFor(
        `writes after the death of ${victim.role} ${victim.id}`,
        () => isWritable(killedMs),
        30_000,
      );
      outages.push(outage);
      t.diagnostic(`round ${round}: ${victim.role} ${victim.id}, writable after ${outage.toFixed(0)} ms`);
      await fleet.processes.restart(victim.role, victim.id);
      await waitFor(`a whole fleet after the return of ${victim.role} ${victim.id}`, isWhole, 60_000);
    }
    await one.stop();
    await other.stop();
    assert.deepEqual([...one.failures, ...other.failures], [], 'no send failed');
    for (const [name, reader] of [
      ['gateway', viaGateway],
      ['brokers', direct],
    ] as const) {
      const { counts, findings } = await audit(reader, topic, history);
      t.diagnostic(`read through the ${name}: ${counts.distinct} records there, ${counts.acknowledged} acknowledged`);
      assert.deepEqual(findings, []);
    }
    const slowest = Math.max(...outages);
    t.diagnostic(`writable again after ${slowest.toFixed(0)} ms at most`);
    assert.ok(slowest <= writableWithinMs, `writable after ${slowest} ms`);
  });
});
