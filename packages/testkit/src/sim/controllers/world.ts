/**
 * What all parts of one run share: time, chance, network, trace, what was counted, and the first failure. One per run;
 * nothing is global.
 */
import type { Random } from '@fleetmq/shared';
import type { Counts } from '../counts.ts';
import type { Failure, FailureKind } from '../failure.ts';
import type { SimNetwork } from '../network.ts';
import type { SimProcess } from '../process.ts';
import type { Scheduler } from '../scheduler.ts';
import type { ControllersSeed } from '../seed.ts';
import type { Trace } from '../trace.ts';

export interface World {
  readonly seed: ControllersSeed;
  readonly scheduler: Scheduler;
  readonly network: SimNetwork;
  readonly trace: Trace;
  readonly counts: Counts;
  readonly random: (name: string) => Random;
  /** The first one counts. */
  fail(kind: FailureKind, name: string, text: string): void;
  readonly failure: Failure | undefined;
}

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
