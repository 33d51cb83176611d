/**
 * `fleetmq dev`: a whole fleet on this machine, as processes, in open mode on the loopback interface. Prints one JSON line on
 * stdout when the fleet takes records; ends with it on SIGINT, SIGTERM or SIGHUP. Restarts nothing by itself.
 */
import { existsSync } from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FleetProcesses, FleetRole, ServiceProcess } from '@fleetmq/shared/runtime/fleet';
import { UsageError } from '../parse.ts';
import { type CommonOptions, say } from '../session.ts';
import { type Terminal, write } from '../terminal.ts';

export interface DevOptions extends Pick<CommonOptions, 'timeout' | 'quiet'> {
  readonly controllers: number;
  readonly brokers: number;
  readonly data: string;
  readonly port: number;
  readonly logLevel?: string;
}

/** `BROKER_STATE_ACTIVE`. */
const active = 2;

export async function dev(terminal: Terminal, options: DevOptions): Promise<void> {
  const { startFleetProcesses } = await import('@fleetmq/shared/runtime/fleet');
  const flags = options.logLevel === undefined ? [] : [`--log.level=${options.logLevel}`];
  const running = new Set<ServiceProcess>();
  const killAll = (): void => {
    for (const member of running) member.signal('SIGKILL');
  };
  // Whatever ends this process, no child outlives it.
  process.once('exit', killAll);
  try {
    await using fleet = await startFleetProcesses({
      controllers: options.controllers,
      brokers: options.brokers,
      dataFolder: options.data,
      ports: options.port === 0 ? 'free' : options.port,
      entryPoint: mainOf,
      flags: { controller: flags, broker: flags, gateway: flags },
      signal: terminal.interrupted,
      onStarted: (member) => {
        running.add(member);
        void member.ended.then(() => running.delete(member));
      },
      onUnexpectedEnd: (member, { code, signal }) => {
        const how = signal ?? `code ${code}`;
        void say(terminal, {}, `${member.name} ended with ${how}; its log: ${member.logFile}`);
      },
    });
    await waitUntilUsable(terminal, fleet, options);
    await write(terminal.stdout, `${JSON.stringify(describe(fleet))}\n`);
    await say(terminal, options, `ready at ${fleet.url}; try: echo hello | fleetmq produce TOPIC --url ${fleet.url}`);
    await interruption(terminal);
    await say(terminal, options, 'stopping');
  } catch (error) {
    if (!terminal.interrupted.aborted) throw error;
  } finally {
    process.removeListener('exit', killAll);
  }
}

/** Every broker in service, as the gateway sees it. */
async function waitUntilUsable(terminal: Terminal, fleet: FleetProcesses, options: DevOptions): Promise<void> {
  const { connect } = await import('@fleetmq/client/node');
  const deadlineMs = performance.now() + options.timeout;
  await using client = await connect({ url: fleet.url, timeoutMs: options.timeout, clientId: 'fleetmq-dev' });
  for (;;) {
    const brokers = await client.admin.brokers({ signal: terminal.interrupted });
    const count = brokers.filter(({ state }) => state === active).length;
    if (count >= options.brokers) return;
    if (performance.now() > deadlineMs) {
      throw new UsageError(
        `only ${count} of ${options.brokers} brokers came into service; see the logs in ${fleet.dataFolder}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function describe(fleet: FleetProcesses): object {
  const addressOf = (port: number): string => `127.0.0.1:${port}`;
  const { brokers, controllers } = fleet.ports;
  return {
    ready: true,
    gateway: { url: fleet.url, pid: fleet.member('gateway').pid },
    brokers: brokers.map(({ client, internal, ops }, index) => ({
      id: index + 1,
      client: addressOf(client),
      internal: addressOf(internal),
      ops: addressOf(ops),
      pid: fleet.member('broker', index + 1).pid,
    })),
    controllers: controllers.map(({ internal }, index) => ({
      id: index + 1,
      internal: addressOf(internal),
      pid: fleet.member('controller', index + 1).pid,
    })),
    data: path.resolve(fleet.dataFolder),
  };
}

function mainOf(role: FleetRole): string {
  const file = fileURLToPath(new URL(`../../../../services/${role}/src/main.ts`, import.meta.url));
  if (!existsSync(file)) throw new UsageError(`${file} is not there: fleetmq dev runs from the source tree`);
  return file;
}

function interruption({ interrupted }: Terminal): Promise<void> {
  return new Promise((resolve) => {
    if (interrupted.aborted) resolve();
    else interrupted.addEventListener('abort', () => resolve(), { once: true });
  });
}
