/**
 * A whole fleet as processes on this machine: controllers, brokers, a gateway, in open mode on the loopback interface, or on
 * whatever hosts the caller has. For `fleetmq dev`, tests and benches; it restarts nothing by itself.
 *
 * All start together: brokers and gateways wait for their controllers by themselves, as they do anywhere. A start that fails
 * stops what was started. Stop order: gateway, brokers (together), controllers. Below `dataFolder`: `controller-1`, `broker-1`, ..., `logs`.
 */
import * as fs from 'node:fs';
import * as path from 'node:path';
import { DomainError } from '@fleetmq/shared';
import { type FleetPorts, freePorts, plannedPorts } from './fleet-ports.ts';
import { type FleetRole, type ProcessEnd, ServiceProcess } from './service-process.ts';

export interface FleetProcessesOptions {
  /** Default 3, 1 to 9. */
  readonly controllers?: number;
  /** Default 3, 1 to 9. */
  readonly brokers?: number;
  /** Default true. */
  readonly gateway?: boolean;
  /** Is made if it is not there. */
  readonly dataFolder: string;
  /** A base port for the fixed plan (see fleet-ports.ts), or 'free'. Default 'free'. */
  readonly ports?: number | 'free';
  /** Path of a role's `main.ts`. */
  readonly entryPoint: (role: FleetRole) => string;
  /** More flags per role, such as `--log.level=debug`; the last of a name counts. A function is asked at each start of a process. */
  readonly flags?: Partial<Readonly<Record<FleetRole, readonly string[] | ((id: number) => readonly string[])>>>;
  /** Where a member listens and is reached; with others than the loopback interface `ports` must be a base port. Default 127.0.0.1. */
  readonly hostOf?: (role: FleetRole, id: number) => string;
  /** What a member is started through (see ServiceProcessOptions.through), asked at each of its starts. Default: nothing. */
  readonly throughOf?: (role: FleetRole, id: number) => readonly string[];
  /** Of one process. Default 60 s. */
  readonly startTimeoutMs?: number;
  /** Of one process, before it is killed. Default 35 s. */
  readonly stopTimeoutMs?: number;
  /** Hears of each process that was started, before it is ready. */
  readonly onStarted?: (member: ServiceProcess) => void;
  /** Hears of processes that end without having been told to. */
  readonly onUnexpectedEnd?: (member: ServiceProcess, end: ProcessEnd) => void;
  /** Breaks off the start. */
  readonly signal?: AbortSignal;
  /** Default: the running executable. */
  readonly node?: string;
}

/** Resolves when every process is ready. */
export async function startFleetProcesses(options: FleetProcessesOptions): Promise<FleetProcesses> {
  const size = {
    controllers: checkCount('controllers', options.controllers),
    brokers: checkCount('brokers', options.brokers),
  };
  const { ports = 'free' } = options;
  const plan = ports === 'free' ? await freePorts(size) : plannedPorts(ports, size);
  fs.mkdirSync(path.join(options.dataFolder, 'logs'), { recursive: true });
  const fleet = new FleetProcesses(options, plan);
  try {
    await fleet.start();
    return fleet;
  } catch (error) {
    await fleet.stop();
    throw error;
  }
}

function checkCount(what: string, count = 3): number {
  if (Number.isInteger(count) && count >= 1 && count <= 9) return count;
  throw new DomainError('INVALID_CONFIG', `${what} is ${count}, expected 1 to 9`);
}

export class FleetProcesses implements AsyncDisposable {
  readonly ports: FleetPorts;
  readonly #options: FleetProcessesOptions;
  readonly #members = new Map<string, ServiceProcess>();
  /** Members whose end somebody asked for. */
  readonly #leaving = new Set<ServiceProcess>();
  #stopped: Promise<void> | undefined;

  constructor(options: FleetProcessesOptions, ports: FleetPorts) {
    this.#options = options;
    this.ports = ports;
  }

  /** Base URL of the gateway. */
  get url(): string {
    return `http://${this.#host('gateway', 1)}:${this.ports.gateway.client}`;
  }

  /** `host:port` of the brokers' client listeners. */
  get brokerAddresses(): readonly string[] {
    return this.ports.brokers.map(({ client }, index) => `${this.#host('broker', index + 1)}:${client}`);
  }

  /** `host:port` of the controllers' internal listeners. */
  get controllerAddresses(): readonly string[] {
    return this.ports.controllers.map(({ internal }, index) => `${this.#host('controller', index + 1)}:${internal}`);
  }

  get dataFolder(): string {
    return this.#options.dataFolder;
  }

  get members(): readonly ServiceProcess[] {
    return [...this.#members.values()];
  }

  /** The running, or last, process of a role. INVALID_REQUEST when there never was one. */
  member(role: FleetRole, id = 1): ServiceProcess {
    const member = this.#members.get(keyOf(role, id));
    if (member === undefined) throw new DomainError('INVALID_REQUEST', `the fleet has no ${role} ${id}`);
    return member;
  }

  /** Starts what is not running. `startFleetProcesses` does it. */
  async start(): Promise<void> {
    const { controllers, brokers } = this.ports;
    await Promise.all([
      ...controllers.map((_, index) => this.#start('controller', index + 1)),
      ...brokers.map((_, index) => this.#start('broker', index + 1)),
      ...(this.#options.gateway === false ? [] : [this.#start('gateway', 1)]),
    ]);
  }

  /** Sends a signal and does not wait: for SIGSTOP and SIGCONT. */
  signal(role: FleetRole, id: number, signal: NodeJS.Signals): void {
    this.member(role, id).signal(signal);
  }

  /** Ends one process with a signal (default SIGKILL) and waits for its end. */
  async kill(role: FleetRole, id: number, signal: NodeJS.Signals = 'SIGKILL'): Promise<ProcessEnd> {
    const member = this.member(role, id);
    this.#leaving.add(member);
    member.signal(signal);
    return await member.ended;
  }

  /** Starts a process again that has ended, on the same ports and data. Resolves when it is ready. */
  async restart(role: FleetRole, id: number): Promise<ServiceProcess> {
    const member = this.member(role, id);
    if (member.isRunning) await this.#stopMember(member);
    return await this.#start(role, id);
  }

  /** Stops all, in order; waits for their ends. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #stop(): Promise<void> {
    for (const role of ['gateway', 'broker', 'controller'] as const) {
      const running = this.members.filter((member) => member.role === role);
      await Promise.all(running.map((member) => this.#stopMember(member)));
    }
  }

  async #stopMember(member: ServiceProcess): Promise<void> {
    this.#leaving.add(member);
    // A stopped process (SIGSTOP) hears of nothing else.
    member.signal('SIGCONT');
    await member.stop(this.#options.stopTimeoutMs ?? 35_000);
  }

  async #start(role: FleetRole, id: number): Promise<ServiceProcess> {
    const { entryPoint, dataFolder, node, throughOf, startTimeoutMs = 60_000, signal } = this.#options;
    signal?.throwIfAborted();
    const { [role]: more = [] } = this.#options.flags ?? {};
    const member = new ServiceProcess({
      role,
      id,
      entryPoint: entryPoint(role),
      flags: [...this.#flags(role, id), ...(typeof more === 'function' ? more(id) : more)],
      logFile: path.join(dataFolder, 'logs', `${role}-${id}.log`),
      node,
      through: throughOf?.(role, id),
    });
    this.#members.set(keyOf(role, id), member);
    this.#options.onStarted?.(member);
    await member.ready(startTimeoutMs, signal);
    void member.ended.then((end) => {
      if (!this.#leaving.has(member)) this.#options.onUnexpectedEnd?.(member, end);
    });
    return member;
  }

  #host(role: FleetRole, id: number): string {
    return this.#options.hostOf?.(role, id) ?? '127.0.0.1';
  }

  #flags(role: FleetRole, id: number): string[] {
    const { gateway, brokers, controllers } = this.ports;
    const peers = this.controllerAddresses.map((address, index) => `${index + 1}@${address}`);
    const addresses = this.controllerAddresses.join(',');
    const host = this.#host(role, id);
    const data = path.resolve(this.dataFolder, `${role}-${id}`);
    const common = ['--security.mode=open', `--listen.ops.host=${host}`];
    const listen = (listener: string, port: number): string[] => [
      `--listen.${listener}.host=${host}`,
      `--listen.${listener}.port=${port}`,
    ];
    if (role === 'controller') {
      const { internal, ops } = controllers[id - 1] as FleetPorts['controllers'][number];
      return [
        ...[...common, `--node.id=${id}`, `--data.folder=${data}`, `--quorum.peers=${peers.join(',')}`],
        ...[...listen('internal', internal), `--listen.ops.port=${ops}`],
      ];
    }
    if (role === 'broker') {
      const { client, internal, ops } = brokers[id - 1] as FleetPorts['brokers'][number];
      return [
        ...[...common, `--node.id=${id}`, `--data.folder=${data}`, `--controllers=${addresses}`],
        ...[...listen('client', client), ...listen('internal', internal), `--listen.ops.port=${ops}`],
      ];
    }
    return [
      ...common,
      `--controllers=${addresses}`,
      ...listen('client', gateway.client),
      `--listen.ops.port=${gateway.ops}`,
    ];
  }
}

function keyOf(role: FleetRole, id: number): string {
  return `${role}-${id}`;
}

export type { FleetPorts } from './fleet-ports.ts';
export { type FleetRole, type ListenerAddress, type ProcessEnd, ServiceProcess } from './service-process.ts';
