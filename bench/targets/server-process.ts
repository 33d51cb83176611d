/** A server that is not of this workspace, as a child process: started, waited for, stopped, never left behind. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { connect as connectSocket, createServer } from 'node:net';
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { forgetChild, rememberChild } from '../processes.ts';
import { say } from '../say.ts';
import { NotAvailable } from './target.ts';

export interface ServerOptions {
  readonly program: string;
  readonly parameters: readonly string[];
  readonly cwd: string;
  readonly logFile: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** It is there when this is listened on. */
  readonly port: number;
  /** And when its log says this. */
  readonly readyText?: string;
}

const startTimeoutMs = 60_000;
const stopTimeoutMs = 15_000;
const logTailCharacters = 2_000;

export class Server implements AsyncDisposable {
  readonly pid: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.pid = child.pid ?? 0;
    rememberChild(this);
    child.once('exit', () => forgetChild(this));
  }

  static async start(options: ServerOptions): Promise<Server> {
    const { program, parameters, cwd, logFile, environment, port, readyText = '' } = options;
    const log = openSync(logFile, 'a');
    const child = spawn(program, parameters, {
      cwd,
      env: { ...process.env, ...environment },
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    const server = new Server(child);
    const deadlineMs = performance.now() + startTimeoutMs;
    while (!(await isListening(port)) || !readFileSync(logFile, 'utf8').includes(readyText)) {
      if (child.exitCode === null && child.signalCode === null && performance.now() < deadlineMs) {
        await sleep(50);
        continue;
      }
      await server[Symbol.asyncDispose]();
      say(readFileSync(logFile, 'utf8').slice(-logTailCharacters));
      throw new NotAvailable(`${basename(program)} did not start`);
    }
    return server;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    const giveUp = setTimeout(() => this.#child.kill('SIGKILL'), stopTimeoutMs);
    await ended;
    clearTimeout(giveUp);
  }
}

async function isListening(port: number): Promise<boolean> {
  const socket = connectSocket(port, '127.0.0.1');
  const isOpen = await new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
  });
  socket.destroy();
  return isOpen;
}

/** Free at the moment; all of them are asked for before the first is given back. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => server.listening || once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}
