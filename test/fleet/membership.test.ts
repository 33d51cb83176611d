/**
 * The quorum of the controllers is exchanged under load, process by process: from one to three, the first one is killed and
 * removed, its old disk comes back and is told that it does not belong any more, a new disk under the old id is taken in. The
 * gateway and the broker are configured with the first controller alone: they find the others by what the controllers say.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import * as path from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import type { ControllerStatus } from '@fleetmq/gen/controller/admin';
import { isDomainError } from '@fleetmq/shared';
import { mainOf, startTestFleet, type TestFleet } from '@fleetmq/testkit';
import { audit, History, Load } from './load.ts';
import { waitFor } from './wait.ts';

const topic = 'membership';
const partitions = 2;

interface Joiner {
  readonly child: ChildProcess;
  readonly internal: { readonly host: string; readonly port: number };
  readonly ops: { readonly host: string; readonly port: number };
}

describe('controllers come and go under load', () => {
  let fleet: TestFleet;
  const joiners: Joiner[] = [];

  before(async () => {
    fleet = await startTestFleet({ controllers: 1, brokers: 1 });
    await fleet.client.admin.createTopic(topic, { partitions, replicationFactor: 1 });
  });

  after(async () => {
    // The broker hands over to controllers that are still there.
    await fleet[Symbol.asyncDispose]();
    await Promise.all(joiners.map(({ child }) => endOf(child, 'SIGKILL')));
  });

  /** A controller with an empty folder that waits to be added. */
  async function startJoiner(id: number, folder: string): Promise<Joiner> {
    const flags = [
      `--node.id=${id}`,
      `--data.folder=${path.join(fleet.processes.dataFolder, folder)}`,
      `--quorum.peers=1@127.0.0.1:${fleet.processes.ports.controllers[0]?.internal}`,
      ...['--quorum.join=true', '--security.mode=open', '--listen.internal.port=0', '--listen.ops.port=0'],
      '--log.level=error',
    ];
    const child = spawn(process.execPath, [mainOf('controller'), ...flags], { stdio: ['ignore', 'pipe', 'inherit'] });
    const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
    const [line] = (await Promise.race([once(lines, 'line'), once(child, 'exit')])) as [unknown];
    assert.equal(typeof line, 'string', `controller ${id} did not start`);
    const { listeners } = JSON.parse(String(line));
    const joiner = { child, internal: listeners.internal, ops: listeners.ops };
    joiners.push(joiner);
    return joiner;
  }

  const list = () => fleet.client.admin.listControllers({ timeoutMs: 10_000 });
  const votersAre = async (...ids: number[]) =>
    (await list())
      .filter(({ voter }) => voter)
      .map(({ controllerId }) => controllerId)
      .join() === ids.join();
  const leaderOf = (controllers: readonly ControllerStatus[]) => controllers.find(({ leader }) => leader)?.controllerId;

  test('one to three, without the first, and back with a new disk', { timeout: 180_000 }, async (t) => {
    const { admin } = fleet.client;
    const history = new History();
    await using load = new Load(fleet.client, { history, topic, partitions, name: 'load', rate: 200 });
    await waitFor('the first acknowledgments', () => load.isWritableSince(0), 20_000);
    for (const id of [2, 3]) {
      const { internal } = await startJoiner(id, `controller-${id}`);
      assert.equal(await admin.addController(internal), id);
      await waitFor(`controller ${id} to vote`, () => votersAre(...[1, 2, 3].slice(0, id)), 30_000);
    }
    // Everybody that the configuration of gateway and broker names is gone.
    await waitFor('all to be active', async () => (await list()).every(({ active }) => active), 10_000);
    await fleet.processes.kill('controller', 1);
    const outageMs = await waitFor('another leader', async () => [2, 3].includes(leaderOf(await list()) ?? 0), 20_000);
    t.diagnostic(`another leader, as the gateway sees it, after ${outageMs.toFixed(0)} ms`);
    await admin.createTopic('after-the-first');
    await waitFor('the dead one to be noticed', async () => (await list())[0]?.active === false, 10_000);

    await admin.removeController(1);
    assert.ok(await votersAre(2, 3));
    await assert.rejects(
      admin.removeController(1),
      (error) => isDomainError(error) && /no member of the quorum/.test(error.message),
    );
    // Its old disk does not know: it asks for votes, and is told.
    const old = await fleet.processes.restart('controller', 1);
    const { ops } = old.listeners;
    const readiness = async () => await (await fetch(`http://${ops?.host}:${ops?.port}/readyz`)).text();
    await waitFor('the removed one to know', async () => /removed from the quorum/.test(await readiness()), 30_000);
    const { internal } = old.listeners;
    await assert.rejects(
      admin.addController({ host: internal?.host ?? '', port: internal?.port ?? 0 }),
      (error) => isDomainError(error) && /was removed from the quorum/.test(error.message),
    );
    await fleet.processes.kill('controller', 1, 'SIGTERM');

    // The same id on a new disk is a new member.
    const again = await startJoiner(1, 'controller-1-new');
    assert.equal(await admin.addController(again.internal, { id: 1 }), 1);
    await waitFor('three voters', () => votersAre(1, 2, 3), 30_000);
    const leaderId = await admin.transferController(1);
    assert.equal(leaderId, 1);
    await waitFor('the new leader', async () => leaderOf(await list()) === 1, 10_000);
    await admin.createTopic('led-by-the-new-disk');
    const names = (await admin.listTopics()).map(({ name }) => name);
    for (const name of ['after-the-first', 'led-by-the-new-disk']) assert.ok(names.includes(name), name);

    await load.stop();
    assert.deepEqual(load.failures, []);
    assert.deepEqual((await audit(fleet.client, topic, history)).findings, []);
  });
});

async function endOf(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  await once(child, 'exit');
}
