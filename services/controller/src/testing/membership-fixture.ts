/** What the tests of the quorum's members share: calls as operators make them, looks at the quorum, and a load of topics. */
import assert from 'node:assert/strict';
import { AdminService } from '@fleetmq/gen/controller/admin';
import { ControllerRaftService } from '@fleetmq/gen/controller/raft';
import { ControllerCalls } from '@fleetmq/metadata/link';
import { DomainError, type ErrorName, seededRandom } from '@fleetmq/shared';
import { nodeClock, nodeTimers } from '@fleetmq/shared/runtime';
import type { Controller } from '../controller.ts';
import { eventually, type TestCluster } from './cluster.ts';

export const rejectsWith = (promise: Promise<unknown>, code: ErrorName, text: RegExp = /./): Promise<void> =>
  assert.rejects(promise, (error) => {
    assert.ok(error instanceof DomainError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, text);
    return true;
  });

/** Calls to whoever leads, as a gateway makes them. */
export function callsTo(cluster: TestCluster, ids: readonly number[]): ControllerCalls {
  return new ControllerCalls({
    controllers: ids.map((id) => cluster.addressOf(id)),
    transportOf: ({ host, port }) => cluster.pool.get(`http://${host}:${port}`),
    clock: nodeClock,
    timers: nodeTimers,
    random: seededRandom(1),
  });
}

export function adminOf(cluster: TestCluster, ids: readonly number[]) {
  const calls = callsTo(cluster, ids);
  const timeoutMs = 20_000;
  return {
    create: (name: string) => calls.unary(AdminService.method.createTopic, { name }, { timeoutMs }),
    list: async () =>
      (await calls.unary(AdminService.method.listControllers, {}, { timeoutMs, idempotent: true })).controllers,
    add: (id: number, learnerOnly = false) =>
      calls.unary(AdminService.method.addController, { ...cluster.addressOf(id), learnerOnly }, { timeoutMs }),
    addAt: (port: number) => calls.unary(AdminService.method.addController, { host: '127.0.0.1', port }, { timeoutMs }),
    replace: (replacedId: number, id: number) =>
      calls.unary(AdminService.method.replaceController, { ...cluster.addressOf(id), replacedId }, { timeoutMs }),
    remove: (id: number, force = false) =>
      calls.unary(AdminService.method.removeController, { controllerId: id, force }, { timeoutMs }),
  };
}

export const votersOf = (controller: Controller): readonly number[] =>
  [...controller.node.driver.confState.voters].sort((left, right) => left - right);

export async function votersToBe(cluster: TestCluster, ids: readonly number[]): Promise<void> {
  await eventually(`voters ${ids.join(', ')}`, () =>
    ids.every((id) => votersOf(cluster.one(id)).join() === ids.join()),
  );
}

export async function stateOf(cluster: TestCluster, id: number): Promise<string> {
  return (await cluster.client(ControllerRaftService, id).getConfiguration({})).state;
}

/** Makes topics without a pause; each one that was answered must be there at the end. */
export class TopicLoad implements AsyncDisposable {
  readonly answered: string[] = [];
  readonly failures: unknown[] = [];
  readonly #running: Promise<void>;
  #isStopped = false;

  constructor(create: (name: string) => Promise<unknown>) {
    this.#running = this.#run(create);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true;
    await this.#running;
  }

  async #run(create: (name: string) => Promise<unknown>): Promise<void> {
    for (let number = 0; !this.#isStopped; number++) {
      try {
        await create(`load-${number}`);
        this.answered.push(`load-${number}`);
      } catch (error) {
        // Whether it was made is not known; everything else would be a refusal.
        if (!(error instanceof DomainError && error.code === 'TIMEOUT')) this.failures.push(error);
      }
    }
  }
}
