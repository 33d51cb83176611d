/**
 * A fourth controller that begins with nothing and learns all from the leader's snapshot, then goes again. Both changes of the
 * quorum make every controller write a snapshot: the first with a transfer beside it, the second without.
 */
import { rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AdminService } from '@fleetmq/gen/controller/admin';
import { ServiceProcess } from '@fleetmq/shared/runtime/fleet';
import { mainOf } from '@fleetmq/testkit';
import type { ControllerFleet } from './fleet.ts';
import { longestStallMs, readMetrics } from './process-figures.ts';

const joinerId = 4;
const { addController, removeController } = AdminService.method;

/** Times in milliseconds; stalls are the longest of each of the three controllers, the leader's first. */
export interface JoinerResult {
  readonly snapshotBytes: number;
  readonly encodeMs: number;
  readonly writeMs: number;
  /** From the call that adds it until it has applied all that was committed then. */
  readonly caughtUpMs: number;
  /** In two seconds in which nothing happened. */
  readonly quietStallsMs: readonly number[];
  readonly addStallsMs: readonly number[];
  readonly removeStallsMs: readonly number[];
}

export async function measureJoiner(bench: ControllerFleet, folder: string): Promise<JoinerResult> {
  const leader = await bench.leader();
  const controllers = [leader, ...bench.controllers.filter(({ id }) => id !== leader.id)];
  const stalls = (): Promise<number[]> => Promise.all(controllers.map(longestStallMs));
  await stalls();
  await sleep(2_000);
  const quietStallsMs = await stalls();

  const joiner = await startJoiner(bench, folder);
  await stalls();
  const port = joiner.listeners['internal']?.port ?? 0;
  const startMs = performance.now();
  await bench.calls.unary(addController, { host: '127.0.0.1', port, learnerOnly: true });
  await bench.caughtUp([joiner]);
  const caughtUpMs = performance.now() - startMs;
  await sleep(2_000);
  const addStallsMs = await stalls();
  await bench.calls.unary(removeController, { controllerId: joinerId });
  joiner.signal('SIGKILL');
  await joiner.ended;
  await rm(folderOf(folder), { recursive: true });
  await sleep(2_000);
  const removeStallsMs = await stalls();

  const metrics = await readMetrics(leader);
  const metric = (name: string): number => metrics.get(name) ?? Number.NaN;
  return {
    snapshotBytes: metric('fleetmq_raft_snapshot_bytes'),
    encodeMs: metric('fleetmq_raft_snapshot_seconds{step="encode"}') * 1000,
    writeMs: metric('fleetmq_raft_snapshot_seconds{step="write"}') * 1000,
    caughtUpMs,
    quietStallsMs,
    addStallsMs,
    removeStallsMs,
  };
}

async function startJoiner(bench: ControllerFleet, folder: string): Promise<ServiceProcess> {
  const peers = bench.controllers.map(({ id, listeners }) => `${id}@127.0.0.1:${listeners['internal']?.port}`);
  const joiner = new ServiceProcess({
    role: 'controller',
    id: joinerId,
    entryPoint: mainOf('controller'),
    flags: [
      ...['--security.mode=open', `--node.id=${joinerId}`, `--data.folder=${folderOf(folder)}`],
      ...[`--quorum.peers=${peers.join(',')}`, '--quorum.join=true'],
      ...[`--listen.internal.port=${await freePort()}`, '--listen.ops.port=0'],
    ],
    logFile: join(folder, 'logs', `controller-${joinerId}.log`),
  });
  await joiner.ready(60_000);
  return joiner;
}

function folderOf(folder: string): string {
  return join(folder, `controller-${joinerId}`);
}

/** The quorum is told where it is: it cannot take any port. */
function freePort(): Promise<number> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: '127.0.0.1', port: 0 }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
