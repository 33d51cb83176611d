/**
 * Prepares clients that contain no code of FleetMQ: stubs are generated from the image of the first contract alone. What a
 * toolchain makes is kept below node_modules/.cache, so that a second run starts at once. Absent toolchains are told apart
 * from broken ones: only the former lead to a skipped test.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const root = join(here, '../..');
const cache = join(root, 'node_modules/.cache/fleetmq-foreign');

/** The image of the first contract: all that a foreign client gets to see. */
export const designImage: string = join(root, 'proto/baseline/design.binpb');
export const buf: string = join(root, 'node_modules/.bin/buf');

/** Whether a command can be run at all. */
export function hasCommand(command: string, ...args: string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

const run = (command: string, args: readonly string[], cwd: string, env: Record<string, string> = {}): string =>
  execFileSync(command, args, {
    cwd,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });

/** Makes a folder by `make` unless an earlier run finished it; a half-made one is made again. */
function prepared(name: string, make: (folder: string) => void): string {
  const folder = join(cache, name);
  if (existsSync(join(folder, '.done'))) return folder;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  make(folder);
  writeFileSync(join(folder, '.done'), '');
  return folder;
}

export interface Program {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Record<string, string>;
}

/** grpcio and its generated stubs, in a virtual environment of their own. */
export function pythonClient(): Program {
  const folder = prepared('python-1.85.1', (target) => {
    run('python3', ['-m', 'venv', 'venv'], target);
    run('venv/bin/pip', ['-q', 'install', 'grpcio==1.85.1', 'grpcio-tools==1.85.1'], target);
    mkdirSync(join(target, 'stubs'));
    const protos = ['client/producer', 'client/consumer', 'client/metadata', 'common/types', 'common/errors'];
    run(
      join(target, 'venv/bin/python'),
      [
        ...[
          '-m',
          'grpc_tools.protoc',
          `--descriptor_set_in=${designImage}`,
          '--python_out=stubs',
          '--grpc_python_out=stubs',
        ],
        ...protos.map((name) => `${name}.proto`),
      ],
      target,
    );
  });
  return {
    command: join(folder, 'venv/bin/python'),
    args: [join(here, 'python_client.py')],
    env: { PYTHONPATH: join(folder, 'stubs') },
  };
}

/** grpc-go and its generated stubs, built into one program. */
export function goClient(): Program {
  const folder = prepared('go-1.75.0-with-load', (target) => {
    cpSync(join(here, 'go'), target, { recursive: true });
    const bin = { GOBIN: join(target, 'bin'), GOFLAGS: '-buildvcs=false' };
    run('go', ['install', 'google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12'], target, bin);
    run('go', ['install', 'google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2'], target, bin);
    const path = [join(target, 'bin'), process.env['PATH']].join(delimiter);
    run(buf, ['generate', designImage], target, { PATH: path });
    run('go', ['build', '-o', 'foreign', '.'], target, bin);
  });
  return { command: join(folder, 'foreign'), args: ['exercise'], env: {} };
}
