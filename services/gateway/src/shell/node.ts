/**
 * A gateway without its listener: its copy of the metadata, the ways to brokers and controllers, and the memory of answers,
 * wired to ports. It keeps nothing on a disk; one that is dropped in the middle of anything is as good as killed.
 */
import {
  authorityOf,
  type ControllerAddress,
  ControllerCalls,
  MetadataWatch,
  parseControllers,
} from '@fleetmq/metadata/link';
import { AnswerMemory, type Checksum, type Clock, type Logger, type Random, type Timers } from '@fleetmq/shared';
import type { LaneTransport } from '@fleetmq/shared/runtime';
import type { GatewayConfig } from '../config.ts';
import { Upstreams } from './upstreams.ts';

export interface GatewayNodePorts {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly checksum: Checksum;
  readonly logger: Logger;
  /** How whoever listens at `http://host:port` is reached, for calls: brokers and controllers. Asked again for each piece of work. */
  readonly transportAt: (url: string) => LaneTransport;
  /** The same for subscriptions, whose answers wait in small buffers. */
  readonly subscriptionTransportAt: (url: string) => LaneTransport;
}

/** Everything that the calls of a gateway need. */
export interface GatewayNode extends AsyncDisposable {
  readonly config: GatewayConfig;
  readonly ports: GatewayNodePorts;
  readonly watch: MetadataWatch;
  readonly calls: ControllerCalls;
  readonly upstreams: Upstreams;
  readonly answers: AnswerMemory;
  /** Begins to follow the metadata. Once. */
  start(): void;
  /** Resolves when the first metadata has come; rejects with the signal's reason. */
  whenReady(signal: AbortSignal): Promise<void>;
}

/** Nothing is sent before `start`. */
export function createGatewayNode(config: GatewayConfig, ports: GatewayNodePorts): GatewayNode {
  const { clock, timers, random, logger, transportAt } = ports;
  const controllers = parseControllers(config.controllers);
  const transportOf = (address: ControllerAddress) => transportAt(`http://${authorityOf(address)}`);
  const toControllers = { controllers, transportOf, clock, timers, random, logger };
  const watch = new MetadataWatch({ ...toControllers, watcher: 'gateway' });
  const calls = new ControllerCalls({
    ...toControllers,
    known: () => watch.controllers,
    leaderId: () => watch.leaderId,
  });
  const answers = new AnswerMemory({
    bytesMax: config.limits['answer-bytes'],
    patienceMs: config.limits['answer-patience-ms'],
    clock,
  });
  return {
    ...{ config, ports, watch, calls, answers },
    upstreams: new Upstreams({ ...ports, watch }),
    start: () => watch.start(),
    whenReady: (signal) => watch.waitForVersion(1, signal),
    [Symbol.asyncDispose]: () => watch.stop(),
  };
}
