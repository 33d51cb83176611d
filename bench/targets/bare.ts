/** The ceiling as a target: see bare-server.ts. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { forgetChild, rememberChild } from '../processes.ts';
import type { Target } from './target.ts';

export async function startBareLoop(folder: string): Promise<Target> {
  const program = fileURLToPath(new URL('./bare-server.ts', import.meta.url));
  const parameters = ['--disable-warning=ExperimentalWarning', program, folder];
  const child = spawn(process.execPath, parameters, { stdio: ['ignore', 'pipe', 'inherit'] });
  const own = { name: 'bare loop', pid: child.pid ?? 0, isBroker: true };
  rememberChild(own);
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return {
    version: process.version,
    processes: [own],
    dataFolder: folder,
    entrances: {
      direct: {
        durability: 'fdatasync before each ack',
        drivers: [{ kind: 'bare-loop', port: Number(line.toString()) }],
      },
    },
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
      forgetChild(own);
    },
  };
}
