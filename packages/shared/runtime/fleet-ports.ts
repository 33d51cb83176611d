/**
 * Which port each process of a local fleet listens on: by a fixed plan from one base port, or free ones. All are chosen before
 * the first process starts, since controllers must know each other's, and a process that is started again keeps its own.
 *
 * Plan for base 7600: gateway 7600 (ops 7609); broker n 7600 + 10n (internal +1, ops +9); controller n 7700 + 10n + 1 (ops 7700
 * + 10n + 9). Free ports are found by binding them all at once and letting go: another program may take one in between,
 * and then the start fails with "port in use".
 */
import * as net from 'node:net';
import { DomainError } from '@fleetmq/shared';

export interface GatewayPorts {
  readonly client: number;
  readonly ops: number;
}
export interface BrokerPorts extends GatewayPorts {
  readonly internal: number;
}
export interface ControllerPorts {
  readonly internal: number;
  readonly ops: number;
}

export interface FleetPorts {
  readonly gateway: GatewayPorts;
  readonly brokers: readonly BrokerPorts[];
  readonly controllers: readonly ControllerPorts[];
}

export interface FleetSize {
  /** 1 to 9. */
  readonly brokers: number;
  /** 1 to 9. */
  readonly controllers: number;
}

/** The ports of the plan. INVALID_CONFIG when they do not fit below 65536. */
export function plannedPorts(base: number, size: FleetSize): FleetPorts {
  const last = base + 100 + 10 * size.controllers + 9;
  if (!Number.isInteger(base) || base < 1 || last > 65_535) {
    throw new DomainError('INVALID_CONFIG', `ports ${base} to ${last} are not all within 1 to 65535`);
  }
  return {
    gateway: { client: base, ops: base + 9 },
    brokers: Array.from({ length: size.brokers }, (_, index) => {
      const first = base + 10 * (index + 1);
      return { client: first, internal: first + 1, ops: first + 9 };
    }),
    controllers: Array.from({ length: size.controllers }, (_, index) => {
      const first = base + 100 + 10 * (index + 1);
      return { internal: first + 1, ops: first + 9 };
    }),
  };
}

/** Ports of 127.0.0.1 that nobody listens on now. */
export async function freePorts(size: FleetSize): Promise<FleetPorts> {
  const count = 2 + 3 * size.brokers + 2 * size.controllers;
  const servers = await Promise.all(Array.from({ length: count }, () => listenAnywhere()));
  const ports = servers.map((server) => (server.address() as net.AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  const next = (): number => ports.pop() as number;
  return {
    gateway: { client: next(), ops: next() },
    brokers: Array.from({ length: size.brokers }, () => ({ client: next(), internal: next(), ops: next() })),
    controllers: Array.from({ length: size.controllers }, () => ({ internal: next(), ops: next() })),
  };
}

function listenAnywhere(): Promise<net.Server> {
  const server = net.createServer();
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: '127.0.0.1', port: 0 }, () => resolve(server));
  });
}
