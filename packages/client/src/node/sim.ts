/**
 * The client for the simulator: as in Node, but with the caller's ports and transports, and with codecs that work on the
 * caller's own thread alone, because nothing may settle off virtual time; and the classes that planted bugs patch from the
 * outside. For `@fleetmq/testkit` alone.
 */
import type { Codecs } from '@fleetmq/record';
import { nodeCodecs } from '@fleetmq/record/codecs/node';
import type { Checksum } from '@fleetmq/shared';
import type { LaneTransport } from '@fleetmq/shared/runtime';
import { Client, type ClientOptions } from '../client.ts';
import type { Entrance } from '../metadata.ts';
import type { ClientPorts } from '../ports.ts';
import { createChannelPool } from '../rpc/channel.ts';
import { laneChannel } from './lane-channel.ts';

export interface SimClientParts {
  readonly entrance: Entrance;
  /** How whoever listens at `http://host:port` is reached. Asked again for each call. */
  readonly transportAt: (url: string) => LaneTransport;
  readonly checksum: Checksum;
  readonly ports: ClientPorts;
}

const codecs: Codecs = new Map([...nodeCodecs].map(([id, { background: _, ...codec }]) => [id, codec]));

/** Nothing is sent before the first call. */
export function createSimClient(options: ClientOptions, parts: SimClientParts): Client {
  const { entrance, transportAt, checksum, ports } = parts;
  const pool = createChannelPool((baseUrl) => laneChannel(baseUrl, () => transportAt(baseUrl)));
  const later = (run: () => void): void => void ports.timers.after(0, run);
  return new Client(options, { entrance, pool, codecs, checksum, later, ports });
}

export { ReceiveBuffer } from '../consumer/buffer.ts';
export { PartitionProgress } from '../consumer/progress.ts';
export type { ClientPorts } from '../ports.ts';
export { Carrier } from '../producer/carrier.ts';
export { PartitionQueue } from '../producer/partition-queue.ts';
export { Sender } from '../producer/sender.ts';
export { InFlightWindow } from '../producer/window.ts';
