/** Starts that must fail: each with one clear line and a non-zero exit code, and nothing changed on disk. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startTestFleet } from '@fleetmq/testkit';

const mainOf = (role: string): string => fileURLToPath(new URL(`../../services/${role}/src/main.ts`, import.meta.url));

interface Ending {
  readonly code: number | null;
  readonly text: string;
}

/** Runs a service until it ends by itself; 20 s at most. */
function runService(role: string, flags: readonly string[]): Promise<Ending> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [mainOf(role), ...flags], {
      stdio: ['ignore', 'ignore', 'pipe'],
      timeout: 20_000,
    });
    let text = '';
    child.stderr.on('data', (chunk) => {
      text += chunk;
    });
    child.on('close', (code) => resolve({ code, text }));
  });
}

describe('starts that must fail', () => {
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fleetmq-bad-start-'));
  });

  after(() => rm(folder, { recursive: true, force: true }));

  const controllerFlags = (data: string, port: number): string[] => [
    '--node.id=1',
    '--security.mode=open',
    `--data.folder=${join(folder, data)}`,
    `--listen.internal.port=${port}`,
    '--listen.ops.port=0',
    `--quorum.peers=1@127.0.0.1:${port || 7621}`,
  ];

  test('a port that is in use', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address() as AddressInfo;
    const ending = await runService('controller', controllerFlags('port', port));
    taken.close();
    assert.notEqual(ending.code, 0);
    assert.match(ending.text, new RegExp(`${port}.*in use|in use.*${port}`));
  });

  test('a setting that does not exist, on the command line, in the environment and in a file', async () => {
    const onFlags = await runService('controller', [...controllerFlags('flags', 0), '--raft.elektion-timeout-ms=5']);
    assert.equal(onFlags.code, 2);
    assert.match(onFlags.text, /elektion-timeout-ms/);
    const file = join(folder, 'controller.yaml');
    await writeFile(file, 'raft:\n  elektion-timeout-ms: 5\n');
    const inFile = await runService('controller', [...controllerFlags('file', 0), `--config=${file}`]);
    assert.equal(inFile.code, 2);
    assert.match(inFile.text, /elektion-timeout-ms/);
  });

  test('a value that is out of range, a mode that is missing', async () => {
    const range = await runService('controller', [...controllerFlags('range', 0), '--raft.election-timeout-ms=-5']);
    assert.equal(range.code, 2);
    assert.match(range.text, /-5/);
    const flags = controllerFlags('mode', 0).filter((flag) => !flag.includes('security.mode'));
    const mode = await runService('controller', flags);
    assert.equal(mode.code, 2);
    assert.match(mode.text, /security\.mode/);
  });

  test('a data folder of another node and of another cluster', async () => {
    const first = join(folder, 'first');
    const second = join(folder, 'second');
    await (await startTestFleet({ controllers: 1, brokers: 1, dataFolder: first }))[Symbol.asyncDispose]();
    await using fleet = await startTestFleet({ controllers: 1, brokers: 1, dataFolder: second });
    const flags = (id: number, data: string): string[] => [
      `--node.id=${id}`,
      '--security.mode=open',
      `--data.folder=${data}`,
      ...['client', 'internal', 'ops'].map((listener) => `--listen.${listener}.port=0`),
      `--controllers=127.0.0.1:${fleet.processes.ports.controllers[0]?.internal}`,
    ];
    const brokerFolder = join(first, 'broker-1');
    const node = await runService('broker', flags(2, brokerFolder));
    assert.notEqual(node.code, 0);
    assert.match(node.text, /broker-1|node 1|id 1/);
    const cluster = await runService('broker', flags(1, brokerFolder));
    assert.notEqual(cluster.code, 0);
    assert.match(cluster.text, /cluster/);
  });
});
