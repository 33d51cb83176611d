/** How the scripts start the workspace's tools: the Node that runs the script, the binaries below node_modules, no shell. */
import { spawn } from 'node:child_process';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root: string = fileURLToPath(new URL('..', import.meta.url));
const binaries = join(root, 'node_modules', '.bin');
const suffix = process.platform === 'win32' ? '.cmd' : '';

export type Tool = 'biome' | 'tsc' | 'buf' | 'knip';

export interface ToolResult {
  /** Exit code; 128 or more when a signal ended the tool. */
  readonly code: number;
  /** What the tool wrote to stdout and stderr, in order. Empty when it wrote to the terminal itself. */
  readonly output: string;
  readonly tookMs: number;
}

/** Runs a tool in the workspace root and collects its output; with `show` it writes to the terminal instead. */
export function runTool(
  tool: Tool,
  toolArguments: readonly string[],
  options: { readonly show?: boolean; readonly folder?: string } = {},
): Promise<ToolResult> {
  const started = performance.now();
  const child = spawn(join(binaries, tool + suffix), toolArguments, {
    cwd: options.folder ?? root,
    stdio: options.show ? 'inherit' : ['ignore', 'pipe', 'pipe'],
    shell: process.platform === 'win32',
    // Tools that are scripts, and plugins that tools start, find the workspace's Node and binaries first.
    env: { ...process.env, PATH: [binaries, process.env['PATH'] ?? ''].join(delimiter) },
  });
  const chunks: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => chunks.push(chunk));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      resolve({ code: code ?? 128, output: Buffer.concat(chunks).toString(), tookMs: performance.now() - started });
    });
  });
}

export function formatSeconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
