import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { create } from '@bufbuild/protobuf';
import { createClient } from '@connectrpc/connect';
import {
  ControllerBrokerService,
  GetClusterConfigResponseSchema,
  WatchMetadataResponseSchema,
} from '@fleetmq/gen/controller/cluster';
import { DomainError, seededRandom } from '@fleetmq/shared';
import type { ServiceRoutes } from '@fleetmq/shared/runtime';
import type { NetworkConditions } from './links.ts';
import { SimNetwork } from './network.ts';
import { SimProcess } from './process.ts';
import { Scheduler } from './scheduler.ts';
import { calmNetwork } from './seed.ts';

/** A client at address 2, and a server at address 1 that counts its calls. */
function open(conditions: Partial<NetworkConditions> = {}) {
  const scheduler = new Scheduler();
  const { time } = scheduler;
  const bugs: unknown[] = [];
  const network = new SimNetwork({
    time,
    random: seededRandom(3),
    conditions: { ...calmNetwork(10, 0), ...conditions },
    onBug: (error) => bugs.push(error),
  });
  const client = new SimProcess({ name: 'client', time });
  const server = new SimProcess({ name: 'server', time });
  let calls = 0;
  const typed = {
    getClusterConfig: async () => {
      calls++;
      if (calls === 13) throw new DomainError('NOT_LEADER', 'not here', { leaderHint: '3@c:3' });
      return create(GetClusterConfigResponseSchema, { metadataVersion: BigInt(calls) });
    },
    async *watchMetadata() {
      for (let version = 1n; version <= 20n; version++) yield create(WatchMetadataResponseSchema, { version });
      await new Promise(() => undefined);
    },
  };
  const routes: ServiceRoutes = { service: ControllerBrokerService, typed: typed as never, raw: [] };
  network.listen(1, server, [routes]);
  const stub = createClient(ControllerBrokerService, network.transport(2, client, 1));
  const call = async (timeoutMs = 1_000): Promise<string> => {
    try {
      return String((await stub.getClusterConfig({}, { timeoutMs })).metadataVersion);
    } catch (error) {
      return error instanceof DomainError ? `${error.code} ${error.leaderHint ?? ''}`.trim() : String(error);
    }
  };
  const run = async <Result>(work: Promise<Result>, untilMs = 100_000): Promise<Result | undefined> => {
    let result: Result | undefined;
    void work.then((value) => {
      result = value;
    });
    await scheduler.run(untilMs, () => result !== undefined);
    return result;
  };
  return { scheduler, network, client, server, stub, call, run, bugs, calls: () => calls };
}

describe('simulated network', () => {
  test('a call takes two delays; an error comes across with its hint', async () => {
    const { call, run, scheduler } = open();
    assert.equal(await run(call()), '1');
    assert.equal(scheduler.time.nowMs, 20);
    for (let i = 2; i <= 12; i++) await run(call());
    assert.equal(await run(call()), 'NOT_LEADER 3@c:3');
  });

  test('a cut works in one direction, and its caller learns of it by the deadline alone', async () => {
    const { call, run, network, scheduler, calls } = open();
    network.cut(1, 2);
    assert.equal(await run(call()), 'TIMEOUT');
    assert.deepEqual([scheduler.time.nowMs, calls()], [1_000, 1]);
    network.healAll();
    network.cut(2, 1);
    assert.equal(await run(call()), 'TIMEOUT');
    assert.equal(calls(), 1);
    network.healAll();
    assert.equal(await run(call()), '2');
  });

  test('loses, doubles and holds back', async () => {
    const lossy = open({ lossRate: 0.3 });
    let timeouts = 0;
    for (let i = 0; i < 40; i++) if ((await lossy.run(lossy.call())) === 'TIMEOUT') timeouts++;
    assert.ok(timeouts > 5 && timeouts < 35, String(timeouts));
    const doubling = open({ duplicateRate: 1 });
    await doubling.run(doubling.call());
    await doubling.scheduler.run(5_000, () => false);
    assert.equal(doubling.calls(), 2);
    const late = open({ straggleRate: 1, straggleMs: 10_000 });
    assert.equal(await late.run(late.call()), 'TIMEOUT');
    await late.scheduler.run(30_000, () => false);
    assert.equal(late.calls(), 1);
  });

  test('nobody listens, a server dies by a kill or without a word, a server is paused', async () => {
    const { call, run, network, server, scheduler } = open({ delayMs: 100 });
    const killed = call();
    scheduler.time.after(150, () => {
      server.kill();
      network.ended(server, false);
    });
    // The answer was on its way already.
    assert.equal(await run(killed), '1');
    assert.equal(await run(call()), 'NOT_AVAILABLE');
    const silent = open({ delayMs: 100 });
    silent.scheduler.time.after(50, () => silent.server.pause());
    silent.scheduler.time.after(500, () => silent.server.resume());
    assert.equal(await silent.run(silent.call()), '1');
    assert.equal(silent.scheduler.time.nowMs, 600);
  });

  test('a stream keeps its order, and breaks on a cut', async () => {
    const { stub, run, network, bugs } = open({ delaySpreadMs: 50 });
    const versions: number[] = [];
    const follow = async (): Promise<string> => {
      try {
        for await (const { version } of stub.watchMetadata({})) {
          versions.push(Number(version));
          if (versions.length === 20) network.cut(1, 2);
        }
      } catch (error) {
        return String((error as DomainError).code);
      }
      return 'ended';
    };
    assert.equal(await run(follow(), 1_000), undefined);
    assert.deepEqual(
      versions,
      Array.from({ length: 20 }, (_, position) => position + 1),
    );
    assert.deepEqual(bugs, []);
  });
});
