/**
 * Three controllers as processes, with whatever a part needs around them, and the ways to reach them: the calls that brokers
 * and gateways make, and a connection to each controller by itself.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { ControllerBrokerService } from '@fleetmq/gen/controller/cluster';
import { ControllerCalls, parseAddress } from '@fleetmq/metadata/link';
import { createRpcPool, nodeClock, nodeRandom, nodeTimers, type RpcPool } from '@fleetmq/shared/runtime';
import type { ServiceProcess } from '@fleetmq/shared/runtime/fleet';
import { startTestFleet, type TestFleet } from '@fleetmq/testkit';
import { readMetric } from './process-figures.ts';

export interface ControllerFleetOptions {
  readonly folder: string;
  /** Default 1; at least 1. */
  readonly brokers?: number;
  readonly controllerFlags?: readonly string[];
}

export class ControllerFleet implements AsyncDisposable {
  readonly fleet: TestFleet;
  readonly pool: RpcPool = createRpcPool();
  /** Straight to the controllers, as brokers and gateways call them. */
  readonly calls: ControllerCalls;

  private constructor(fleet: TestFleet) {
    this.fleet = fleet;
    this.calls = this.callsTo(fleet.processes.ports.controllers.map(({ internal }) => internal));
  }

  static async start({ folder, brokers = 1, controllerFlags = [] }: ControllerFleetOptions): Promise<ControllerFleet> {
    const flags = { controller: controllerFlags };
    return new ControllerFleet(await startTestFleet({ controllers: 3, brokers, dataFolder: folder, flags }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pool.close();
    await this.fleet[Symbol.asyncDispose]();
  }

  get controllers(): readonly ServiceProcess[] {
    return this.fleet.processes.members.filter(({ role }) => role === 'controller');
  }

  /** Whoever listens on these ports and leads, or passes calls on to the leader, as a gateway does. */
  callsTo(ports: readonly number[], pool: RpcPool = this.pool): ControllerCalls {
    return new ControllerCalls({
      controllers: ports.map(
        (port) => parseAddress(`127.0.0.1:${port}`) as NonNullable<ReturnType<typeof parseAddress>>,
      ),
      transportOf: ({ host, port }) => pool.get(`http://${host}:${port}`),
      clock: nodeClock,
      timers: nodeTimers,
      random: nodeRandom,
    });
  }

  /** Waits until one of the running controllers leads. */
  async leader(): Promise<ServiceProcess> {
    return await eventually('a leader of the controllers', async () => {
      for (const controller of this.controllers) {
        if (!controller.isRunning) continue;
        if ((await readMetric(controller, 'fleetmq_raft_is_leader').catch(() => 0)) === 1) return controller;
      }
      return undefined;
    });
  }

  /** Waits until every controller has applied what the leader has committed now. */
  async caughtUp(controllers: readonly ServiceProcess[] = this.controllers): Promise<void> {
    const commit = await readMetric(await this.leader(), 'fleetmq_raft_commit_index');
    for (const controller of controllers) {
      await eventually(`${controller.name} to catch up`, async () => {
        const applied = await readMetric(controller, 'fleetmq_raft_applied_index').catch(() => 0);
        return applied >= commit ? applied : undefined;
      });
    }
  }

  /** The real broker goes for good, so that simulated ones alone are there. */
  async dismissBroker(brokerId: number): Promise<void> {
    await this.fleet.processes.kill('broker', brokerId);
    await eventually(`broker ${brokerId} to be unregistered`, async () => {
      try {
        await this.calls.unary(ControllerBrokerService.method.unregisterBroker, { brokerId });
        return true;
      } catch {
        return undefined; // It is not fenced yet.
      }
    });
  }
}

/** Asks every few milliseconds until there is an answer; two minutes at most. */
export async function eventually<Result>(
  what: string,
  ask: () => Promise<Result | undefined>,
  pauseMs = 20,
): Promise<Result> {
  const deadline = performance.now() + 120_000;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await sleep(pauseMs);
  }
}
