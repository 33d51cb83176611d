/** What all parts of one run of a fleet share, and where everybody is. */
import type { LaneTransport } from '@fleetmq/shared/runtime';
import type { World } from '../controllers/world.ts';
import type { SimProcess } from '../process.ts';
import type { FleetSeed } from './seed.ts';

export interface FleetWorld extends World {
  readonly seed: FleetSeed;
}

/** Addresses: controllers have their ids, listeners of brokers begin here, each `clientListener` or `internalListener` and its id. */
export const clientListener = 100;
export const internalListener = 120;
export const gatewayAddress = 150;
export const clientAddress = 200;

export const topicName = 't';

export const gatewayUrl: string = urlOf(gatewayAddress);

export function urlOf(address: number): string {
  return `http://node:${address}`;
}

/** All addresses of one broker; it calls from the first. */
export function addressesOfBroker(id: number): readonly number[] {
  return [clientListener + id, internalListener + id];
}

/** The ways of one process to everybody, one per address, as connections are pooled. */
export function transportsOf(
  { network, seed }: FleetWorld,
  process: SimProcess,
  from: number,
): (url: string) => LaneTransport {
  const lanes = new Map<string, LaneTransport>();
  return (url) => {
    const known = lanes.get(url);
    if (known !== undefined) return known;
    const lane = network.lane(from, process, Number(new URL(url).port), { streamBytes: seed.streamBytes });
    lanes.set(url, lane);
    return lane;
  };
}
