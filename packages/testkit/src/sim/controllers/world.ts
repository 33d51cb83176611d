/** What all parts of one run of controllers share, and where everybody is. */
import type { Random } from '@fleetmq/shared';
import type { SimProcess } from '../process.ts';
import type { RunWorld } from '../run-world.ts';
import type { ControllersSeed } from '../seed.ts';

export interface World extends RunWorld<ControllersSeed> {}

/** Addresses: controllers have their ids, the others begin here. */
export const brokerAddress = 100;
export const clientAddress = 200;
export const operatorAddress = 300;

/** How one who is not a controller reaches the controllers: for `ControllerCalls` and `MetadataWatch`. */
export function callOptions(
  { network }: World,
  who: {
    readonly process: SimProcess;
    readonly address: number;
    readonly controllerIds: readonly number[];
    readonly random: Random;
  },
) {
  const { process, address, controllerIds, random } = who;
  return {
    controllers: controllerIds.map((controllerId) => ({ controllerId, host: 'controller', port: controllerId })),
    transportOf: ({ port }: { readonly port: number }) => network.transport(address, process, port),
    clock: process.clock,
    timers: process.timers,
    random,
  };
}
