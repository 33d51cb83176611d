/** The gateway of a run. It keeps nothing: whenever it is killed, another one begins in its place. */
import { createGatewayNode, gatewayRoutes, gatewaySchema } from '@fleetmq/gateway/sim';
import { silentLogger } from '@fleetmq/shared';
import { nodeChecksum } from '@fleetmq/shared/runtime';
import { SimProcess } from '../process.ts';
import { type FleetWorld, gatewayAddress, transportsOf } from './world.ts';

export class SimGateway {
  readonly #world: FleetWorld;
  #process: SimProcess | undefined;

  constructor(world: FleetWorld) {
    this.#world = world;
  }

  /** Nothing happens where it runs already. */
  start(): void {
    if (this.#process !== undefined) return;
    const { scheduler, network, seed, random, trace } = this.#world;
    trace.note('gateway starts');
    const process = new SimProcess({ name: 'gateway', time: scheduler.time });
    this.#process = process;
    const controllers = Array.from({ length: seed.controllers }, (_, index) => `node:${index + 1}`).join(',');
    const config = gatewaySchema.parse({
      controllers,
      security: { mode: 'open' },
      listen: { client: {}, ops: {} },
      cors: {},
      reflection: {},
      limits: {},
      log: {},
    });
    const transportAt = transportsOf(this.#world, process, gatewayAddress);
    const { clock, timers } = process;
    const node = createGatewayNode(config, {
      ...{ clock, timers, transportAt, subscriptionTransportAt: transportAt },
      random: random(`gateway ${scheduler.time.nowMs}`),
      checksum: nodeChecksum,
      logger: silentLogger,
    });
    network.listen(gatewayAddress, process, gatewayRoutes(node));
    node.start();
  }

  kill(): void {
    const process = this.#process;
    if (process === undefined) return;
    this.#world.trace.note('gateway killed');
    process.kill();
    this.#world.network.ended(process, false);
    this.#process = undefined;
  }
}
