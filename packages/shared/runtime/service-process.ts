/**
 * One service as a child process: started, known to be ready by the JSON line on its stdout, signalled, waited for. Its stderr
 * (the log) goes to a file; a start that fails is reported with what the service itself said there.
 *
 * The child gets its own process group, so that Ctrl-C in a terminal reaches the parent alone, which then stops its children
 * in order. It inherits the environment without FLEETMQ_ variables: flags are its whole configuration.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { createInterface } from 'node:readline';
import { DomainError } from '@fleetmq/shared';

export type FleetRole = 'controller' | 'broker' | 'gateway';

export interface ServiceProcessOptions {
  readonly role: FleetRole;
  readonly id: number;
  /** `main.ts` of the service. */
  readonly entryPoint: string;
  readonly flags: readonly string[];
  readonly logFile: string;
  /** Default: the running executable. */
  readonly node?: string | undefined;
  /** What it is started through: a program with arguments that becomes the service, such as `ip netns exec NAME`. Default: nothing. */
  readonly through?: readonly string[] | undefined;
}

export interface ListenerAddress {
  readonly host: string;
  readonly port: number;
}

export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Bytes of the log that are looked at for the reason of a failed start. */
const logTailBytes = 64 * 1024;

export class ServiceProcess {
  readonly role: FleetRole;
  readonly id: number;
  readonly pid: number;
  readonly logFile: string;
  /** Resolves when the process has ended. */
  readonly ended: Promise<ProcessEnd>;
  readonly #child: ChildProcess;
  readonly #firstLine: Promise<ReadyLine | undefined>;
  #listeners: Readonly<Record<string, ListenerAddress>> = {};
  #end: ProcessEnd | undefined;

  constructor(options: ServiceProcessOptions) {
    const { role, id, entryPoint, flags, logFile, node = process.execPath, through = [] } = options;
    this.role = role;
    this.id = id;
    this.logFile = logFile;
    const log = fs.openSync(logFile, 'a');
    try {
      const [program, ...parameters] = [
        ...through,
        node,
        '--disable-warning=ExperimentalWarning',
        entryPoint,
        ...flags,
      ];
      this.#child = spawn(program as string, parameters, {
        stdio: ['ignore', 'pipe', log],
        env: environment(),
        detached: true,
      });
    } finally {
      fs.closeSync(log);
    }
    this.pid = this.#child.pid ?? 0;
    this.ended = new Promise((resolve) => {
      const end = (code: number | null, signal: NodeJS.Signals | null): void => {
        this.#end = { code, signal };
        resolve(this.#end);
      };
      this.#child.once('exit', end);
      this.#child.once('error', () => end(null, null));
    });
    this.#firstLine = this.#readFirstLine();
  }

  /** `client`, `internal`, `ops`; known once it is ready. */
  get listeners(): Readonly<Record<string, ListenerAddress>> {
    return this.#listeners;
  }

  get isRunning(): boolean {
    return this.#end === undefined;
  }

  /** `broker 2`; a gateway has no number. */
  get name(): string {
    return this.role === 'gateway' ? 'the gateway' : `${this.role} ${this.id}`;
  }

  /** Resolves when the service serves. INVALID_CONFIG or NOT_AVAILABLE with the service's own words when it ends before. */
  async ready(timeoutMs: number, signal?: AbortSignal): Promise<void> {
    const deadline = AbortSignal.timeout(timeoutMs);
    const cut = signal === undefined ? deadline : AbortSignal.any([deadline, signal]);
    const outcome = await Promise.race([this.#firstLine, this.ended, aborted(cut)]);
    if (outcome === 'aborted') {
      if (signal?.aborted === true) throw new DomainError('CANCELLED', `${this.name} was not waited for`);
      throw new DomainError('TIMEOUT', `${this.name} was not ready after ${timeoutMs} ms; its log: ${this.logFile}`);
    }
    if (outcome === undefined || !('ready' in outcome)) throw this.#failedStart(await this.ended);
    this.#listeners = outcome.listeners;
  }

  /** Sends a signal and does not wait. */
  signal(signal: NodeJS.Signals): void {
    if (this.isRunning) this.#child.kill(signal);
  }

  /** SIGTERM, and SIGKILL when it has not ended after `timeoutMs`. */
  async stop(timeoutMs: number): Promise<ProcessEnd> {
    this.signal('SIGTERM');
    const timer = setTimeout(() => this.signal('SIGKILL'), timeoutMs);
    const end = await this.ended;
    clearTimeout(timer);
    return end;
  }

  async #readFirstLine(): Promise<ReadyLine | undefined> {
    const { stdout } = this.#child;
    if (stdout === null) return undefined;
    stdout.on('error', () => undefined); // Its end is told by `ended`.
    let first: ReadyLine | undefined;
    for await (const line of createInterface({ input: stdout })) {
      first = parseReadyLine(line);
      if (first !== undefined) break;
    }
    stdout.resume();
    return first;
  }

  #failedStart({ code, signal }: ProcessEnd): DomainError {
    const said = readTail(this.logFile)
      .split('\n')
      .filter((line) => line.startsWith('fleetmq '))
      .slice(-5);
    const how = signal === null ? `code ${code}` : signal;
    const text = `${this.name} ended with ${how} while it started`;
    const isSetup = code === 2 || code === 3;
    return new DomainError(
      isSetup ? 'INVALID_CONFIG' : 'NOT_AVAILABLE',
      said.length > 0 ? `${text}:\n${said.join('\n')}` : `${text}; its log: ${this.logFile}`,
      { retriable: false },
    );
  }
}

interface ReadyLine {
  readonly ready: true;
  readonly listeners: Readonly<Record<string, ListenerAddress>>;
}

function parseReadyLine(line: string): ReadyLine | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const parsed = JSON.parse(line) as Partial<ReadyLine>;
    return parsed.ready === true ? { ready: true, listeners: parsed.listeners ?? {} } : undefined;
  } catch {
    return undefined; // Some other output.
  }
}

function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('FLEETMQ_')));
}

function aborted(signal: AbortSignal): Promise<'aborted'> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve('aborted');
    else signal.addEventListener('abort', () => resolve('aborted'), { once: true });
  });
}

function readTail(path: string): string {
  const file = fs.openSync(path, 'r');
  try {
    const { size } = fs.fstatSync(file);
    const bytes = Buffer.alloc(Math.min(size, logTailBytes));
    fs.readSync(file, bytes, 0, bytes.length, size - bytes.length);
    return bytes.toString('utf8');
  } finally {
    fs.closeSync(file);
  }
}
